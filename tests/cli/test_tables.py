"""Tables: one line per row in a pipe, within 80 columns in a terminal, nothing lost in either."""

import pytest

from asled_cli.cli.app import main
from asled_cli.cli.output.plain_table import plain_table, record_list, table_width

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
    assert text.splitlines()[-1] == "x"  # empty cells take no line


def test_the_list_of_networks_reads_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "networks" and ["asled-fast", "699,760"] in [line.split()[:2] for line in lines]
    assert not any(sign in line for line in lines for sign in "│┃━")
