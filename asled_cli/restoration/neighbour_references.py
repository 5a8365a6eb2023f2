"""References for frames that could not be inverted: the inversions of the frames beside, moved onto them.

Used where they agree with the frame but for its blur: alike at low frequencies, with stronger gradients.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.light import luma
from asled_cli.imaging.warp import warp
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.fusion_pictures import warp_picture
from asled_cli.registration.rendering.temporal_fusion import FrameWindow, flows_from

_SIDES: tuple[Literal[1, -1], ...] = (1, -1)
_WHITE = np.float32(65535)
_BLUR_PX = 16.0  # sigma beyond which a blurred frame and a sharp one are alike
_TOLERANCE = np.float32(0.02)  # difference of the two there, coded, at which the confidence is 1 / e
_LEAST = 0.1  # confidence from which a reference counts as valid
_SAME, _SHARPER = 1.1, 1.6  # times the frame's gradient energy, from which and at which a reference counts


def with_reference(window: FrameWindow) -> AlignedFrame:
    """Return the middle frame, with a reference from its neighbours if it has none and they have."""
    frame = window.frames[window.own]
    if frame.reference is not None:
        return frame
    found = [_moved(other, flow) for other, flow in _nearest(window)]
    if not found:
        return frame
    total = np.maximum(sum(weight for _, weight in found), np.float32(1e-6))
    reference = sum(picture * _full(weight, picture) for picture, weight in found) / _full(total, found[0][0])
    trust = np.maximum.reduce([weight for _, weight in found])
    return replace(
        frame,
        reference=np.asarray(np.clip(reference, 0, _WHITE) + np.float32(0.5), np.uint16),
        guide=_guide(frame.pair.target.rgb, np.asarray(reference / _WHITE, np.float32), trust),
    )


def _nearest(window: FrameWindow) -> Iterator[tuple[AlignedFrame, Image]]:
    """Yield the nearest frame with a reference on each side, and the flow to it, (h, w, 2) guide pixels."""
    for step in _SIDES:
        around = flows_from(window.frames, window.own, step)
        for _, frame, flow in islice((found for found in around if found[1].reference is not None), 1):
            yield frame, flow


def _moved(frame: AlignedFrame, flow: Image) -> tuple[Image, Image]:
    """Return reference (H, W, 3) and confidence (h, w) of a frame along a flow, zero beyond its edges."""
    assert frame.reference is not None
    picture = warp_picture(frame.reference, flow).astype(np.float32)
    rows, columns = flow.shape[:2]
    x, y = pixel_grid((columns, rows))
    u, v = x + flow[..., 0], y + flow[..., 1]
    inside = (u >= 0) & (v >= 0) & (u <= columns - 1) & (v <= rows - 1)
    known = frame.guide[..., Guide.CONFIDENCE].astype(np.float32)
    return picture, np.asarray(warp(known, flow) * inside, np.float32)


def _guide(rgb: NDArray[np.uint16], reference: Image, trust: Image) -> NDArray[np.float16]:
    """Return the guide (h, w, 6) of a reference whose blur in the frame is unknown."""
    rows, columns = trust.shape
    frame, other = (
        np.asarray(cv2.resize(p, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
        for p in (rgb.astype(np.float32) / _WHITE, reference)
    )
    apart = _smooth(frame - other, _BLUR_PX)
    alike = np.exp(-np.square(np.abs(apart).max(-1) / _TOLERANCE))
    own, theirs = (_gradient_energy(luma(p)) for p in (rgb.astype(np.float32) / _WHITE, reference))
    sharper = np.clip((theirs / (own + 1e-7) - _SAME) / (_SHARPER - _SAME), 0, 1)
    guide = np.zeros((rows, columns, len(Guide)), np.float16)
    guide[..., Guide.ERROR_RED : Guide.ERROR_BLUE + 1] = apart
    guide[..., Guide.BLUR] = np.abs(luma(frame - other)) * sharper
    confidence = trust * alike * sharper
    guide[..., Guide.CONFIDENCE] = confidence
    guide[..., Guide.VALID] = confidence > _LEAST  # elsewhere a network must not take more of it
    return guide


def _gradient_energy(grey: Image) -> Image:
    """Return the local energy of gradients, (H / 4, W / 4)."""
    soft = cv2.GaussianBlur(grey, (0, 0), 0.8)
    energy = np.square(cv2.Sobel(soft, cv2.CV_32F, 1, 0)) + np.square(cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    size = -(-grey.shape[1] // GUIDE_STRIDE), -(-grey.shape[0] // GUIDE_STRIDE)
    return _smooth(np.asarray(cv2.resize(energy, size, interpolation=cv2.INTER_AREA), np.float32), _BLUR_PX)


def _smooth(grid: Image, sigma_px: float) -> Image:
    return np.asarray(cv2.GaussianBlur(grid, (0, 0), sigma_px / GUIDE_STRIDE), np.float32)


def _full(weight: Image, like: Image) -> Image:
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)[
        ..., None
    ]
