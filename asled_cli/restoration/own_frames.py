"""Refine what another restorer makes of a pair by the target's own frames: see `deconvolution`."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.clip_file import follows
from asled_cli.deconvolution.single_lens import Deblurred, SingleLensConfig, SingleLensRestorer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration import one_clip
from asled_cli.restoration.base import RestoredFrame, Restorer
from asled_cli.video.frames import Frame

BYTES_PER_PIXEL = one_clip.BYTES_PER_PIXEL + one_clip.FRAMES_BEFORE * 12  # waiting changes by the restorer

Change = NDArray[np.float32] | None


class OwnFramesRestorer:
    """Restores by another restorer, then by inversion of the target's own frames around the result.

    A frame whose reference does not help comes out as if its clip had been deblurred alone.
    """

    def __init__(
        self,
        restorer: Restorer,
        exposure: float,
        frame_s: Fraction,
        *,
        limit: Callable[[float, Change], Change] = lambda time_s, change: change,
        share: Callable[[float], float] = lambda time_s: 1.0,
        strength: float = 1.0,
        workers: int = 1,
    ) -> None:
        """Wrap `restorer`.

        exposure: of the target, in frame intervals; 0: nothing is inverted. frame_s: the usual time from
        frame to frame, seconds. limit: the change that is allowed at a time in seconds, of one by `restorer`.
        share: how much of the inversion to apply at a time; strength: of all of it.
        """
        self._restorer, self._limit, self._frame_s = restorer, limit, frame_s
        self._share_at, self._strength = share, strength
        self._inversion = SingleLensRestorer(exposure, SingleLensConfig(workers=workers))
        self._waiting: deque[RestoredFrame | None] = deque()  # None: of a frame that is only seen
        self._last: Frame | None = None

    def see_pair(self, aligned: AlignedFrame) -> None:
        """Take a frame before the first one to restore: its target explains the frames after it."""
        self._take(aligned.pair.target, None)

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        return self._refined(self._restorer.push(aligned))

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that wait inside."""
        return self._refined(self._restorer.flush()) + self._named(self._inversion.flush())

    def _refined(self, frames: list[RestoredFrame]) -> list[RestoredFrame]:
        done: list[RestoredFrame] = []
        for frame in frames:
            change = self._limit(float(frame.target.time), frame.change)
            kept = change is None and frame.change is not None
            done += self._take(frame.target, replace(frame, change=change, is_kept=kept))
        return done

    def _take(self, target: Frame, restored: RestoredFrame | None) -> list[RestoredFrame]:
        done: list[RestoredFrame] = []
        if self._last is not None and not follows(target, self._last, self._frame_s):
            done = self._named(self._inversion.flush())
        self._last = target
        self._waiting.append(restored)
        change = None if restored is None else restored.change
        share = 0.0 if restored is None else self._share_at(float(target.time)) * self._strength
        return done + self._named(self._inversion.push(target.rgb, change, share))

    def _named(self, found: list[Deblurred]) -> list[RestoredFrame]:
        named = [(self._waiting.popleft(), one.change) for one in found]
        return [self._final(frame, change) for frame, change in named if frame is not None]

    def _final(self, frame: RestoredFrame, change: Change) -> RestoredFrame:
        return replace(frame, change=change, is_kept=frame.is_kept and change is None)
