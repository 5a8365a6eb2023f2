"""Standard streams that are closed, full, left by their reader or of a poor character set end no run."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories.clips import make_clip

from asled_cli.cli.app import main
from asled_cli.cli.output import console
from asled_cli.cli.output.streams import TolerantStream, code_after, tolerant_streams
from asled_cli.errors import InputError
from asled_cli.progress import Progress

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\nerror: forged"


class _Failing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "command", "code"),
    [
        (BrokenPipeError(32, "Broken pipe"), "probe", 0),
        (BrokenPipeError(32, "Broken pipe"), "deblur", 0),
        (OSError(28, "No space left on device"), "deblur", 0),
        (OSError(28, "No space left on device"), "probe", 1),
    ],
)
def test_lost_output_ends_no_run(
    error: OSError, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = TolerantStream(_Failing(error))
    stream.write("plan")
    assert code_after(0, stream, command) == code
    said = capsys.readouterr().err
    assert ("No space left" in said) == (not isinstance(error, BrokenPipeError))


def test_streams_that_are_none_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with tolerant_streams():
        sys.stdout.write("nobody reads this")
    assert sys.stdout is None


def test_a_poor_character_set_gets_other_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
    with tolerant_streams():
        console.show_table("clip", ("", ""), [("blur", "▁█ 90°"), ("file", "é\udcff")], console.Style())
    text = raw.getvalue().decode("ascii")
    assert "18 90 deg" in text and "e\\xff" in text


@pytest.mark.slow
def test_the_whole_program_bears_closed_and_full_streams(tmp_path: Path) -> None:
    """In one process of its own: the next file that is opened must not become stdout."""
    clip = make_clip(tmp_path / "a.mp4", ticks=[0, 20, 40])
    command = f'"{sys.executable}" -m asled_cli probe a.mp4 --json'
    shell = f"{command} >&- <&-; echo $?; {command} > /dev/full; echo $?"
    done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "1"]
    assert "Traceback" not in done.stderr and clip.is_file()


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_from_files_acts_upon_the_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    style = console.Style(as_json=as_json)
    with console.progress(style):
        import logging

        logging.getLogger("asled_cli").warning("of %s", ESCAPE)
    console.show_table(f"t{ESCAPE}", ("c", "d"), [(ESCAPE, "[bold]:smile:")], style)
    console.show_lines("note", [ESCAPE], style)
    console.show_values("info", {"lens": ESCAPE, "number": float("nan")}, style)
    console.show_error(InputError(ESCAPE, ESCAPE), as_json=as_json)
    streams = capsys.readouterr()
    for text in streams:
        assert not set("\x1b\x07\u202e") & set(text) and "\nerror: forged" not in text
        if as_json:
            lines = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
            assert lines
    assert "[bold]:smile:" in streams.out


def test_progress_never_counts_past_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(console.Style()) as report:
        report(Progress("deblur", 25, 24))
    assert capsys.readouterr().err.startswith("deblurring 25/25")


def test_a_name_that_is_no_utf8_is_an_error_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", os.fsdecode(b"caf\xe9.mp4")]) == 3
    assert "caf\\xe9.mp4 does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_a_step_says_what_it_looks_for(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(console.Style(as_json=as_json)) as report:
        report(Progress("register views", 2, 8, "exposure"))
        report(Progress("judge", 1, 6))
    named, other = capsys.readouterr().err.splitlines()
    assert ('"looking_for": "exposure"' if as_json else "registering: exposure 2/8") in named
    assert "looking_for" not in other and "exposure" not in other
