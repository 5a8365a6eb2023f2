"""Restore one clip alone, from its own frames: see `deconvolution`."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from asled_cli.deconvolution.clip_file import deblur_clip
from asled_cli.deconvolution.single_lens import DEFAULTS, Deblurred, SingleLensConfig, SingleLensRestorer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import RestoredFrame
from asled_cli.video.frames import Frame

FRAMES_BEFORE = DEFAULTS.look_ahead + 1  # that the restoration of a frame depends on, and one to spare
BYTES_PER_PIXEL = (FRAMES_BEFORE + 2 * DEFAULTS.radius) * 16 + 200  # held frames, and the work on one


def restore_alone(
    frames: Iterable[Frame], exposure: float, frame_s: Fraction, *, strength: float = 1.0, workers: int = 1
) -> Iterator[RestoredFrame]:
    """Yield every frame with its change, in order, some frames later.

    exposure: in frame intervals; 0: nothing is changed. frame_s: the usual time from frame to frame, seconds.
    workers: threads. Memory: BYTES_PER_PIXEL of a frame, for any length of the clip.
    """
    for frame, found in deblur_clip(frames, exposure, frame_s, SingleLensConfig(workers=workers)):
        yield _restored(frame, found, strength)


class OneClipRestorer:
    """Restores the targets of aligned frames without a look at their references."""

    def __init__(self, exposure: float) -> None:
        self._restorer = SingleLensRestorer(exposure, DEFAULTS)
        self._waiting: deque[Frame] = deque()

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        self._waiting.append(aligned.pair.target)
        return self._named(self._restorer.push(aligned.pair.target.rgb))

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that wait inside."""
        return self._named(self._restorer.flush())

    def _named(self, found: list[Deblurred]) -> list[RestoredFrame]:
        return [_restored(self._waiting.popleft(), one, 1.0) for one in found]


def _restored(frame: Frame, found: Deblurred, strength: float) -> RestoredFrame:
    """Return a frame with the share `strength` of its change; no reference is missing where none is used."""
    change = None if found.change is None or strength == 0 else found.change * strength
    return RestoredFrame(frame, change, has_reference=True)
