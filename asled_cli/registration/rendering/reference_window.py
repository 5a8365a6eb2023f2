"""Frames that the render pass holds: reference frames with their motion, and pending targets."""

from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp
from asled_cli.registration.blur.reference_motion import REACH, TrackedFrame, connect
from asled_cli.registration.rendering.aligned_frame import Picture
from asled_cli.video.frames import FramePair


@dataclass
class ReferenceWindow(Generic[Picture]):
    """Reference frames around the pending targets: canvas pictures, times, and the flow between them.

    chained: flow to frames farther away, by time and steps. tracked: frames with their motion, by time and
    how many frames are known after and before. All copies share both: neighbouring targets need the same.
    """

    times: list[float] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    frames: list[Picture] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)
    flows: list[tuple[Image, Image] | None] = field(default_factory=list)
    chained: dict[tuple[float, int], Image] = field(default_factory=dict)
    tracked: dict[tuple[float, int, int], TrackedFrame] = field(default_factory=dict)

    def copy(self) -> "ReferenceWindow[Picture]":
        """Return a window on the same pictures that later changes of this one do not affect."""
        return ReferenceWindow(
            list(self.times),
            list(self.images),
            list(self.frames),
            list(self.codes),
            list(self.flows),
            self.chained,
            self.tracked,
        )

    def drop_first(self) -> None:
        """Remove the earliest frame."""
        for items in (self.times, self.images, self.frames, self.codes, self.flows):
            items[:1] = []
        # Threads that still work on copies may add what was dropped before; it goes with the next frame.
        for chain in [key for key in list(self.chained) if key[0] < self.times[0]]:
            del self.chained[chain]
        for frame in [key for key in list(self.tracked) if key[0] < self.times[0]]:
            del self.tracked[frame]

    def nearest(self, time: float) -> int:
        """Return the index of the frame nearest to `time` (intervals)."""
        return int(np.argmin(np.abs(np.array(self.times) - time)))

    def scene(self, i: int) -> range:
        """Return the indices of the frames around frame `i` without a cut between."""
        first, last = i, i
        while first > 0 and self.flows[first - 1] is not None:
            first -= 1
        while last < len(self.flows) and self.flows[last] is not None:
            last += 1
        return range(first, last + 1)

    def tracked_frame(self, i: int) -> TrackedFrame:
        """Return frame `i` with its motion towards the frames around it."""
        scene = self.scene(i)
        key = (self.times[i], min(scene[-1] - i, REACH), min(i - scene[0], REACH))
        found = self.tracked.get(key)
        if found is None:
            found = connect(i, self.times, self.images[i], self.flows, self.chained)
            self.tracked[key] = found
        return found

    def travel(self, i: int, j: int) -> Image:
        """Return (H, W, 2), the flow from frame `i` to frame `j` of its scene, chained."""
        total = np.zeros((*self.codes[i].shape, 2), np.float32)
        step = 1 if j > i else -1
        for k in range(i, j, step):
            pair = self.flows[k if step == 1 else k - 1]
            assert pair is not None, "frames of one scene are joined by flow"
            total = total + warp(pair[0 if step == 1 else 1], total)
        return total


@dataclass
class PendingTarget:
    """A target frame that waits for later reference frames.

    time: of the middle of its exposure, frame intervals. picture: (h, w, 3) float32 0..1, reduced.
    """

    pair: FramePair
    time: float
    picture: Image


@dataclass(frozen=True)
class RenderContext:
    """What a target frame is rendered from; times in frame intervals.

    references: frames around it. targets: those around it, itself among them.
    last, following: times of the targets before and after it.
    """

    references: ReferenceWindow[Any]
    targets: tuple[PendingTarget, ...]
    last: float | None
    following: float | None
