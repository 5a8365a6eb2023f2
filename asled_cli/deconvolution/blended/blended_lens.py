"""Deblur one clip of blended frames, as a stream: blocks of frames, each with the frames around it.

Blocks begin at fixed numbers of frames, so that a frame comes out the same wherever the stream began.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.sharp_frame import SharpFrame, frame_of, reduced, share_of
from asled_cli.deconvolution.blended.unblend import AROUND, unblend
from asled_cli.deconvolution.light import as_coded, reduce_luma, split
from asled_cli.deconvolution.own_reference import own_reference
from asled_cli.deconvolution.scene.soft_flow import alike, soft_picture
from asled_cli.deconvolution.single_lens import Deblurred, SingleLensConfig
from asled_cli.deconvolution.views import Planes
from asled_cli.imaging.homography import Image

BLOCK = 16  # frames that are solved at once, with AROUND more on either side
REACH = BLOCK - 1 + AROUND  # frames on either side that a frame depends on, at most
BYTES_PER_PIXEL = 2300  # of the reduced frame, with nine video frames in each: measured
_FEWEST = 3  # frames


def memory_bytes(width: int, height: int) -> int:
    """Return the memory that a block of frames of this size takes while it is solved."""
    return round(BYTES_PER_PIXEL * width * height * share_of((height, width)) ** 2)


@dataclass(frozen=True)
class _Seen:
    number: int
    rgb: NDArray[np.uint16]
    planes: Planes  # coded, reduced
    soft: Image
    wanted: bool


class BlendedLensRestorer:
    """Takes frames one by one and gives back what is added to each, some frames later.

    What is done to a frame depends on the frames of its own scene within REACH frames alone.
    """

    def __init__(self, count: int, config: SingleLensConfig) -> None:
        """Take the odd number of video frames of which each frame is the mean."""
        self._count, self._config = count, config
        self._frames: deque[_Seen] = deque()
        self._next = 0  # place of the next frame to restore

    @property
    def waiting(self) -> int:
        """Number of frames held now."""
        return len(self._frames)

    def push(self, rgb: NDArray[np.uint16], number: int, *, wanted: bool = True) -> list[Deblurred]:
        """Take the next frame; return the changes to those that are finished now.

        number: of the frame in its clip; frames that follow each other have numbers that do, or nearly.
        wanted: whether to restore it; otherwise it only explains the frames around it.
        """
        planes = reduced(Planes(*split(as_coded(rgb))))
        seen = _Seen(number, rgb, planes, soft_picture(reduce_luma(planes.luma)), wanted)
        finished: list[Deblurred] = []
        if self._frames and not _one_scene(self._frames[-1], seen):
            finished = self.flush()
        self._frames.append(seen)
        while self._next < len(self._frames) and number >= _end(self._frames[self._next]) + AROUND - 1:
            finished += self._restored()
        return finished

    def flush(self) -> list[Deblurred]:
        """Finish the frames that wait inside; the scene or the clip is over."""
        finished: list[Deblurred] = []
        while self._next < len(self._frames):
            finished += self._restored()
        self._frames.clear()
        self._next = 0
        return finished

    def _restored(self) -> list[Deblurred]:
        """Restore the frames of the next block; forget those that no later block needs."""
        end = _end(self._frames[self._next])
        window = [seen for seen in self._frames if end - BLOCK - AROUND <= seen.number < end + AROUND]
        block = [k for k, seen in enumerate(window) if end - BLOCK <= seen.number < end]
        done = self._block(window, block)
        self._next += len(block)
        while self._next and self._frames[0].number < end - AROUND:
            self._frames.popleft()
            self._next -= 1
        return done

    def _block(self, window: Sequence[_Seen], block: Sequence[int]) -> list[Deblurred]:
        if len(window) < _FEWEST or not any(window[k].wanted for k in block):
            return [Deblurred(None, 0.0) for _ in block]
        found = unblend([seen.planes for seen in window], [seen.soft for seen in window], self._count)
        return [self._one(window[k], frame_of(found, k, self._count)) for k in block]

    def _one(self, seen: _Seen, found: SharpFrame) -> Deblurred:
        rgb = seen.rgb
        if not seen.wanted:
            bare = own_reference(rgb, None, None, None, found.neighbours(rgb.shape))
            return Deblurred(None, 0.0, bare if self._config.describe else None)
        sharp = np.clip(as_coded(rgb) + found.added(seen.planes, rgb.shape), 0, 1)
        trust = found.trust_at(rgb.shape)
        reference = None
        if self._config.describe:
            blur = found.blur(rgb.shape)
            reference = own_reference(rgb, sharp, trust, blur, found.neighbours(rgb.shape), linear=False)
        change = (sharp - as_coded(rgb)) * trust[..., None]
        return Deblurred(np.asarray(change, np.float32), float(trust.mean()), reference)


def _end(seen: _Seen) -> int:
    """Return the number of the first frame after the block of a frame."""
    return (seen.number // BLOCK + 1) * BLOCK


def _one_scene(first: _Seen, second: _Seen) -> bool:
    return first.rgb.shape == second.rgb.shape and alike(first.soft, second.soft)
