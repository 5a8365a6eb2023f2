"""The index page of a batch: every job with its status and a link to its own page."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from asled_cli.errors import UsageError
from asled_cli.job.show.job_rows import duration_text
from asled_cli.job.show.pages.render import is_page, write_page
from asled_cli.job.show.paths import AUTO, report_path

INDEX = "index.html"


class Job(Protocol):
    """What became of one job."""

    @property
    def wide(self) -> str: ...
    @property
    def out(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def message(self) -> str: ...


def check_index(folder: Path, overwrite: bool) -> None:
    """Raise UsageError if the index would replace a file that is no page of this program."""
    path = folder / INDEX
    if os.path.lexists(path) and not overwrite and not is_page(path):
        raise UsageError(
            f"{path} exists, and is not a page of asled.", "Move it away, or choose another --out."
        )


def write_index(folder: Path, jobs: Sequence[Job]) -> None:
    """Write the index of a batch, complete or not at all. Raises AsledError if it cannot be written."""
    counts = {
        status: sum(job.status == status for job in jobs)
        for status in ("done", "exists", "failed", "left out")
    }
    write_page(
        folder / INDEX,
        "batch.html",
        title=f"Batch {folder.resolve().name}",
        figures=[(str(count), status) for status, count in counts.items()]
        + [(duration_text(sum(job.seconds for job in jobs)), "time of all jobs")],
        rows=[
            {
                "name": Path(job.wide).name,
                "status": job.status,
                "time": duration_text(job.seconds),
                "link": _link(folder, job),
                "message": job.message,
            }
            for job in jobs
        ],
    )


def _link(folder: Path, job: Job) -> str:
    """Return the address of a job's page, relative to the index; nothing where there is none."""
    page = report_path(AUTO, Path(job.out))
    if page is None or not (folder / page.name).is_file():
        return ""
    return "./" + quote(os.fsencode(page.name))
