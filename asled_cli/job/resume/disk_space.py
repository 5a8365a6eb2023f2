"""Free disk space: checked before the work and during it."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from asled_cli.errors import AsledError
from asled_cli.job.records import DeblurPlan
from asled_cli.video.encode.segments import Segment

MIN_FREE = 16 * 2**20  # bytes that are left to others
COPIES = 2  # segments and the joined movie lie on the disk together for a moment

log = logging.getLogger(__name__)


class SpaceWatch:
    """Watches the disk of `folder`. Raises AsledError, in time to go on later, when it gets too full."""

    def __init__(self, plan: DeblurPlan, folder: Path) -> None:
        self._folder = folder
        self._frames = plan.frames
        self._warned = False
        source = plan.wide.path.stat().st_size
        share = min(1.0, plan.frames / max(1, plan.wide.frame_estimate))
        self._others = int(source * share)  # room for sound and the rest: less than the whole source
        self._need(MIN_FREE, "to begin")
        self._warn(int(COPIES * source * share))

    def check(self, segments: Sequence[Segment]) -> None:
        """Look again after a segment; foresee what the rest will take."""
        written, frames = _bytes(segments), sum(len(segment.ticks) for segment in segments)
        self._need(MIN_FREE + max(segment.size for segment in segments), "for the next segment")
        left = max(0, self._frames - frames) * written // frames
        self._warn(left + written + left + min(self._others, written))

    def check_join(self, segments: Sequence[Segment]) -> None:
        """Look before the segments are joined."""
        self._need(_bytes(segments), "to join the finished segments")

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._folder).free
        except OSError as error:
            raise AsledError(f"{self._folder} cannot be seen: {error.strerror or error}.") from error

    def _need(self, needed: int, purpose: str) -> None:
        free = self._free()
        if free < needed:
            raise AsledError(
                f"{self._folder.parent} has {_mib(free)} free, expected {_mib(needed)} {purpose}.",
                "Make room.",
            )

    def _warn(self, expected: int) -> None:
        free = self._free()
        if free < expected and not self._warned:
            self._warned = True
            log.warning(
                "the disk may get full: %s are free, about %s will be needed", _mib(free), _mib(expected)
            )


def _bytes(segments: Sequence[Segment]) -> int:
    return sum(segment.size for segment in segments)


def _mib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
