"""The report of a batch: what became of each job, as JSON and CSV beside the results."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from asled_cli.errors import UsageError
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.runtime.printable import spreadsheet_cell

REPORT = "asled_batch"  # .json and .csv in the output folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one job. status: "done", "failed", "exists" or "left out"."""

    wide: str
    ultra: str
    out: str
    status: str
    exit_code: int = 0
    seconds: float = 0.0
    message: str = ""


def write_report(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the report as JSON and CSV, each replaced in one step. Raises AsledError if it cannot be."""
    rows = [asdict(outcome) for outcome in outcomes]
    replace_text(_place(folder, "json"), json.dumps(rows, indent=1) + "\n")
    lines: list[str] = []

    class Lines:
        """Collects what the CSV writer writes."""

        def write(self, text: str) -> None:
            lines.append(text)

    table = csv.DictWriter(Lines(), list(rows[0]) if rows else [])
    table.writeheader()
    table.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in rows)
    replace_text(_place(folder, "csv"), "".join(lines))


def check_report(folder: Path, overwrite: bool) -> None:
    """Raise UsageError if a file in the report's place is not the report of a batch, unless it may go."""
    columns = ",".join(field.name for field in fields(Outcome))
    for path, start in ((_place(folder, "json"), "["), (_place(folder, "csv"), columns)):
        if os.path.lexists(path) and not overwrite and not _starts_with(path, start):
            raise UsageError(
                f"{path} exists, and is not the report of a batch.", "Move it away, or choose another --out."
            )


def _starts_with(path: Path, start: str) -> bool:
    """Return whether a file begins like a report, or is empty, as after a full disk."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(1000)
    except (OSError, ValueError):
        return False
    if start == "[":
        return not text or (text.startswith("[") and (text[1:].strip() in ("", "]") or '"status"' in text))
    return not text or text.startswith(start)


def _place(folder: Path, suffix: str) -> Path:
    return folder / f"{REPORT}.{suffix}"


def replace_text(path: Path, text: str) -> None:
    """Write a text file in one step. Raises AsledError if it cannot be written."""
    data = text.encode("utf-8", "backslashreplace")
    with explain_full_disk(path):
        replace_file(path, lambda part: part.write_bytes(data))
