"""Restore one clip alone: each frame's multi-frame inversion takes the place of the other lens's view.

What restores a pair restores one clip too: its references are inversions, averaged along the camera's motion
like those of a second lens (`temporal_fusion`), and merged by confidence or by a network.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from asled_cli.deconvolution.blended import blended_lens
from asled_cli.deconvolution.blended.blended_lens import BlendedLensRestorer
from asled_cli.deconvolution.clip_file import follows
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.scene.scene_lens import SceneLensRestorer
from asled_cli.deconvolution.single_lens import DEFAULTS, Deblurred, SingleLensConfig, SingleLensRestorer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.temporal_fusion import FrameWindows
from asled_cli.restoration.base import RestoredFrame, Restorer
from asled_cli.restoration.neighbour_references import with_reference
from asled_cli.restoration.reduced_frames import Codes, enlarged, reduced
from asled_cli.video.frames import Frame, FramePair

FUSED = 2  # frames on either side whose inversions are averaged
REACH = 3  # frames on either side from which one that could not be inverted takes its reference
_MERGED = 1 + FUSED + REACH  # frames before one whose inversions it takes, and one to spare
FRAMES_BEFORE = DEFAULTS.look_back + _MERGED  # that a restored frame depends on, where nothing is blended
BYTES_PER_PIXEL = (FRAMES_BEFORE + 2 * DEFAULTS.radius) * 16 + 200  # held frames, and the work on one


def frames_before(blur: ExposureFit | None) -> int:
    """Return how many frames before a restored one it depends on, and as many after it."""
    return FRAMES_BEFORE if blur is None or not blur.blended else blended_lens.REACH + _MERGED


class FrameInverter:
    """Turns the frames of one clip into aligned frames whose references are their inversions.

    A cut, a missing frame or an uneven step separates: the path through frames at other times than the
    exposure counts in would be wrong.
    """

    def __init__(
        self,
        blur: ExposureFit,
        frame_s: Fraction | None = None,
        *,
        workers: int = 1,
        motion: bool = False,
        long_side: int | None = None,
    ) -> None:
        """Take the exposure and how the blur moves; at an exposure of 0 nothing is inverted.

        frame_s: the usual time from frame to frame, seconds; None: all frames are neighbours. workers:
        threads. motion: whether to find the camera's motion too where nothing is inverted. long_side: pixels
        to which larger frames are reduced for their inversion; None: never.
        """
        inverts = blur.exposure > 0
        config = SingleLensConfig(workers=workers, describe=motion or inverts, along_path=blur.along_path)
        self._restorer = _restorer(blur, config)
        self._waiting: deque[tuple[Frame, Codes]] = deque()  # each with the frame that is inverted
        self._long_side = long_side
        self._frame_s = frame_s
        self._last: Frame | None = None
        self._began = False
        self._windows = FrameWindows(REACH if inverts else 0)

    def push(self, frame: Frame, *, wanted: bool = True) -> list[AlignedFrame]:
        """Take the next frame; return those that are finished now.

        wanted: whether to invert it; otherwise it only explains the frames around it.
        """
        last, done = self._last, []
        if last is not None and self._frame_s is not None and not follows(frame, last, self._frame_s):
            done = self._aligned(self._restorer.flush())
        self._last = frame
        rgb = frame.rgb if self._long_side is None else reduced(frame.rgb, self._long_side)
        self._waiting.append((frame, rgb))
        return done + self._aligned(self._pushed(frame, rgb, wanted))

    def _pushed(self, frame: Frame, rgb: Codes, wanted: bool) -> list[Deblurred]:
        if isinstance(self._restorer, BlendedLensRestorer):
            number = frame.index if self._frame_s is None else round(frame.time / self._frame_s)
            return self._restorer.push(rgb, number, wanted=wanted)
        return self._restorer.push(rgb, wanted=wanted)

    def flush(self) -> list[AlignedFrame]:
        """Finish the frames that wait inside."""
        return self._aligned(self._restorer.flush()) + [with_reference(w) for w in self._windows.flush()]

    def _aligned(self, found: list[Deblurred]) -> list[AlignedFrame]:
        frames = [self._one(*self._waiting.popleft(), one) for one in found]
        return [with_reference(w) for frame in frames for w in self._windows.push(frame)]

    def _one(self, frame: Frame, rgb: Codes, found: Deblurred) -> AlignedFrame:
        own, pair = found.reference, FramePair(frame, None)
        cut = self._began and (own is None or not own.follows)
        self._began = True
        if own is None:
            return replace(without_reference(pair), is_cut=cut)
        own = enlarged(own, rgb, frame.rgb)
        travel = np.zeros_like(own.flow_next)
        return AlignedFrame(pair, own.sharp, own.guide, own.flow_previous, own.flow_next, travel, cut)


def _restorer(
    blur: ExposureFit, config: SingleLensConfig
) -> SingleLensRestorer | SceneLensRestorer | BlendedLensRestorer:
    """Return what inverts frames that are blurred so: by a camera, by parts of the scene, or by blending."""
    if blur.exposure <= 0 or blur.motion == "camera":
        return SingleLensRestorer(blur.exposure, config)
    if blur.blended:
        return BlendedLensRestorer(blur.blended, config)
    return SceneLensRestorer(blur.exposure, config)


def inverted_frames(
    frames: Iterable[Frame],
    blur: ExposureFit,
    frame_s: Fraction,
    *,
    workers: int = 1,
    motion: bool = False,
    long_side: int | None = None,
) -> Iterator[AlignedFrame]:
    """Yield every frame with its inversion as its reference, in order, some frames later.

    Arguments as of `FrameInverter`. Memory: BYTES_PER_PIXEL of a frame, for any length of the clip.
    """
    inverter = FrameInverter(blur, frame_s, workers=workers, motion=motion, long_side=long_side)
    for frame in frames:
        yield from inverter.push(frame)
    yield from inverter.flush()


class OneClipRestorer:
    """Restores the targets of aligned frames without a look at their references."""

    def __init__(self, blur: ExposureFit, restorer: Restorer) -> None:
        """Take the blur as `FrameInverter` does, and what merges frames with their inversions."""
        self._inverter, self._restorer = FrameInverter(blur), restorer

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        return self._restored(self._inverter.push(aligned.pair.target))

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that wait inside."""
        return self._restored(self._inverter.flush()) + self._restorer.flush()

    def _restored(self, frames: list[AlignedFrame]) -> list[RestoredFrame]:
        return [done for frame in frames for done in self._restorer.push(frame)]
