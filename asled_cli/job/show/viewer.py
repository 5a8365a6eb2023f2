"""What looks at the frames while a job writes them: the compare clip and the report, where asked for."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from asled_cli.job.records import DeblurPlan, DeblurResult
from asled_cli.restoration.base import RestoredFrame
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.segments import Segment

if TYPE_CHECKING:
    from asled_cli.job.show.collect import Collector
    from asled_cli.job.show.compare import CompareClip


class Viewer:
    """`with Viewer(plan, folder, done, segment) as viewer`: leaving the block publishes the compare clip.

    folder: the work folder. done: segments finished by an earlier run. segment: frames per segment.
    Raises UsageError as CompareClip.
    """

    def __init__(self, plan: DeblurPlan, folder: Path, done: list[Segment], segment: int) -> None:
        self.plan = plan
        self._compare: CompareClip | None = None
        self._collector: Collector | None = None
        if plan.compare is not None:
            from asled_cli.job.show.compare import CompareClip

            self._compare = CompareClip(plan, folder, done, segment)
        if plan.report is not None:
            from asled_cli.job.show.collect import Collector

            self._collector = Collector.open(plan, folder, done)

    def see(self, frame: RestoredFrame, change: NDArray[np.float32] | None) -> None:
        """Look at one frame before it is written. change: what is added to it."""
        if self._compare is not None:
            self._compare.see(frame.target, change)
        if self._collector is not None:
            self._collector.see(frame.target, change, frame.confidence)

    def flush(self) -> None:
        """End the last segment of the compare clip after the last frame."""
        if self._compare is not None:
            self._compare.flush()

    def keep(self) -> None:
        """Keep what was collected, so that a resumed job can continue with it."""
        if self._collector is not None:
            self._collector.keep()

    def after_copy(self) -> None:
        """Look at the frames of a clip that was copied, so that there is a compare clip of it too."""
        if self._compare is None or self._compare.frames_written:
            return
        with ClipReader(self.plan.wide) as frames:
            for frame in frames:
                self._compare.see(frame, None)

    def write_report(self, result: DeblurResult) -> None:
        """Write the report of the finished job. Raises AsledError if it cannot be written."""
        if self._collector is not None:
            from asled_cli.job.show.pages.job_page import write_job_page

            write_job_page(result, self._collector)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._compare is not None:
            self._compare.__exit__(kind, error, trace)
