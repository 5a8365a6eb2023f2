"""Temporal fusion: average the registered reference along its motion, against noise and compression errors.

Neighbouring reference frames show the same scene with different noise, compression errors and sampling. Each
is warped onto the middle frame along the flow of the render pass and weighted by its similarity. If they are
blurred themselves, a multi-frame Wiener deconvolution removes that blur.

It is streaming: a frame is returned `reach` frames later. It depends on its window alone, so windows may be
fused in parallel.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma
from asled_cli.imaging.warp import sample_at, warp
from asled_cli.registration.blur.wiener import SHORT_PX, View, longest_travel, wiener_deconvolve
from asled_cli.registration.rendering.aligned_frame import AlignedFrame

# The weight of a neighbour falls to 1/e at this many times the difference that noise and compression cause:
# the median difference of the most similar neighbour.
_NOISE_FACTOR = 3.0
# Bounds of that difference of reduced pictures (0..1). On clean clips, where differences come from errors of
# flow, the lower bound gains 0.1 dB over the upper one.
_MIN_TOLERANCE = 0.015
_MAX_TOLERANCE = 0.03
# Weight of a neighbour without a counterpart on the other side (at a clip's end, a cut, a gap). Flow errors
# cancel only between the two. At the ends this gains 0.03 to 0.1 dB of the network's result.
_ONE_SIDED_WEIGHT = 0.5
_FULL_SCALE = 65535.0
_ROWS = 64  # of pictures averaged at a time


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """A frame and those around it."""

    frames: tuple[AlignedFrame, ...]
    own: int
    """Index in `frames` of the middle one."""


class FrameWindows:
    """Collects up to `reach` frames on either side of each frame of a stream.

    `push` and `flush` return the complete windows in order, one per frame.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._frames: list[AlignedFrame] = []
        self._next = 0  # index in _frames of the middle of the next window

    def push(self, frame: AlignedFrame) -> list[FrameWindow]:
        """Take the next frame; return the window that is ready, if any."""
        self._frames.append(frame)
        return list(self._ready(self.reach))

    def flush(self) -> list[FrameWindow]:
        """Return the remaining windows at the end of the clip."""
        return list(self._ready(0))

    def _ready(self, ahead: int) -> Iterator[FrameWindow]:
        """Yield the windows whose middle frame has `ahead` frames after it."""
        while self._next + ahead < len(self._frames):
            yield FrameWindow(tuple(self._frames[: self._next + self.reach + 1]), self._next)
            self._next += 1
            if self._next > self.reach:
                del self._frames[0]
                self._next -= 1


def frame_windows(frames: Iterable[AlignedFrame], reach: int) -> Iterator[FrameWindow]:
    """Yield the window of each frame of a stream."""
    windows = FrameWindows(reach)
    for frame in frames:
        yield from windows.push(frame)
    yield from windows.flush()


def fuse_references(frames: Iterable[AlignedFrame], reach: int) -> Iterator[AlignedFrame]:
    """Yield each frame of a stream with its reference fused; reach 0 leaves them unchanged."""
    yield from map(fuse_window, frame_windows(frames, reach))


def fuse_window(window: FrameWindow) -> AlignedFrame:
    """Return the middle frame with its reference replaced by the mean over the window.

    Fusion does not cross a cut or a frame without a reference. A frame without a reference gets the blur of
    its neighbours (`AlignedFrame.blur_around`).
    """
    frame = window.frames[window.own]
    if frame.reference is None:
        return replace(frame, blur_around=_blur_around(window))
    return replace(frame, reference=_fuse(window.frames, window.own))


def _blur_around(window: FrameWindow) -> NDArray[np.float16] | None:
    """Return (h, w): the larger blur of the two neighbours with a reference; None if there is none."""
    around = _flows_around(window.frames, window.own)
    blurs = [frame.guide[..., Guide.BLUR] for distance, frame, _ in around if abs(distance) == 1]
    return np.maximum.reduce(blurs) if blurs else None


@dataclass(frozen=True)
class _WarpedReference:
    """A reference warped onto the middle frame.

    picture: (H, W, 3). weight: (h, w) 0..1 on the guide's grid. travel: (h, w, 2) as in `AlignedFrame`, full
    pixels.
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
    warped = _warp_references(frames[i], around)
    # Two frames may both have lost the same frequencies; deconvolution would add noise.
    if len(warped) <= 2 or longest_travel([view.travel for view in warped]) <= SHORT_PX:
        return np.asarray(_weighted_mean(warped, np.empty_like(own)), np.uint16)
    total = _weighted_mean(warped, np.empty(own.shape, np.float32))
    total += _deconvolved_detail(warped, total)[..., None]
    return np.asarray(np.rint(np.clip(total, 0, _FULL_SCALE)), np.uint16)


def _weighted_mean(warped: Sequence[_WarpedReference], out: NDArray[Any]) -> NDArray[Any]:
    """Write the mean of the pictures with their weights, in their codes, to `out` and return it.

    out: (H, W, 3), float32, or uint16 for rounded codes. A few rows at a time, to stay in the cache.
    """
    depth = cv2.CV_16U if out.dtype == np.uint16 else cv2.CV_32F
    first = warped[0].picture
    weights = [_enlarged(view.weight, first) for view in warped[1:]]
    share = 1 / _enlarged(np.sum([view.weight for view in warped], axis=0, dtype=np.float32), first)
    for top in range(0, len(first), _ROWS):
        rows = slice(top, top + _ROWS)
        own = first[rows].astype(np.float32)
        for weight, view in zip(weights, warped[1:], strict=True):
            each = cv2.merge([weight[rows]] * 3)
            cv2.accumulateProduct(view.picture[rows].astype(np.float32), each, own)
        cv2.multiply(own, cv2.merge([share[rows]] * 3), out[rows], dtype=depth)
    return out


def _warp_references(
    frame: AlignedFrame, around: Sequence[tuple[int, AlignedFrame, Image]]
) -> list[_WarpedReference]:
    """Return the reference of a frame with weight 1, and the warped ones of its neighbours.

    around: (distance, frame, flow) of each neighbour.
    """
    own = _reference(frame)
    covered = frame.guide[..., Guide.VALID].astype(np.float32)
    size = (covered.shape[1], covered.shape[0])
    own_reduced = _reduced(own, size)
    distances = [distance for distance, _, _ in around]
    pictures = [warp_picture(_reference(neighbour), flow) for _, neighbour, flow in around]
    differences = [_largest(cv2.absdiff(_reduced(picture, size), own_reduced)) for picture in pictures]
    noise = min(float(np.median(difference)) for difference in differences)
    tolerance = np.float32(np.clip(_NOISE_FACTOR * noise, _MIN_TOLERANCE, _MAX_TOLERANCE))
    warped = [_WarpedReference(own, np.ones_like(covered), _travel(frame))]
    for (distance, neighbour, flow), picture, difference in zip(around, pictures, differences, strict=True):
        seen = warp(neighbour.guide[..., Guide.VALID].astype(np.float32), flow)
        weight = np.exp(-np.square(difference / tolerance)) * covered * seen
        weight *= np.float32(1 if -distance in distances else _ONE_SIDED_WEIGHT)
        warped.append(_WarpedReference(picture, weight, warp(_travel(neighbour), flow)))
    return warped


def _travel(frame: AlignedFrame) -> Image:
    """Return the frame's travel in full pixels."""
    return frame.travel.astype(np.float32) * np.float32(GUIDE_STRIDE)


def _reference(frame: AlignedFrame) -> NDArray[np.uint16]:
    assert frame.reference is not None, "frames without a reference are not fused"
    return frame.reference


def _deconvolved_detail(warped: Sequence[_WarpedReference], mean: Image) -> Image:
    """Return (H, W): the detail that deconvolution adds to the luma of `mean` (H, W, 3), in its codes."""
    grey = luma(mean) / np.float32(_FULL_SCALE)
    views = []
    for view in warped:
        # The mean replaces a frame where it differs from the middle one.
        weight = _enlarged(view.weight, view.picture)
        own = luma(view.picture.astype(np.float32)) / np.float32(_FULL_SCALE)
        views.append(View(grey + weight * (own - grey), view.weight, view.travel))
    return np.asarray((wiener_deconvolve(views, grey) - grey) * np.float32(_FULL_SCALE), np.float32)


def _flows_around(frames: Sequence[AlignedFrame], i: int) -> Iterator[tuple[int, AlignedFrame, Image]]:
    """Yield as `flows_from` to either side, up to the first frame without a reference."""
    for step in (1, -1):
        yield from takewhile(lambda found: found[1].reference is not None, flows_from(frames, i, step))


def flows_from(
    frames: Sequence[AlignedFrame], i: int, step: Literal[1, -1]
) -> Iterator[tuple[int, AlignedFrame, Image]]:
    """Yield the distance from `i`, the frame, and the flow (h, w, 2) from `i` to it, guide pixels.

    step: later frames, or earlier ones; up to a cut.
    """
    flow: Image | None = None
    for j in range(i + step, len(frames) if step == 1 else -1, step):
        if frames[max(j, j - step)].is_cut:
            return
        here = frames[j - step]
        one = (here.flow_next if step == 1 else here.flow_previous).astype(np.float32)
        flow = one if flow is None else flow + warp(one, flow)
        yield j - i, frames[j], flow


def _reduced(picture: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    """Return the picture at `size` (width, height), 0..1."""
    reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced.astype(np.float32) / np.float32(_FULL_SCALE)


def _largest(colours: NDArray[Any]) -> Image:
    """Return (h, w): the largest value of each pixel's three colours."""
    red, green, blue = cv2.split(colours)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _enlarged(weight: Image, like: NDArray[np.uint16]) -> Image:
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def warp_picture(picture: NDArray[np.uint16], flow: Image) -> NDArray[np.uint16]:
    """Return `picture` warped by `flow` (h, w, 2), in pixels of the flow's own grid."""
    height, width = picture.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    places: Image = np.asarray(cv2.resize(flow * scale, (width, height)), np.float32)
    places[..., 0] += np.arange(width, dtype=np.float32)
    places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return sample_at(picture, places, cv2.INTER_CUBIC)
