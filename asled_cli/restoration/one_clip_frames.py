"""One clip as a network sees it that needs no reference: its frames, their motion, cuts and blur.

The motion is that of the frames themselves. A frame that moves less than a pixel within its exposure is not
blurred by motion, and keeps what it has.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import to_grey
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.restoration.sharp_regions import blur_of_motion
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.frames import Frame, FramePair

_LONG_SIDE = 640  # pixels of the reduced frames in which motion is measured
UNKNOWN_EXPOSURE = 1.0  # frame intervals, as long as it can be


def frames_alone(frames: Iterable[Frame], exposure: float | None) -> Iterator[AlignedFrame]:
    """Yield every frame without a reference, one frame later, with flow and cuts found between neighbours.

    exposure: frame intervals, by which motion becomes blur; 0: not known, at most UNKNOWN_EXPOSURE. None: the
    blur is not of motion, and no frame is kept for lack of it.
    """
    bare = (without_reference(FramePair(frame, None)) for frame in frames)
    for aligned in with_motion((frame, _reduced(frame.pair.target)) for frame in bare):
        yield _with_blur(aligned, exposure)


def with_motion(frames: Iterable[tuple[AlignedFrame, NDArray[np.uint8]]]) -> Iterator[AlignedFrame]:
    """Yield every frame, one frame later, with the flow and the cuts that grey pictures of it show.

    frames: each with its picture (h, w) uint8, of any size but one for all.
    """
    meter = MotionMeter()
    waiting: tuple[AlignedFrame, NDArray[np.uint8]] | None = None
    for now, grey in frames:
        if waiting is not None:
            last, before = waiting
            flows = meter.between(before, grey)
            if flows is None:
                now = replace(now, is_cut=True)
            else:
                grid, ratio = now.guide.shape[:2], now.pair.target.rgb.shape[1] / grey.shape[1]
                last = replace(last, flow_next=_on_grid(flows[0], grid, ratio))
                now = replace(now, flow_previous=_on_grid(flows[1], grid, ratio))
            yield last
        waiting = now, grey
    if waiting is not None:
        yield waiting[0]


def _reduced(frame: Frame) -> NDArray[np.uint8]:
    """Return (h, w) luma of a frame, at most _LONG_SIDE pixels long."""
    grey = to_grey(to_8_bit(frame.rgb))
    share = _LONG_SIDE / max(grey.shape)
    if share >= 1:
        return grey
    size = max(1, round(grey.shape[1] * share)), max(1, round(grey.shape[0] * share))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _on_grid(flow: Image, grid: tuple[int, int], ratio: float) -> NDArray[np.float16]:
    """Return (h, w, 2) grid pixels of a flow on the reduced frame, with pixels of `ratio` full ones."""
    on_grid = cv2.resize(flow, grid[::-1], interpolation=cv2.INTER_AREA).reshape(*grid, 2)
    return (on_grid * (ratio / GUIDE_STRIDE)).astype(np.float16)


def _with_blur(aligned: AlignedFrame, exposure: float | None) -> AlignedFrame:
    """Return the frame with the blur that its motion gives, where that is known: not between two cuts."""
    if exposure is None:
        return aligned
    flows = np.stack([aligned.flow_previous, aligned.flow_next]).astype(np.float32)
    if not flows.any() and aligned.is_cut:
        return aligned
    moved_px = GUIDE_STRIDE * np.hypot(flows[..., 0], flows[..., 1]).max(axis=0)
    return replace(aligned, blur_around=blur_of_motion(moved_px * (exposure or UNKNOWN_EXPOSURE)))
