"""The registered reference averaged along its own motion: less noise and coding, more of what is there.

Neighbouring reference frames show the same things with other noise, other coding errors and other sampling.
Each is laid onto the frame in the middle along the flows that the render pass knows, and counts where it
looks like it there. Streaming: a frame comes out once the `reach` frames after it have been seen. It depends
on nothing but its window, so that windows may be fused side by side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.homography import Image, pixel_grid, sample_at
from asled_cli.registration.motion import pull
from asled_cli.registration.render import AlignedFrame

# Difference of the reduced pictures (0..1) at which a neighbour's weight falls to 1/e: three times the usual
# difference of the neighbour most alike, which is noise and coding, within bounds. On clean clips, where what
# differs has moved otherwise than the flows say, the lower bound gains 0.1 dB over the upper one.
_NOISES, _STRICTEST, _MILDEST = 3.0, 0.015, 0.03
_COVERED, _FULL_SCALE = 5, 65535.0


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """A frame and those around it."""

    frames: tuple[AlignedFrame, ...]
    own: int
    """Position in `frames` of the one in the middle."""


class FrameWindows:
    """Gathers up to `reach` frames on either side of each frame of a stream.

    `push` and `flush` return the windows that are complete, in order, one for each frame.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._frames: list[AlignedFrame] = []
        self._next = 0  # position in _frames of the frame whose window comes out next

    def push(self, frame: AlignedFrame) -> list[FrameWindow]:
        """Take the next frame; return the window that is ready, if any."""
        self._frames.append(frame)
        return list(self._ready(self.reach))

    def flush(self) -> list[FrameWindow]:
        """Return the windows still waiting at the end of the clip."""
        return list(self._ready(0))

    def _ready(self, ahead: int) -> Iterator[FrameWindow]:
        while self._next + ahead < len(self._frames):
            yield FrameWindow(tuple(self._frames[: self._next + self.reach + 1]), self._next)
            self._next += 1
            if self._next > self.reach:
                del self._frames[0]
                self._next -= 1


def frame_windows(frames: Iterable[AlignedFrame], reach: int) -> Iterator[FrameWindow]:
    """Run a whole stream of frames through `FrameWindows`."""
    windows = FrameWindows(reach)
    for frame in frames:
        yield from windows.push(frame)
    yield from windows.flush()


def fuse_references(frames: Iterable[AlignedFrame], reach: int) -> Iterator[AlignedFrame]:
    """Fuse the reference of each frame of a stream; reach 0 leaves them as they are."""
    yield from map(fuse_window, frame_windows(frames, reach))


def fuse_window(window: FrameWindow) -> AlignedFrame:
    """Replace the reference of the middle frame by its mean over all frames of the window.

    Never across a cut, nor past a frame without a reference; such frames stay as they are.
    """
    frame = window.frames[window.own]
    return replace(frame, reference=_fuse(window.frames, window.own))


def _fuse(frames: Sequence[AlignedFrame], i: int) -> NDArray[np.uint16] | None:
    """Return the fused reference (H, W, 3) of frame `i`."""
    own = frames[i].reference
    around = list(_travels(frames, i))
    if own is None or not around:
        return own
    covered = frames[i].guide[..., _COVERED].astype(np.float32)
    size = (covered.shape[1], covered.shape[0])
    own_reduced = _reduced(own, size)
    views: list[tuple[NDArray[np.uint16], Image, Image]] = []  # moved pictures, differences, where they count
    for neighbour, flow in around:
        assert neighbour.reference is not None
        moved = _pulled(neighbour.reference, flow)
        difference = np.abs(_reduced(moved, size) - own_reduced).max(axis=-1)
        views.append((moved, difference, pull(neighbour.guide[..., _COVERED].astype(np.float32), flow)))
    usual = min(float(np.median(difference)) for _, difference, _ in views)
    likeness = np.float32(np.clip(_NOISES * usual, _STRICTEST, _MILDEST))
    total, weights = own.astype(np.float32), np.ones_like(covered)
    for moved, difference, seen in views:
        weight = np.exp(-np.square(difference / likeness)) * covered * seen
        weights += weight
        total += _enlarged(weight, own)[..., None] * moved
    total /= _enlarged(weights, own)[..., None]
    return np.rint(total).astype(np.uint16)


def _travels(frames: Sequence[AlignedFrame], i: int) -> Iterator[tuple[AlignedFrame, Image]]:
    """Yield the frames around `i`, each with the flow (h, w, 2) in guide pixels that leads from `i` to it."""
    for step in (1, -1):
        flow: Image | None = None
        for j in range(i + step, len(frames) if step == 1 else -1, step):
            if frames[max(j, j - step)].is_cut or frames[j].reference is None:
                break
            here = frames[j - step]
            one = (here.flow_next if step == 1 else here.flow_previous).astype(np.float32)
            flow = one if flow is None else flow + pull(one, flow)
            yield frames[j], flow


def _reduced(picture: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    """Return the picture at `size` (width, height), 0..1."""
    reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced.astype(np.float32) / np.float32(_FULL_SCALE)


def _enlarged(weight: Image, like: NDArray[np.uint16]) -> Image:
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _pulled(picture: NDArray[np.uint16], flow: Image) -> NDArray[np.uint16]:
    """Return `picture` sampled at p + flow, flow (h, w, 2) in pixels of its own grid over the same frame."""
    height, width = picture.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    x, y = pixel_grid((width, height))
    places = cv2.resize(flow * scale, (width, height), interpolation=cv2.INTER_LINEAR)
    places += np.dstack((x, y))
    return sample_at(picture, places, cv2.INTER_CUBIC)
