"""The command line: help, exit codes and sentences; nothing here decodes more than a header."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asled_cli import __version__
from asled_cli.cli import app, deblur
from asled_cli.cli.output.console import Style, show_error, show_table
from asled_cli.errors import (
    AsledError,
    InputError,
    InterruptedRunError,
    MemoryLimitError,
    UsageError,
    WeightsError,
)
from asled_cli.nets.asled.costs import parameter_table
from asled_cli.zoo import registry as zoo

COMMANDS = [[], ["deblur"], ["eval"], ["bench"], ["models"], ["probe"], ["train"], ["synth-blur"], ["verify"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda arguments: " ".join(arguments) or "asled")
def test_every_help_runs(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([*command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"asled {__version__}"


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from asled_cli.cli.app import main; main(['--version']); main(['deblur', '--help']);"
        "sys.exit(' '.join({'torch', 'av', 'cv2', 'numpy'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"loaded: {done.stderr}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-command"], "no-such-command"),
        (["deblur"], "WIDE"),
        (["deblur", "a.mp4", "b.mp4", "--method", "magic"], "magic"),
        (["deblur", "a.mp4", "b.mp4", "--strength", "2"], "--strength is 2, expected 0 to 1"),
        (["deblur", "a.mp4", "b.mp4", "--fov-ratio", "0.4"], "--fov-ratio is 0.4, expected 0.5 to"),
        (["deblur", "a.mp4", "b.mp4", "--start", "2", "--end", "1"], "--end is 1 s"),
        (["deblur", "a.mp4", "b.mp4", "--chunk", "0"], "--chunk is 0, expected 1 to"),
        (["deblur", "a.mp4", "b.mp4", "--encoder-opt", "film"], "KEY=VALUE"),
        (
            ["deblur", "a.mp4", "b.mp4", "--method", "swap", "--model", "asled"],
            "--method swap uses no network",
        ),
        (["deblur", "a.mp4", "--fast", "--method", "network"], "--fast uses no network"),
        (["deblur", "a.mp4", "b.mp4", "--fast", "--weights", "w.safetensors"], "--fast uses no network"),
    ],
)
def test_bad_usage_is_2_with_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(arguments) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_a_missing_clip_is_3_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["deblur", str(tmp_path / "no.mp4"), str(tmp_path / "nor.mp4")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and "no.mp4 does not exist" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AsledError("a"), 1),
        (UsageError("b"), 2),
        (InputError("c"), 3),
        (WeightsError("d"), 4),
        (MemoryLimitError("e"), 5),
        (InterruptedRunError("f"), 130),
    ],
)
def test_every_error_has_its_exit_code(
    error: AsledError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    assert app.main(["deblur", "a.mp4", "b.mp4"]) == code
    assert capsys.readouterr().err == f"error: {error.message}\n"


def test_debug_shows_where_an_error_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(InputError("a clip", hint="try another"), monkeypatch)
    assert app.main(["deblur", "a.mp4", "b.mp4", "--debug"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said and said.endswith("error: a clip\nhint: try another\n")


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ZeroDivisionError("our bug"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        app.main(["deblur", "a.mp4", "b.mp4"])


def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(InputError("a clip", hint="another"), as_json=True)
    line = json.loads(capsys.readouterr().err)
    assert line == {"event": "error", "message": "a clip", "hint": "another", "exit_code": 3}


def test_tables_as_json_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("network", ["name", "size"], [["[a]", "1"]], Style(as_json=True))
    assert json.loads(capsys.readouterr().out) == {"event": "network", "name": "[a]", "size": "1"}
    show_table("network", ["name", "size"], [["[a]", "1"]], Style())
    assert "[a]" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    code = "import sys; from asled_cli.cli.app import main; sys.exit(main(['deblur', '--help']))"
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{code}" | head -c 1'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_encoder_options_split_at_the_first_equal_sign() -> None:
    assert deblur._key_values(["x265-params=log-level=none", "tune=film"]) == {
        "x265-params": "log-level=none",
        "tune": "film",
    }


def test_models_lists_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"asled-fast", "asled", "asled-blend", "spynet"} <= {row["name"] for row in rows}
    assert all(int(row["parameters"].replace(",", "")) > 0 for row in rows)
    fast = next(row for row in rows if row["name"] == "asled-fast")
    assert float(fast["GFLOP per 1080p frame"]) == 270 and len(fast["sha256"]) == 64
    assert "dB over input" in fast["scores"] and "PSNR" in fast["protocol"]
    assert int(fast["MiB at 1080p"].replace(",", "")) > 1000
    paper = next(row for row in rows if row["name"] == "asled-blend")
    assert paper["parameters"] == "8,783,602" and paper["GFLOP per 1080p frame"] == "34,790"
    assert paper["file"] == "asled_blend.safetensors" and "over swap" in paper["scores"]
    assert app.main(["models"]) == 0
    assert "asled-fast" in capsys.readouterr().out


def test_a_network_without_weights_is_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    paper = next(row for row in rows if row["name"] == "asled")
    assert paper["file"] == "no weights yet" and paper["sha256"] == paper["scores"] == ""
    assert paper["trained with"] == "untrained"
    fast = next(row for row in rows if row["name"] == "asled-fast")
    assert "asled_fast_cpu.toml" in fast["trained with"] and "clips" in fast["trained with"]
    estimator = next(row for row in rows if row["name"] == "dmenet")
    assert estimator["parameters"] == "25,349,025" and estimator["trained with"] == "untrained"


def test_parameters_of_the_estimator_of_defocus(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "--params", "dmenet", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = {row["part"]: row["parameters"] for row in rows}
    assert counts["encoder"] == "20,024,384" and counts["total"] == "25,349,025"


def test_parameters_are_counted_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "--params", "asled-fast", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = {row["part"]: int(row["parameters"].replace(",", "")) for row in rows}
    assert counts.pop("total") == sum(counts.values()) > 0


def test_parameters_of_the_papers_network_come_in_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are pinned beside the network; this is what the command makes of them."""
    assert app.main(["models", "--params", "asled-blend"]) == 0
    said = capsys.readouterr().out
    with torch.device("meta"):
        table = parameter_table(zoo.build("asled", zoo.published("asled-blend").options))
    assert [said.index(part) for part in table] == sorted(said.index(part) for part in table)
    assert all(f"{count:,}" in said for count in table.values()) and "8,783,602" in said


def test_an_unknown_network_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["models", "--params", "magic"]) == 2
    assert "magic" in capsys.readouterr().err


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the job end with `error`."""

    def fail(config: object, report: object, **_: object) -> None:
        raise error

    monkeypatch.setattr("asled_cli.spatial.run.run_job", fail)


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EROFS, False), (errno.EIO, False)])
def test_an_error_of_the_disk_that_nobody_foresaw_is_a_sentence(
    number: int, full: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/disk/file")

    monkeypatch.setattr("asled_cli.video.decode.probe.probe_clip", refuse)
    monkeypatch.setattr("asled_cli.video.decode.video_tracks.count_video_tracks", refuse)
    assert app.main(["probe", "a.mp4"]) == 1
    said = capsys.readouterr().err
    assert f"/disk/file cannot be {'written' if full else 'read or written'}: {os.strerror(number)}" in said
    assert ("Make room on the disk of /disk" in said) == full and "Traceback" not in said
