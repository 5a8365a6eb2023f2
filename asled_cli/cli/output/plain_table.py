"""Tables as plain text: aligned columns for pipes, and one record below the other for narrow terminals."""

from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size

GAP = "  "
Rows = Sequence[Sequence[str]]


def table_width(columns: Sequence[str], rows: Rows) -> int:
    """Return the width of a table with lines around its cells, terminal columns."""
    return sum(_widths(columns, rows)) + 3 * len(columns) + 1


def plain_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """Return aligned columns without lines; nothing is folded or cut, so that each row is one line."""
    widths = _widths(columns, rows)
    lines = [columns, *rows] if any(columns) else rows
    text = [
        GAP.join(set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([title, *text]) + "\n"


def record_list(title: str, columns: Sequence[str], rows: Rows, room: int) -> str:
    """Return each row as a record: its first cell, then one line for each other cell that is not empty.

    room: width of the terminal, columns; longer cells continue below themselves.
    """
    width = max(map(cell_len, columns))
    lines = [title]
    for first, *rest in rows:
        lines.append(first)
        for column, cell in zip(columns[1:], rest, strict=True):
            label = f"{GAP}{set_cell_size(column, width)}{GAP}"
            parts = wrap(cell, max(20, room - len(label))) if cell else []
            lines += [
                f"{label if place == 0 else ' ' * len(label)}{part}" for place, part in enumerate(parts)
            ]
    return "\n".join(lines) + "\n"


def _widths(columns: Sequence[str], rows: Rows) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
