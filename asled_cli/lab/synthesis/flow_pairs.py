"""Pairs of frames with exact flow, made from photos, to train optical flow networks.

The second frame is an image. The first is that image warped along a drawn flow, so that
first(p) = second(p + flow(p)) holds by construction. Layers in front cover those behind, as objects do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging import picture_file

Image = NDArray[np.float32]

MARGIN_PX = 64  # image kept around a frame; content from further outside is mirrored
MAX_BLUR_PX = 17  # a fast pan at 1/30 s, seen at the size of the crops


class FlowPair(NamedTuple):
    """Two frames and the flow from the first to the second."""

    first: Image  # (H, W, 3) RGB 0..1
    second: Image  # (H, W, 3)
    flow: Image  # (H, W, 2) pixels, x right then y down


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a photo at half its size, RGB, which is sharp at pixel level. Raises InputError."""
    picture = picture_file.read_picture(path, cv2.IMREAD_REDUCED_COLOR_2)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def make_pair(
    pictures: Sequence[NDArray[np.uint8]], draw: np.random.Generator, size_px: int, motion_px: float
) -> FlowPair:
    """Return a pair of size_px x size_px with two to four layers; flows of at most about 2 * motion_px."""
    wide = size_px + 2 * MARGIN_PX
    pan = _smooth_flow(draw, size_px, motion_px)
    second = _texture(pictures, draw, wide)
    first, flow = _warp_inner(second, pan), pan
    for _ in range(draw.integers(1, 4)):
        motion = pan * draw.uniform(0, 1) + _smooth_flow(draw, size_px, motion_px * draw.uniform(0, 1))
        texture, shape = _texture(pictures, draw, wide), _blob(draw, wide)
        here = _warp_inner(shape, motion)[..., None]
        first = first + here * (_warp_inner(texture, motion) - first)
        second = second + shape[..., None] * (texture - second)
        flow = np.where(here > 0.5, motion, flow)
    inner = slice(MARGIN_PX, MARGIN_PX + size_px)
    return FlowPair(first, np.ascontiguousarray(second[inner, inner]), flow.astype(np.float32))


def degrade(pair: FlowPair, draw: np.random.Generator) -> FlowPair:
    """Return the pair with motion blur, brightness differences and noise. The flow is unchanged.

    Blur is symmetric about its centre, so it adds no motion. Half of the pairs have equal blur (two frames of
    one lens), the others differ (a blurry frame and a sharp one).
    """
    alike = draw.random() < 0.5
    blur = _random_blur(draw)
    first = _change_colour(_blurred(pair.first, blur), draw, spread=0.0 if alike else 0.15)
    second = _change_colour(_blurred(pair.second, blur if alike else _random_blur(draw)), draw, spread=0.02)
    return FlowPair(first, second, pair.flow)


def _smooth_flow(draw: np.random.Generator, size: int, motion: float) -> Image:
    """Return a flow of shift, rotation, zoom and a smooth wobble, (size, size, 2).

    Small motions are as likely as large ones.
    """
    strength = motion * draw.uniform(0, 1) ** 2
    angle = draw.uniform(0, 2 * np.pi)
    shift = strength * np.array([np.cos(angle), np.sin(angle)])
    linear = draw.normal(0, 0.3 * strength / size, (2, 2))  # turn, zoom and shear
    axis = np.arange(size) - (size - 1) / 2
    places = np.stack(np.meshgrid(axis, axis), axis=-1)
    cells = int(draw.integers(3, 8))
    wobble = _enlarged(draw.normal(0, 0.15 * strength, (cells, cells, 2)), size)
    return np.asarray(shift + places @ linear + wobble, dtype=np.float32)


def _warp_inner(image: Image, flow: Image) -> Image:
    """Warp the inner part of `image` (without MARGIN_PX) along `flow`: out(p) = image(p + flow(p))."""
    size = flow.shape[0]
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    warped = cv2.remap(
        image,
        x + flow[..., 0] + MARGIN_PX,
        y + flow[..., 1] + MARGIN_PX,
        cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(warped, dtype=np.float32)


def _texture(pictures: Sequence[NDArray[np.uint8]], draw: np.random.Generator, size: int) -> Image:
    """Return a random square of a random image at a random scale, mirrored and rotated at random."""
    picture = pictures[int(draw.integers(len(pictures)))]
    side = min(int(size * draw.uniform(0.7, 1.6)), *picture.shape[:2])
    top, left = (int(draw.integers(extent - side + 1)) for extent in picture.shape[:2])
    square = picture[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    square = np.rot90(cv2.resize(square, (size, size), interpolation=method), int(draw.integers(4)))
    if draw.random() < 0.5:
        square = square[:, ::-1]
    return np.asarray(np.ascontiguousarray(square) / np.float32(255), dtype=np.float32)


def _blob(draw: np.random.Generator, size: int) -> Image:
    """Return a ragged shape somewhere in the frame, (size, size), 0..1 with a soft edge of about a pixel."""
    noise = _enlarged(draw.normal(0, 1, (9, 9)), size)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    middle, radius = draw.uniform(MARGIN_PX, size - MARGIN_PX, 2), draw.uniform(0.08, 0.25) * size
    distance = np.hypot(x - middle[0], y - middle[1]) / radius
    return np.asarray(np.clip((1 - distance + 0.25 * noise) * radius + 0.5, 0, 1), dtype=np.float32)


def _enlarged(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Enlarge a coarse grid of values smoothly: (h, w, ...) -> (size, size, ...)."""
    smooth = cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, dtype=np.float64)


def _random_blur(draw: np.random.Generator) -> Image | None:
    """Return a linear motion blur kernel that is symmetric about its centre, or None for a sharp frame."""
    length = draw.uniform(0, MAX_BLUR_PX)
    if draw.random() < 0.4 or length < 1:
        return None
    angle, middle = draw.uniform(0, np.pi), MAX_BLUR_PX // 2
    kernel = np.zeros((MAX_BLUR_PX, MAX_BLUR_PX), dtype=np.float32)
    for step in np.linspace(-length / 2, length / 2, 4 * MAX_BLUR_PX):
        kernel[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] += 1
    return np.asarray(cv2.GaussianBlur(kernel / kernel.sum(), (3, 3), 0.5), dtype=np.float32)


def _blurred(image: Image, kernel: Image | None) -> Image:
    return image if kernel is None else np.asarray(cv2.filter2D(image, -1, kernel), dtype=np.float32)


def _change_colour(image: Image, draw: np.random.Generator, spread: float) -> Image:
    """Change gain of each channel and gamma by about `spread`, then add noise."""
    gain = np.exp(draw.normal(0, 1, 3) * spread)
    gamma = np.exp(draw.normal() * spread)
    noise = draw.normal(0, draw.uniform(0, 0.02), image.shape)
    return np.asarray(np.clip(np.clip(image, 0, 1) ** gamma * gain + noise, 0, 1), dtype=np.float32)
