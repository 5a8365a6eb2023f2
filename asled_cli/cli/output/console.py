"""Terminal output: plan, progress, summary, tables, errors; or the same as JSON lines.

Results (plan, summary, tables) go to stdout; progress, warnings and errors to stderr.
The only file that uses rich.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from asled_cli.cli.output.plain_table import labelled, plain_table, record_list, table_width
from asled_cli.errors import AsledError
from asled_cli.job.records import DeblurPlan, DeblurResult, Event, JobReport
from asled_cli.job.show.job_rows import duration_text, plan_rows, result_rows
from asled_cli.progress import Progress
from asled_cli.runtime.printable import printable, shortened

PLAIN_LINE_EVERY_S = 5.0  # progress lines where no bar can be drawn
STEP_NAMES = {
    "synchronise": "synchronising",
    "analyse": "analysing",
    "register views": "registering",
    "follow": "tracking OIS",
    "judge": "measuring sharpness",
    "measure exposure": "measuring exposure",
    "deblur": "deblurring",
    "encode": "encoding the unchanged view",
    "measure": "measuring",
    "train": "training",
    "make": "making clips",
    "register": "registering clips",
}
COUNTED = {"train": "steps/s", "make": "clips/s", "register": "clips/s"}  # others count frames


@dataclass(frozen=True, slots=True)
class Style:
    """The amount and form of output."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False


class _LogLines(logging.Handler):
    """Puts log records on stderr, above a progress bar if one is drawn."""

    def __init__(self, stderr: Console, as_json: bool) -> None:
        super().__init__()
        self.stderr = stderr
        self.as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one line."""
        word = record.levelname.lower()
        if self.as_json:
            _json_line(sys.stderr, word, {"message": record.getMessage()})
        else:
            line = Text(f"{word}: {printable(record.getMessage())}")
            self.stderr.print(line, highlight=False, soft_wrap=True)


@contextmanager
def progress(style: Style) -> Iterator[JobReport]:
    """Yield a report function for `run_deblur`: plan to stdout, progress and warnings to stderr."""
    stderr = Console(stderr=True)
    handler = _LogLines(stderr, style.as_json)
    logger = logging.getLogger("asled_cli")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO if style.verbose else logging.ERROR if style.quiet else logging.WARNING)
    try:
        if style.quiet:
            yield lambda event: None
        elif style.as_json or not stderr.is_terminal:
            yield _LineReport(style)
        else:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[fps]}"),
                TimeRemainingColumn(),
            )
            with Bar(*columns, console=stderr, transient=True) as bar:
                yield _BarReport(style, bar)
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _step_text(event: Progress) -> str:
    """Return the name of a step, with what it is looking for."""
    name = STEP_NAMES.get(event.step, event.step)
    return f"{name}: {event.looking_for}" if event.looking_for else name


class _BarReport:
    """Draws one bar per step."""

    def __init__(self, style: Style, bar: Bar) -> None:
        self.style = style
        self.bar = bar
        self.tasks: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, DeblurPlan):
            show_plan(event, self.style)
            return
        if event.step not in self.tasks:
            self.tasks[event.step] = self.bar.add_task(_step_text(event), total=event.total, fps="")
        task = self.tasks[event.step]
        speed = self.bar.tasks[task].speed
        fps = "" if speed is None else f"{speed:.2f} {COUNTED.get(event.step, 'fps')}"
        total = max(event.total, event.done)
        self.bar.update(task, description=_step_text(event), completed=event.done, total=total, fps=fps)


class _LineReport:
    """Writes a line for the first and the last frame of a step and every few seconds between."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.started: dict[str, float] = {}
        self.last_line = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, DeblurPlan):
            show_plan(event, self.style)
            return
        now = time.monotonic()
        first = event.step not in self.started
        started = self.started.setdefault(event.step, now)
        if not first and event.done < event.total and now - self.last_line < PLAIN_LINE_EVERY_S:
            return
        self.last_line = now
        event = replace(event, total=max(event.total, event.done))  # a total is a guess from the header
        fps = event.done / (now - started) if now > started else 0.0
        left = (event.total - event.done) / fps if fps > 0 else None
        self._write(event, fps, left)

    def _write(self, event: Progress, fps: float, left: float | None) -> None:
        if self.style.as_json:
            values = {"step": event.step, "done": event.done, "total": event.total, "fps": round(fps, 3)}
            if event.looking_for:
                values["looking_for"] = event.looking_for
            _json_line(sys.stderr, "progress", values | {"left_s": None if left is None else round(left, 1)})
            return
        line = f"{_step_text(event)} {event.done}/{event.total}"
        if left is not None:
            line += f", {fps:.2f} {COUNTED.get(event.step, 'fps')}, {duration_text(left)} left"
        sys.stderr.write(line + "\n")


def show_plan(plan: DeblurPlan, style: Style) -> None:
    """Print the resolved plan on stdout."""
    if style.as_json:
        _json_line(sys.stdout, "plan", plan.as_dict())
        return
    _show_rows(plan_rows(plan))
    for note in plan.notes:
        sys.stdout.write(f"note: {shown(note)}\n")
    sys.stdout.flush()


def show_result(result: DeblurResult, style: Style) -> None:
    """Print the summary of a finished job on stdout; nothing after a dry run but the plan."""
    if style.as_json:
        _json_line(sys.stdout, "result", result.as_dict())
        return
    if style.quiet or result.out is None:
        _show_scores(result)
        return
    _show_rows(result_rows(result))
    _show_scores(result)


def _show_scores(result: DeblurResult) -> None:
    before, after = result.psnr_input_db, result.psnr_result_db
    if before is not None and after is not None:
        sys.stdout.write(f"PSNR: {before:.2f} dB before, {after:.2f} dB after ({after - before:+.2f} dB)\n")
    sys.stdout.flush()


def show_values(title: str, values: Mapping[str, object], style: Style) -> None:
    """Print names and values on stdout, one to a line, or all as one JSON line; nothing if quiet."""
    if style.as_json:
        _json_line(sys.stdout, title, values)
    elif not style.quiet:
        _show_rows({name: _number(value) for name, value in values.items()})


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], style: Style) -> None:
    """Print a table on stdout, or one JSON line per row."""
    if style.as_json:
        for row in rows:
            _json_line(sys.stdout, title, dict(zip(columns, row, strict=True)))
        return
    cells = [[shown(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        sys.stdout.write(plain_table(printable(title), columns, cells))
    elif len(columns) > 2 and table_width(columns, cells) > console.width:
        sys.stdout.write(record_list(printable(title), columns, cells, console.width))
    else:
        _print_table(console, title, columns, cells)
    sys.stdout.flush()


def _print_table(
    console: Console, title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]
) -> None:
    table = Table(title=Text(printable(title)), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def show_lines(event: str, lines: Sequence[str], style: Style) -> None:
    """Print short sentences on stdout, or one JSON line each; nothing when quiet."""
    for line in lines:
        if style.as_json:
            _json_line(sys.stdout, event, {"text": line})
        elif not style.quiet:
            sys.stdout.write(f"{event}: {shown(line)}\n")
    sys.stdout.flush()


def show_error(error: AsledError, *, as_json: bool = False) -> None:
    """Print an explained failure on stderr: one line, and a hint where there is one."""
    if as_json:
        values = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        _json_line(sys.stderr, "error", values)
        return
    sys.stderr.write(f"error: {printable(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"hint: {printable(error.hint)}\n")


def _json_line(stream: Any, event: str, values: Mapping[str, object]) -> None:
    stream.write(json.dumps(_finite({"event": event, **values}), default=str) + "\n")
    stream.flush()


def _finite(value: object) -> object:
    """Return a copy for JSON with null for infinite numbers and NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def shown(text: str) -> str:
    """Return a value on one line, without control characters that a terminal would act upon."""
    return printable(shortened(text))


def _show_rows(rows: Mapping[str, str]) -> None:
    width, console = max(len(name) for name in rows), Console()
    for name, text in rows.items():
        label = f"{name:<{width}}  "
        lines = labelled(label, shown(text), console.width) if console.is_terminal else [label + shown(text)]
        sys.stdout.write("\n".join(lines) + "\n")


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(_number(part) for part in value) + ")"
    return str(value)
