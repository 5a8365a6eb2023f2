"""Add the inversion of a pair's own target frames where their reference cannot help: see `deconvolution`."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.registration.rendering.temporal_fusion import FrameWindows, fuse_window
from asled_cli.restoration import one_clip
from asled_cli.restoration.base import FULL_SCALE, RestoredFrame, Restorer
from asled_cli.restoration.one_clip import FUSED, FrameInverter
from asled_cli.restoration.sharp_regions import limit_colour
from asled_cli.video.frames import Frame

BYTES_PER_PIXEL = one_clip.BYTES_PER_PIXEL + one_clip.FRAMES_BEFORE * 12  # waiting changes by the restorer

Change = NDArray[np.float32] | None


class OwnFramesRestorer:
    """Restores by another restorer, then moves towards the frames' own inversion where that is worth more.

    A frame whose reference does not help comes out as if its clip had been inverted alone.
    """

    def __init__(
        self,
        restorer: Restorer,
        blur: ExposureFit,
        frame_s: Fraction,
        *,
        limit: Callable[[float, Change], Change] = lambda time_s, change: change,
        share: Callable[[float], float] = lambda time_s: 1.0,
        strength: float = 1.0,
        workers: int = 1,
    ) -> None:
        """Wrap `restorer`.

        blur: of the target, see `FrameInverter`. frame_s: the usual time from frame to frame, seconds.
        limit: the change that is allowed at a time in seconds, of one by `restorer`.
        share: how much of the inversion to apply at a time; strength: of all of it.
        """
        self._restorer, self._limit = restorer, limit
        self._share_at, self._strength = share, strength
        self._inverter = FrameInverter(blur, frame_s, workers=workers)
        self._windows = FrameWindows(FUSED)
        self._waiting: deque[RestoredFrame | None] = deque()  # None: of a frame that is only seen
        self._inverts = blur.exposure > 0

    def see_pair(self, aligned: AlignedFrame) -> None:
        """Take a frame before the first one to restore: its target explains the frames after it."""
        self._take(aligned.pair.target, None)

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        return self._with_own(self._restorer.push(aligned))

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that wait inside."""
        done = self._with_own(self._restorer.flush()) + self._named(self._inverter.flush())
        last = [self._final(fuse_window(window)) for window in self._windows.flush()]
        return done + [frame for frame in last if frame is not None]

    def _with_own(self, frames: list[RestoredFrame]) -> list[RestoredFrame]:
        done: list[RestoredFrame] = []
        for frame in frames:
            change = self._limit(float(frame.target.time), frame.change)
            kept = change is None and frame.change is not None
            done += self._take(frame.target, replace(frame, change=change, is_kept=kept))
        return done

    def _take(self, target: Frame, restored: RestoredFrame | None) -> list[RestoredFrame]:
        if not self._inverts:
            return [] if restored is None else [restored]
        self._waiting.append(restored)
        wanted = self._share_at(float(target.time)) * self._strength > 0
        return self._named(self._inverter.push(target, wanted=wanted))

    def _named(self, inverted: list[AlignedFrame]) -> list[RestoredFrame]:
        windows = [window for frame in inverted for window in self._windows.push(frame)]
        return [done for window in windows if (done := self._final(fuse_window(window))) is not None]

    def _final(self, own: AlignedFrame) -> RestoredFrame | None:
        """Return the restored frame, moved towards its inversion; None of one that is only seen."""
        restored = self._waiting.popleft()
        share = self._share_at(float(own.pair.target.time))
        if restored is None or own.reference is None or share * self._strength == 0:
            return restored
        change = _towards(own, restored.change, np.float32(share), np.float32(self._strength))
        return replace(restored, change=limit_colour(own, change), is_kept=False)


def _towards(own: AlignedFrame, change: Change, share: np.float32, strength: np.float32) -> Change:
    """Return the change moved towards that to the inversion by its confidence times `share`."""
    assert own.reference is not None
    whole = (own.reference.astype(np.float32) - own.pair.target.rgb) * (strength / np.float32(FULL_SCALE))
    weight = (swap_weight(own) * share)[..., None]
    return np.asarray(whole * weight if change is None else change + (whole - change) * weight, np.float32)
