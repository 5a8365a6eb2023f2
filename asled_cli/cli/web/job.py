"""One job of the page: runs in a thread, reports through a queue, can be cancelled and resumed."""

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from asled_cli.errors import AsledError
from asled_cli.job.config import DeblurConfig, Method
from asled_cli.job.records import DeblurResult, Event
from asled_cli.job.show.paths import AUTO
from asled_cli.spatial.run import is_spatial, run_job
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.output_file import default_output, work_folder

Update = Event | DeblurResult | AsledError | None  # None: cancelled


class CancelledError(Exception):
    """Raised inside a job that is to stop."""


class WebJob:
    """The job of one visitor: one at a time. folder: for its results; None: a new private one."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="asled-ui-"))
        self._stop = threading.Event()

    def cancel(self) -> None:
        """Stop the running job after the frame in hand; finished segments are kept."""
        self._stop.set()

    def run(
        self, wide: Path, ultra: Path | None, method: Method, *, dry_run: bool = False
    ) -> Iterator[Update]:
        """Yield the plan, the progress, and at the end the result, an error, or None if it was cancelled.

        A job on the same clip that was cancelled is resumed. Raises what nobody foresaw.
        """
        self._stop.clear()
        out = self.folder / default_output(wide).name
        job = DeblurConfig(
            wide, ultra, out=out, method=method, dry_run=dry_run, encode=EncodeConfig(overwrite=True),
            resume=not dry_run and work_folder(out).is_dir(), compare=AUTO, report=AUTO,
        )  # fmt: skip
        updates: SimpleQueue[Any] = SimpleQueue()
        thread = threading.Thread(target=self._work, args=(job, updates), daemon=True)
        thread.start()
        try:
            while True:
                update = updates.get()
                if isinstance(update, BaseException) and not isinstance(update, AsledError):
                    raise update
                yield update
                if not isinstance(update, Event):
                    return
        finally:
            self._stop.set()  # whoever listened has gone
            thread.join()

    def _work(self, job: DeblurConfig, updates: "SimpleQueue[Any]") -> None:
        def report(event: Event) -> None:
            if self._stop.is_set():
                raise CancelledError
            updates.put(event)

        try:
            if is_spatial(job):  # there is no compare clip of two views
                job = replace(job, compare=None, report=None)
            updates.put(run_job(job, report))
        except CancelledError:
            updates.put(None)
        except BaseException as error:
            updates.put(error)
