"""One job of a batch: keep what exists, resume what is unfinished, start over what cannot be resumed."""

import time
from collections.abc import Callable
from pathlib import Path

from asled_cli.errors import InputError, UsageError
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.report import Outcome
from asled_cli.video.output_file import work_folder

Deblur = Callable[[Path, bool], tuple[int, str]]
"""Does the work: (output, whether to resume) -> exit code and sentence."""


def run_job(pair: BatchPair, folder: Path, deblur: Deblur, overwrite: bool) -> Outcome:
    """Do one job unless its result exists, and return its row."""
    out = folder / pair.out
    names = str(pair.wide), str(pair.ultra or ""), str(out)
    if pair.left_out:
        return Outcome(*names, status="left out", message=pair.left_out)
    if pair.refused:
        return Outcome(*names, "failed", InputError.exit_code, message=pair.refused)
    resume = work_folder(out).is_dir()
    if out.exists() and not resume and not overwrite:
        return Outcome(*names, status="exists")
    began = time.monotonic()
    code, said = deblur(out, resume)
    if code and resume and _may_start_over(code, said, overwrite):
        code, said = deblur(out, False)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(*names, "failed" if code else "done", code, seconds, said if code else "")


def _may_start_over(code: int, said: str, overwrite: bool) -> bool:
    """Return whether to start over a job that cannot be resumed: nothing was done, or --overwrite."""
    had_not_begun = code == UsageError.exit_code and "no unfinished work" in said
    return had_not_begun or (overwrite and "--overwrite" in said)
