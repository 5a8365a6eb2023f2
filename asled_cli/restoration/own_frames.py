"""Use the inversion of a pair's own target frames where their reference cannot help: see `deconvolution`.

Where references are missing or as blurred as the frames, a frame gets its inversion as its reference, and is
restored as the others are. Where they help little, the result is moved towards the inversion.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.registration.rendering.temporal_fusion import FrameWindow, FrameWindows, fuse_window
from asled_cli.restoration import one_clip
from asled_cli.restoration.base import FULL_SCALE, RestoredFrame, Restorer
from asled_cli.restoration.one_clip import FRAMES_BEFORE, FUSED, FrameInverter, frames_before
from asled_cli.restoration.sharp_regions import limit_colour
from asled_cli.video.frames import Frame

# Besides those of one clip: the references that wait for inversions, and inversions that wait for results.
BYTES_PER_PIXEL = one_clip.BYTES_PER_PIXEL + FRAMES_BEFORE * 12

Change = NDArray[np.float32] | None


@dataclass(frozen=True)
class _Inside:
    """A frame in the restorer. own: its inversion, if wanted; lends: whether that is its reference there."""

    own: AlignedFrame | None
    lends: bool
    has_reference: bool  # of the other view


class OwnFramesRestorer:
    """Restores by another restorer, with the frames' own inversion where that is worth more.

    A frame whose reference does not help comes out as if its clip had been inverted alone. Frames farther
    from such frames than inversions reach are not looked at.
    """

    def __init__(
        self,
        restorer: Restorer,
        blur: ExposureFit,
        frame_s: Fraction,
        *,
        limit: Callable[[float, Change], Change] = lambda time_s, change: change,
        share: Callable[[float], float] = lambda time_s: 1.0,
        lends: Callable[[float], bool] = lambda time_s: False,
        strength: float = 1.0,
        workers: int = 1,
        long_side: int | None = None,
    ) -> None:
        """Wrap `restorer`.

        blur: of the target, see `FrameInverter`. frame_s: the usual time from frame to frame, seconds.
        limit: the change that is allowed at a time in seconds, of one by `restorer`.
        share: how much of the inversion to apply at a time; strength: of all of it. lends: whether a frame
        at a time gets its inversion as its reference, in place of any other; nothing of this limits it then.
        workers, long_side: see `FrameInverter`.
        """
        self._restorer, self._limit = restorer, limit
        self._share_at, self._strength, self._lends = share, strength, lends
        self._inverter = FrameInverter(blur, frame_s, workers=workers, long_side=long_side)
        self._windows = FrameWindows(FUSED)
        self._waiting: deque[AlignedFrame[Any] | None] = deque()  # None: a frame that is only seen
        self._inside: deque[_Inside] = deque()  # of the frames in the restorer
        self._inverts, self._reach = blur.exposure > 0, frames_before(blur)
        self._frame_s = float(frame_s)

    def see_pair(self, aligned: AlignedFrame[Any]) -> None:
        """Take a frame before the first one to restore: its target explains the frames after it."""
        self._take(aligned.pair.target, None)

    def push(self, aligned: AlignedFrame[Any]) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        return self._take(aligned.pair.target, aligned)

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that wait inside."""
        return self._end_of_stretch() + [self._final(frame) for frame in self._restorer.flush()]

    def _take(self, target: Frame, aligned: AlignedFrame[Any] | None) -> list[RestoredFrame]:
        time_s = float(target.time)
        if not self._matters(time_s):
            done = self._end_of_stretch()
            return done if aligned is None else done + self._hand_on(aligned, None)
        self._waiting.append(aligned)
        return self._named(self._inverter.push(target, wanted=self._wanted(time_s)))

    def _wanted(self, time_s: float) -> bool:
        """Return whether the inversion of a frame at this time is of use."""
        return self._lends(time_s) or self._share_at(time_s) * self._strength > 0

    def _matters(self, time_s: float) -> bool:
        """Return whether a frame at this time is of use for an inversion."""
        if not self._inverts:
            return False
        around = range(-self._reach, self._reach + 1)
        return any(self._wanted(time_s + k * self._frame_s) for k in around)

    def _end_of_stretch(self) -> list[RestoredFrame]:
        """Finish the frames that wait for inversions: the next frame is far away, or there is none."""
        if not self._waiting:
            return []
        done = self._named(self._inverter.flush())
        return done + [found for window in self._windows.flush() for found in self._inverted(window)]

    def _named(self, inverted: list[AlignedFrame]) -> list[RestoredFrame]:
        windows = [window for frame in inverted for window in self._windows.push(frame)]
        return [found for window in windows for found in self._inverted(window)]

    def _inverted(self, window: FrameWindow) -> list[RestoredFrame]:
        aligned, own = self._waiting.popleft(), fuse_window(window)
        return [] if aligned is None else self._hand_on(aligned, own)

    def _hand_on(self, aligned: AlignedFrame[Any], own: AlignedFrame | None) -> list[RestoredFrame]:
        """Give a frame to the restorer, in a gap with its own inversion; return those finished now."""
        if own is None or own.reference is None or not self._wanted(float(aligned.pair.target.time)):
            own = None
        lends = own is not None and self._lends(float(own.pair.target.time))
        self._inside.append(_Inside(own, lends, aligned.pair.reference is not None))
        seen = replace(own, is_cut=aligned.is_cut or own.is_cut) if own is not None and lends else aligned
        return [self._final(frame) for frame in self._restorer.push(seen)]

    def _final(self, restored: RestoredFrame) -> RestoredFrame:
        """Return a restored frame with what the plan allows, moved towards its inversion."""
        inside = self._inside.popleft()
        own = inside.own
        if inside.lends:
            return replace(restored, has_reference=inside.has_reference)
        time_s = float(restored.target.time)
        change = self._limit(time_s, restored.change)
        restored = replace(restored, change=change, is_kept=change is None and restored.change is not None)
        share = self._share_at(time_s)
        if own is None or share * self._strength == 0:
            return restored
        change = _towards(own, restored.change, np.float32(share), np.float32(self._strength))
        return replace(restored, change=limit_colour(own, change), is_kept=False)


def _towards(own: AlignedFrame, change: Change, share: np.float32, strength: np.float32) -> Change:
    """Return the change moved towards that to the inversion by its confidence times `share`."""
    assert own.reference is not None
    whole = (own.reference.astype(np.float32) - own.pair.target.rgb) * (strength / np.float32(FULL_SCALE))
    weight = (swap_weight(own) * share)[..., None]
    return np.asarray(whole * weight if change is None else change + (whole - change) * weight, np.float32)
