"""Tables: one line per row in a pipe, within 80 columns in a terminal, nothing lost in either."""

import pytest
from rich.console import Console

from asled_cli.cli.app import main
from asled_cli.cli.output import console
from asled_cli.cli.output.plain_table import labelled, plain_table, record_list, table_width

COLUMNS = ("name", "size", "where it is described")
LONG = "in a sentence that is long enough to be continued " * 3
ROWS = [("short", "1", "here"), ("名前 wide", "22,000", LONG), ("x", "", "")]


def test_in_a_pipe_each_row_is_one_line() -> None:
    title, head, *lines = plain_table("things", COLUMNS, ROWS).splitlines()
    assert title == "things" and head.split("  ")[0] == "name" and len(lines) == len(ROWS)
    assert lines[0].index("1") == head.index("size") and lines[2] == "x"
    assert lines[1].endswith("be continued")


def test_in_a_narrow_terminal_each_row_is_a_record() -> None:
    text = record_list("things", COLUMNS, ROWS, 60)
    assert max(map(len, text.splitlines())) <= 60 < table_width(COLUMNS, ROWS)
    assert " ".join(text.split()).count("in a sentence that is long enough") == 3
    assert text.splitlines()[:2] == ["things", "======"]
    assert text.splitlines()[-1] == "x"  # empty cells take no line


def test_long_values_continue_below_themselves_and_paths_stay_whole() -> None:
    path = "/shared/a/very/long/folder/name/that/does/not-fit-into/the/line/wide_deblurred.mp4"
    lines = labelled("output  ", f"two words, then {path} and {LONG}", 40)
    assert all(line.startswith(" " * 8) for line in lines[1:]) and any(path in line for line in lines)
    assert all(len(line) <= 40 for line in lines if path not in line)
    assert labelled("empty  ", "", 40) == ["empty  "]


@pytest.mark.parametrize("command", [["models"], ["models", "--params", "asled-fast"]])
def test_nothing_is_wider_than_a_terminal_of_80_columns(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "Console", lambda: Console(force_terminal=True, width=80, color_system=None))
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5 and max(map(len, lines)) <= 80


def test_values_fit_into_a_terminal_and_are_one_line_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.show_values("job", {"stages": LONG, "output": "out.mp4"}, console.Style())
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setattr(console, "Console", lambda: Console(force_terminal=True, width=80, color_system=None))
    console.show_values("job", {"stages": LONG, "output": "out.mp4"}, console.Style())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 80


def test_the_list_of_networks_reads_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "networks" and ["asled-fast", "699,760"] in [line.split()[:2] for line in lines]
    assert not any(sign in line for line in lines for sign in "│┃━")
