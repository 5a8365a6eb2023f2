"""Batches: clips are paired by manifest, name or time; failures stop nobody; nothing leaves the folder."""

import csv
import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from factories.clips import make_clip

from asled_cli.cli.app import main
from asled_cli.errors import InputError, InterruptedRunError, UsageError
from asled_cli.job.batch import run as batch
from asled_cli.job.batch.manifest import read_manifest
from asled_cli.job.batch.pairs import BatchPair, find_clips, find_pairs
from asled_cli.job.batch.report import REPORT, Outcome
from asled_cli.job.batch.run import devices, run_batch
from asled_cli.video.output_file import work_folder


def manifest(folder: Path, *rows: str, header: str = "wide,ultra,out") -> Path:
    path = folder / "jobs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_manifest_names_pairs_beside_it(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a.mov,b.mov,c.mp4", "x/d.mov,x/e.mov,", "both.mov,,")
    assert read_manifest(path) == [
        BatchPair(tmp_path / "a.mov", tmp_path / "b.mov", "c.mp4"),
        BatchPair(tmp_path / "x/d.mov", tmp_path / "x/e.mov", "d_deblurred.mov"),
        BatchPair(tmp_path / "both.mov", tmp_path / "both.mov", "both_deblurred.mov"),
    ]


@pytest.mark.parametrize("out", ["../x.mp4", "/etc/x.mp4", "a/b.mp4", "..", ".hidden.mp4", "..\\x.mp4"])
def test_an_output_cannot_leave_the_folder(out: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: .* must be a plain file name"):
        read_manifest(manifest(tmp_path, f"a.mov,b.mov,{out}"))


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["a.mov,b.mov"], "one,two", "first line is .wide,ultra"),
        ([",b.mov,"], "wide,ultra,out", "line 2: no wide clip"),
        (["a.mov,b.mov,o.mp4", "c.mov,d.mov,O.mp4"], "wide,ultra,out", "two jobs would write"),
        ([], "wide,ultra", "names no pair"),
    ],
)
def test_a_bad_manifest_is_refused(rows: list[str], header: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_manifest(manifest(tmp_path, *rows, header=header))


def test_one_file_of_two_cameras_is_a_pair_and_what_is_left_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_clip(tmp_path / "both.mov", tracks=2, ticks=[0, 20])
    for name in ("both_deblurred.mov", "lonely.mov"):
        make_clip(tmp_path / name, ticks=[0, 20])
    (tmp_path / "broken_wide.mov").write_bytes(b"no movie")
    both = tmp_path / "both.mov"
    assert find_pairs(tmp_path) == [BatchPair(both, both, "both_deblurred.mov")]
    assert caplog.messages == ["without a partner, and left out: broken_wide.mov, lonely.mov"]


def test_a_folder_is_paired_by_the_names_of_the_lenses(tmp_path: Path) -> None:
    names = [
        "walk_wide.mov",
        "walk_ultra.mov",
        "IMG_1.mov",
        "IMG_1_UW.mov",
        "run-W.mp4",
        "run-ultra-wide.mp4",
    ]
    for name in [*names, "notes.txt", ".hidden_wide.mov"]:
        (tmp_path / name).write_bytes(b"")
    found = {(pair.wide.name, pair.ultra and pair.ultra.name) for pair in find_pairs(tmp_path)}
    assert found == {
        ("walk_wide.mov", "walk_ultra.mov"),
        ("IMG_1.mov", "IMG_1_UW.mov"),
        ("run-W.mp4", "run-ultra-wide.mp4"),
    }


def test_else_by_when_they_were_recorded(tmp_path: Path) -> None:
    for name, second in (
        ("a.mov", 11),
        ("b.mov", 40),
        ("1_ultra.mov", 41),
        ("2_ultra.mov", 12),
        ("3_uw.mov", 59),
    ):
        when = {"creation_time": f"2024-06-01T16:03:{second:02d}.000000Z"}
        make_clip(tmp_path / name, ticks=(0, 20), metadata=when)
    found = {(pair.wide.name, pair.ultra and pair.ultra.name) for pair in find_pairs(tmp_path)}
    assert found == {("a.mov", "2_ultra.mov"), ("b.mov", "1_ultra.mov")}


def test_alone_every_clip_of_a_folder_is_a_job(tmp_path: Path, runs: list[list[str]]) -> None:
    for name in ("a_wide.mov", "a_ultra.mov", "b.mov", "b_deblurred.mov"):
        (tmp_path / name).write_bytes(b"")
    found = find_clips(tmp_path)
    assert [pair.wide.name for pair in found] == ["a_ultra.mov", "a_wide.mov", "b.mov"]
    outcomes = run_batch(found, tmp_path / "out", options=["--method", "single"])
    assert {(outcome.status, outcome.ultra) for outcome in outcomes} == {("done", "")}
    assert [words[words.index("--") + 1 :] for words in runs] == [[str(pair.wide)] for pair in found]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand-in for the processes: writes the output, or fails where the wide clip is called bad."""
    done: list[list[str]] = []

    def deblur(arguments: Sequence[str]) -> tuple[int, str]:
        done.append(list(arguments))
        wide, out = arguments[arguments.index("--") + 1], arguments[arguments.index("-o") + 1]
        if "bad" in wide:
            return 3, "bad.mov is empty (0 bytes)."
        if "stopped" in wide:
            return 130, "Stopped."
        if "other" in wide and "--resume" in arguments:
            return 2, "o.mp4 was begun with another value of --strength. Start over with --overwrite."
        Path(out).write_bytes(b"result")
        return 0, ""

    monkeypatch.setattr(batch, "_deblur", deblur)
    return done


def pairs(folder: Path, *names: str) -> list[BatchPair]:
    return [BatchPair(folder / f"{name}.mov", folder / "u.mov", f"{name}.mp4") for name in names]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failure_stops_nobody_and_is_reported(jobs: int, runs: list[list[str]], tmp_path: Path) -> None:
    reported: list[Outcome] = []
    out = tmp_path / "out"
    found = run_batch(pairs(tmp_path, "a", "bad", "c"), out, jobs=jobs, on_outcome=reported.append)
    assert [outcome.status for outcome in found] == ["done", "failed", "done"]
    assert len(reported) == 3 and found[1].exit_code == 3
    report = json.loads((out / f"{REPORT}.json").read_text())
    assert [row["status"] for row in report] == ["done", "failed", "done"]
    with (out / f"{REPORT}.csv").open() as file:
        assert [row["message"] for row in csv.DictReader(file)] == ["", "bad.mov is empty (0 bytes).", ""]


def test_the_same_call_continues_after_an_interruption(runs: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        run_batch(pairs(tmp_path, "a", "stopped", "c"), tmp_path)
    work_folder(tmp_path / "half.mp4").mkdir()
    found = run_batch(pairs(tmp_path, "a", "half"), tmp_path)
    assert [outcome.status for outcome in found] == ["exists", "done"]
    assert "--resume" in runs[-1] and "--resume" not in runs[0]


def test_results_that_exist_are_replaced_only_if_asked(runs: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    assert [o.status for o in run_batch(pairs(tmp_path, "a"), tmp_path)] == ["exists"]
    assert (tmp_path / "a.mp4").read_bytes() == b"mine" and runs == []
    assert [o.status for o in run_batch(pairs(tmp_path, "a"), tmp_path, overwrite=True)] == ["done"]
    assert "--overwrite" in runs[-1] and (tmp_path / "a.mp4").read_bytes() == b"result"


@pytest.mark.parametrize("kind", ["same name", "hard link", "link"])
def test_overwriting_replaces_no_input(kind: str, runs: list[list[str]], tmp_path: Path) -> None:
    first, second = pairs(tmp_path, "a", "b")
    second.wide.write_bytes(b"a clip of the user")
    out = second.wide
    if kind != "same name":
        out = tmp_path / "c.mov"
        (out.hardlink_to if kind == "hard link" else out.symlink_to)(second.wide)
    first = BatchPair(first.wide, first.ultra, out.name)
    with pytest.raises(UsageError, match="is an input of this batch"):
        run_batch([first, second], tmp_path, overwrite=True)
    assert not runs
    assert second.wide.read_bytes() == b"a clip of the user"
    run_batch([second], tmp_path, overwrite=True)


def test_work_begun_with_another_option_has_a_way_on(runs: list[list[str]], tmp_path: Path) -> None:
    """What is advised is an option that `asled batch` has too, and it helps."""
    work_folder(tmp_path / "other.mp4").mkdir()
    (found,) = run_batch(pairs(tmp_path, "other"), tmp_path)
    assert found.status == "failed" and found.message.endswith("Start over with --overwrite.")
    (found,) = run_batch(pairs(tmp_path, "other"), tmp_path, overwrite=True)
    assert found.status == "done"
    assert [("--resume" in arguments, "--overwrite" in arguments) for arguments in runs] == [
        (True, False), (True, True), (False, True)
    ]  # fmt: skip


def test_a_report_that_cannot_be_written_stops_nobody(
    runs: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("asled_cli.job.batch.report.replace_file", full)
    path, out = manifest(tmp_path, "a.mov,u.mov,", "c.mov,u.mov,"), tmp_path / "out"
    assert main(["batch", str(path), "-o", str(out), "--json"]) == 1
    said = capsys.readouterr()
    assert [json.loads(line)["status"] for line in said.out.splitlines()] == ["done", "done"]
    assert "asled_batch.json cannot be written: No space left on device" in said.err
    assert len(runs) == 2


@pytest.mark.parametrize("name", [f"{REPORT}.json", f"{REPORT}.csv"])
def test_a_file_of_another_is_not_taken_for_a_report(
    name: str, runs: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / name).write_text("my own list")
    with pytest.raises(UsageError, match="is not the report of a batch"):
        run_batch(pairs(tmp_path, "a"), tmp_path)
    assert runs == [] and (tmp_path / name).read_text() == "my own list"


def test_one_process_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices("auto", 3) == ["cuda:0", "cuda:1", "cuda:0"]


def test_the_command_ends_with_1_if_one_failed(
    runs: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, "a.mov,u.mov,", "bad.mov,u.mov,")
    assert main(["batch", str(path), "-o", str(tmp_path / "out"), "--list", "--json"]) == 0
    assert runs == [] and len(capsys.readouterr().out.splitlines()) == 2
    assert main(["batch", str(path), "-o", str(tmp_path / "out"), "--json", "--method", "swap"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert "swap" in runs[0] and "--device" in runs[0]
