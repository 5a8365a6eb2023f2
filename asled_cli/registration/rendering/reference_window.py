"""What a render pass holds at a time: a stretch of reference frames with its motion, and waiting targets."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp
from asled_cli.registration.blur.reference_motion import TrackedFrame, connect
from asled_cli.video.frames import FramePair


@dataclass
class ReferenceWindow:
    """Reference frames about the waiting targets: canvas pictures, their times, and the flow between them."""

    times: list[float] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    frames: list[NDArray[np.uint16]] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)
    flows: list[tuple[Image, Image] | None] = field(default_factory=list)

    def copy(self) -> "ReferenceWindow":
        """Return a window on the same pictures that stays as it is when this one goes on."""
        return ReferenceWindow(
            list(self.times), list(self.images), list(self.frames), list(self.codes), list(self.flows)
        )

    def drop_first(self) -> None:
        """Forget the earliest frame."""
        for items in (self.times, self.images, self.frames, self.codes, self.flows):
            items[:1] = []

    def nearest(self, time: float) -> int:
        """Return the position of the frame nearest to `time` (intervals)."""
        return int(np.argmin(np.abs(np.array(self.times) - time)))

    def scene(self, i: int) -> range:
        """Return the frames about frame `i` that no cut parts from it."""
        first, last = i, i
        while first > 0 and self.flows[first - 1] is not None:
            first -= 1
        while last < len(self.flows) and self.flows[last] is not None:
            last += 1
        return range(first, last + 1)

    def moment(self, i: int) -> TrackedFrame:
        """Return frame `i` with its motion towards the frames about it."""
        return connect(i, self.times, self.images[i], self.flows)

    def travel(self, i: int, j: int) -> Image:
        """Return (H, W, 2): how far what frame `i` shows at each pixel is away in frame `j` of its scene."""
        total = np.zeros((*self.codes[i].shape, 2), np.float32)
        step = 1 if j > i else -1
        for k in range(i, j, step):
            pair = self.flows[k if step == 1 else k - 1]
            assert pair is not None, "frames of one scene are joined by flow"
            total = total + warp(pair[0 if step == 1 else 1], total)
        return total


@dataclass
class Waiting:
    """A target that waits for the frames after it; time: of its exposure's middle, in frame intervals."""

    pair: FramePair
    time: float
    picture: Image


@dataclass(frozen=True)
class Known:
    """What was known when a target's turn came; times in frame intervals.

    targets: those about it, itself among them. last, following: times of the targets before and after it.
    """

    references: ReferenceWindow
    targets: tuple[Waiting, ...]
    last: float | None
    following: float | None
