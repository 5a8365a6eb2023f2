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
from typing import Any, Generic, Literal

import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp
from asled_cli.registration.blur.wiener import SHORT_PX, longest_travel
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, Picture
from asled_cli.registration.rendering.fusion_pictures import OPENCV_FUSION, FusionPictures, WarpedReference

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


@dataclass(frozen=True, slots=True)
class FrameWindow(Generic[Picture]):
    """A frame and those around it."""

    frames: tuple[AlignedFrame[Picture], ...]
    own: int
    """Index in `frames` of the middle one."""


class FrameWindows(Generic[Picture]):
    """Collects up to `reach` frames on either side of each frame of a stream.

    `push` and `flush` return the complete windows in order, one per frame.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._frames: list[AlignedFrame[Picture]] = []
        self._next = 0  # index in _frames of the middle of the next window

    def push(self, frame: AlignedFrame[Picture]) -> list[FrameWindow[Picture]]:
        """Take the next frame; return the window that is ready, if any."""
        self._frames.append(frame)
        return list(self._ready(self.reach))

    def flush(self) -> list[FrameWindow[Picture]]:
        """Return the remaining windows at the end of the clip."""
        return list(self._ready(0))

    def _ready(self, ahead: int) -> Iterator[FrameWindow[Picture]]:
        """Yield the windows whose middle frame has `ahead` frames after it."""
        while self._next + ahead < len(self._frames):
            yield FrameWindow(tuple(self._frames[: self._next + self.reach + 1]), self._next)
            self._next += 1
            if self._next > self.reach:
                del self._frames[0]
                self._next -= 1


def frame_windows(frames: Iterable[AlignedFrame[Picture]], reach: int) -> Iterator[FrameWindow[Picture]]:
    """Yield the window of each frame of a stream."""
    windows = FrameWindows[Picture](reach)
    for frame in frames:
        yield from windows.push(frame)
    yield from windows.flush()


def fuse_references(
    frames: Iterable[AlignedFrame[Picture]], reach: int, pictures: FusionPictures[Any] = OPENCV_FUSION
) -> Iterator[AlignedFrame[Picture]]:
    """Yield each frame of a stream with its reference fused; reach 0 leaves them unchanged."""
    for window in frame_windows(frames, reach):
        yield fuse_window(window, pictures)


def fuse_window(
    window: FrameWindow[Picture], pictures: FusionPictures[Any] = OPENCV_FUSION
) -> AlignedFrame[Picture]:
    """Return the middle frame with its reference replaced by the mean over the window.

    Fusion does not cross a cut or a frame without a reference. A frame without a reference gets the blur of
    its neighbours (`AlignedFrame.blur_around`).
    pictures: does the work on the references, which are `Picture`s of its kind.
    """
    frame = window.frames[window.own]
    if frame.reference is None:
        return replace(frame, blur_around=_blur_around(window))
    return replace(frame, reference=_fuse(window.frames, window.own, pictures))


def _blur_around(window: FrameWindow[Any]) -> NDArray[np.float16] | None:
    """Return (h, w): the larger blur of the two neighbours with a reference; None if there is none."""
    around = _flows_around(window.frames, window.own)
    blurs = [frame.guide[..., Guide.BLUR] for distance, frame, _ in around if abs(distance) == 1]
    return np.maximum.reduce(blurs) if blurs else None


def _fuse(
    frames: Sequence[AlignedFrame[Picture]], i: int, pictures: FusionPictures[Picture]
) -> Picture | None:
    """Return the fused reference (H, W, 3) of frame `i`."""
    own = frames[i].reference
    around = list(_flows_around(frames, i))
    if own is None or not around:
        return own
    warped = _warp_references(frames[i], around, pictures)
    # Two frames may both have lost the same frequencies; deconvolution would add noise.
    if len(warped) <= 2 or longest_travel([view.travel for view in warped]) <= SHORT_PX:
        return pictures.mean(warped)
    return pictures.deconvolved_mean(warped)


def _warp_references(
    frame: AlignedFrame[Picture],
    around: Sequence[tuple[int, AlignedFrame[Picture], Image]],
    pictures: FusionPictures[Picture],
) -> list[WarpedReference[Picture]]:
    """Return the reference of a frame with weight 1, and the warped ones of its neighbours.

    around: (distance, frame, flow) of each neighbour.
    """
    own = _reference(frame)
    covered = frame.guide[..., Guide.VALID].astype(np.float32)
    distances = [distance for distance, _, _ in around]
    moved = [pictures.warp(_reference(neighbour), flow) for _, neighbour, flow in around]
    differences = pictures.differences(own, moved, (covered.shape[1], covered.shape[0]))
    noise = min(float(np.median(difference)) for difference in differences)
    tolerance = np.float32(np.clip(_NOISE_FACTOR * noise, _MIN_TOLERANCE, _MAX_TOLERANCE))
    warped = [WarpedReference(own, np.ones_like(covered), _travel(frame))]
    for (distance, neighbour, flow), picture, difference in zip(around, moved, differences, strict=True):
        seen = warp(neighbour.guide[..., Guide.VALID].astype(np.float32), flow)
        weight = np.exp(-np.square(difference / tolerance)) * covered * seen
        weight *= np.float32(1 if -distance in distances else _ONE_SIDED_WEIGHT)
        warped.append(WarpedReference(picture, weight, warp(_travel(neighbour), flow)))
    return warped


def _travel(frame: AlignedFrame[Any]) -> Image:
    """Return the frame's travel in full pixels."""
    return frame.travel.astype(np.float32) * np.float32(GUIDE_STRIDE)


def _reference(frame: AlignedFrame[Picture]) -> Picture:
    assert frame.reference is not None, "frames without a reference are not fused"
    return frame.reference


def _flows_around(
    frames: Sequence[AlignedFrame[Picture]], i: int
) -> Iterator[tuple[int, AlignedFrame[Picture], Image]]:
    """Yield as `flows_from` to either side, up to the first frame without a reference."""
    for step in (1, -1):
        yield from takewhile(lambda found: found[1].reference is not None, flows_from(frames, i, step))


def flows_from(
    frames: Sequence[AlignedFrame[Picture]], i: int, step: Literal[1, -1]
) -> Iterator[tuple[int, AlignedFrame[Picture], Image]]:
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
