"""Sampling of pictures at points between pixels."""

from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, pixel_grid

Sample = TypeVar("Sample", np.float32, np.uint16)
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Values = TypeVar("Values", NDArray[np.float32], NDArray[np.float64])


def sample_with_gradient(image: Image, u: Image, v: Image) -> tuple[Image, Image, Image, NDArray[np.bool_]]:
    """Return `image` (H', W') at the points (u, v), (H, W) each, its derivatives and a mask of inside."""
    gx, gy = slopes(image)
    # OpenCV samples four channels faster than three.
    stacked = cv2.merge([image, gx, gy, np.ones_like(gx)])
    sampled = sample(np.asarray(stacked, dtype=np.float32), u, v)
    height, width = image.shape
    inside = (u >= 1) & (v >= 1) & (u <= width - 2) & (v <= height - 2)
    return sampled[..., 0], sampled[..., 1], sampled[..., 2], inside


def slopes(image: Image) -> tuple[Image, Image]:
    """Return the derivatives of `image` (H, W) to the right and down, smoothed along the other axis."""
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.asarray(gx, np.float32), np.asarray(gy, np.float32)


def sample(image: Image, u: Image, v: Image) -> Image:
    """Return `image` (H', W'[, C]) at the points (u, v), each (H, W); bilinear, border repeated."""
    sampled = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def sample_at(
    image: NDArray[Sample], places: NDArray[Any], interpolation: int = cv2.INTER_LINEAR
) -> NDArray[Sample]:
    """Return `image` (H', W'[, C]) at `places` (H, W, 2) float32, x then y; the border is repeated."""
    # Stubs lack the form with one map of two channels.
    sampled = cv2.remap(image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(sampled, dtype=image.dtype)


def within(image: Image, u: Image, v: Image) -> NDArray[np.bool_]:
    """Return a mask of the points (u, v), any shape, that are inside `image` (H', W'[, C])."""
    height, width = image.shape[:2]
    return np.asarray((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1))


def warp(image: Values, flow: Image) -> Values:
    """Return `image` (H, W[, C]) sampled at each pixel plus `flow` (H, W, 2); bilinear, border repeated."""
    # Stubs lack the form with one map of two channels.
    warped = cv2.remap(
        image,
        flow + _grid(flow.shape[1], flow.shape[0]),
        None,  # type: ignore[call-overload]
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, image.dtype)


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> Image:
    """Return (H, W, 2): x and y of every pixel, not to be written to."""
    grid = np.dstack(pixel_grid((width, height)))
    grid.flags.writeable = False
    return grid


def warp_homography(
    image: NDArray[Pixel],
    matrix: Matrix,
    size: tuple[int, int],
    *,
    border: int = cv2.BORDER_REFLECT_101,
    interpolation: int = cv2.INTER_CUBIC,
) -> NDArray[Pixel]:
    """Return out(p) = image(matrix p), of `size` (width, height) and the dtype of `image`."""
    flags = interpolation | cv2.WARP_INVERSE_MAP
    if (matrix[2] == (0.0, 0.0, 1.0)).all():
        out = cv2.warpAffine(image, matrix[:2], size, flags=flags, borderMode=border)
    else:
        out = cv2.warpPerspective(image, matrix, size, flags=flags, borderMode=border)
    return np.asarray(out, dtype=image.dtype)
