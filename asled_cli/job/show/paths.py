"""Names of the compare clip and of the report page, checked before any work. Standard library only."""

import os
from collections.abc import Sequence
from pathlib import Path

from asled_cli.errors import UsageError

AUTO = Path("auto")  # as an option's value: the usual name, beside the output
PAGES = (".html", ".htm")


def beside(out: Path, ending: str) -> Path:
    """Return the name of a file beside `out`: its name without suffix, then `ending`."""
    return out.with_name(out.stem + ending)


def compare_path(asked: Path | None, out: Path) -> Path | None:
    """Return the name of the compare clip of an output; None if none was asked for."""
    return beside(out, f"_compare{out.suffix}") if asked == AUTO else asked


def report_path(asked: Path | None, out: Path, ending: str = "_report.html") -> Path | None:
    """Return the name of the report page of an output; None if none was asked for."""
    return beside(out, ending) if asked == AUTO else asked


def check_report(path: Path | None, others: Sequence[Path], *, overwrite: bool) -> None:
    """Raise UsageError unless a page can be written to `path`, and may be. others: files it must not be."""
    if path is None:
        return
    if path.suffix.lower() not in PAGES:
        raise UsageError(f"--report is {path.name!r}, expected a name that ends in {' or '.join(PAGES)}.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--report: the folder {folder} does not exist.", "Make it first.")
    check_distinct("--report", path, others)
    if path.is_dir():
        raise UsageError(f"--report: {path} is a folder, expected a file name.")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(
            f"--report: {path} exists already.", "Choose another name, or replace it with --overwrite."
        )


def check_distinct(option: str, path: Path, others: Sequence[Path]) -> None:
    """Raise UsageError if `path` is one of the other files of the job, also by a link."""
    for other in others:
        same = path.absolute() == other.absolute()
        if same or (path.exists() and other.exists() and path.samefile(other)):
            raise UsageError(f"{option} {path} is another file of this job, expected a file of its own.")
