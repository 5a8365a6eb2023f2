"""The registered reference averaged along its own motion: less noise and coding, more of what is there.

Neighbouring reference frames show the same things with other noise, other coding errors and other sampling.
Each is laid onto the frame in the middle along the flows that the render pass knows, and counts where it
looks like it there. Where they are blurred themselves, each along a way that is known, that is taken out.
Streaming: a frame comes out once the `reach` frames after it have been seen. It depends on nothing but its
window, so that windows may be fused side by side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.light import luma
from asled_cli.imaging.warp import sample_at, warp
from asled_cli.registration.blur.wiener import SHORT_PX, View, longest_travel, wiener_deconvolve
from asled_cli.registration.rendering.aligned_frame import AlignedFrame

# Difference of the reduced pictures (0..1) at which a neighbour's weight falls to 1/e: three times the usual
# difference of the neighbour most alike, which is noise and coding, within bounds. On clean clips, where what
# differs has moved otherwise than the flows say, the lower bound gains 0.1 dB over the upper one.
_NOISES, _STRICTEST, _MILDEST = 3.0, 0.015, 0.03
# Weight of a neighbour without its counterpart on the other side (at a clip's end, a cut, a gap): what their
# flows say wrongly cancels only between the two. At the ends it gains 0.03 to 0.1 dB of the network's result.
_ONE_SIDED = 0.5
_FULL_SCALE = 65535.0


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

    Never across a cut, nor past a frame without a reference. Such a frame learns how much those beside it
    were blurred (`AlignedFrame.blur_around`).
    """
    frame = window.frames[window.own]
    if frame.reference is None:
        return replace(frame, blur_around=_blur_around(window))
    return replace(frame, reference=_fuse(window.frames, window.own))


def _blur_around(window: FrameWindow) -> NDArray[np.float16] | None:
    """Return (h, w): the larger blur of the two frames beside the middle one, of those with a reference."""
    around = _flows_around(window.frames, window.own)
    blurs = [frame.guide[..., Guide.BLUR] for distance, frame, _ in around if abs(distance) == 1]
    return np.maximum.reduce(blurs) if blurs else None


@dataclass(frozen=True)
class _Laid:
    """A frame laid onto the one in the middle: (H, W, 3) pixels; weight and travel on the guide's grid.

    travel: as in `AlignedFrame`, but in full pixels.
    """

    picture: NDArray[np.uint16]
    weight: Image
    travel: Image


def _fuse(frames: Sequence[AlignedFrame], i: int) -> NDArray[np.uint16] | None:
    """Return the fused reference (H, W, 3) of frame `i`."""
    own = frames[i].reference
    around = list(_flows_around(frames, i))
    if own is None or not around:
        return own
    laid = _lay(frames[i], around)
    total, weights = own.astype(np.float32), np.ones_like(laid[0].weight)
    for view in laid[1:]:
        weights += view.weight
        total += _enlarged(view.weight, own)[..., None] * view.picture
    total /= _enlarged(weights, own)[..., None]
    # Of two frames, both may have lost the same: what would be gained is noise.
    if len(laid) > 2 and longest_travel([view.travel for view in laid]) > SHORT_PX:
        total += _regained(laid, total)[..., None]
    return np.rint(np.clip(total, 0, _FULL_SCALE)).astype(np.uint16)


def _lay(frame: AlignedFrame, around: Sequence[tuple[int, AlignedFrame, Image]]) -> list[_Laid]:
    """Return the reference of a frame, which counts in full, and those `around` it: distance, frame, flow."""
    own = _reference(frame)
    covered = frame.guide[..., Guide.VALID].astype(np.float32)
    size = (covered.shape[1], covered.shape[0])
    own_reduced = _reduced(own, size)
    distances = [distance for distance, _, _ in around]
    pictures = [_pulled(_reference(neighbour), flow) for _, neighbour, flow in around]
    differences = [np.abs(_reduced(picture, size) - own_reduced).max(axis=-1) for picture in pictures]
    usual = min(float(np.median(difference)) for difference in differences)
    likeness = np.float32(np.clip(_NOISES * usual, _STRICTEST, _MILDEST))
    laid = [_Laid(own, np.ones_like(covered), _travel(frame))]
    for (distance, neighbour, flow), picture, difference in zip(around, pictures, differences, strict=True):
        seen = warp(neighbour.guide[..., Guide.VALID].astype(np.float32), flow)
        weight = np.exp(-np.square(difference / likeness)) * covered * seen
        weight *= np.float32(1 if -distance in distances else _ONE_SIDED)
        laid.append(_Laid(picture, weight, warp(_travel(neighbour), flow)))
    return laid


def _travel(frame: AlignedFrame) -> Image:
    """Return the frame's travel in full pixels."""
    return frame.travel.astype(np.float32) * np.float32(GUIDE_STRIDE)


def _reference(frame: AlignedFrame) -> NDArray[np.uint16]:
    assert frame.reference is not None, "frames without a reference are not fused"
    return frame.reference


def _regained(laid: Sequence[_Laid], mean: Image) -> Image:
    """Return (H, W): what the luma of the mean (H, W, 3) lacks by the blur of the views, in its codes."""
    grey = luma(mean) / np.float32(_FULL_SCALE)
    views = []
    for view in laid:
        # Where a frame is unlike the one in the middle, the mean stands in for it.
        weight = _enlarged(view.weight, view.picture)
        own = luma(view.picture.astype(np.float32)) / np.float32(_FULL_SCALE)
        views.append(View(grey + weight * (own - grey), view.weight, view.travel))
    return np.asarray((wiener_deconvolve(views, grey) - grey) * np.float32(_FULL_SCALE), np.float32)


def _flows_around(frames: Sequence[AlignedFrame], i: int) -> Iterator[tuple[int, AlignedFrame, Image]]:
    """Yield how far from `i`, and which frame, and the flow (h, w, 2) in guide pixels from `i` to it."""
    for step in (1, -1):
        flow: Image | None = None
        for j in range(i + step, len(frames) if step == 1 else -1, step):
            if frames[max(j, j - step)].is_cut or frames[j].reference is None:
                break
            here = frames[j - step]
            one = (here.flow_next if step == 1 else here.flow_previous).astype(np.float32)
            flow = one if flow is None else flow + warp(one, flow)
            yield j - i, frames[j], flow


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
