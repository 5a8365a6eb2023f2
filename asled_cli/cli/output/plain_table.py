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

    The title is underlined. room: width of the terminal, columns; longer cells continue below themselves.
    """
    width = max(map(cell_len, columns))
    lines = [title, "=" * cell_len(title)]
    for first, *rest in rows:
        lines.append(first)
        for column, cell in zip(columns[1:], rest, strict=True):
            lines += labelled(f"{GAP}{set_cell_size(column, width)}{GAP}", cell, room) if cell else []
    return "\n".join(lines) + "\n"


def labelled(label: str, text: str, room: int) -> list[str]:
    """Return a text behind its label, continued below itself where it is longer than `room` columns."""
    indent = cell_len(label)
    # Paths and options stay whole, to be copied.
    parts = wrap(text, max(20, room - indent), break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label if place == 0 else ' ' * indent}{part}" for place, part in enumerate(parts)]


def _widths(columns: Sequence[str], rows: Rows) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
