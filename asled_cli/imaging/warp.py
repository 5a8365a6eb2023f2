"""Sampling of pictures at points between pixels."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, pixel_grid

_ROWS = 32  # of large pictures sampled at a time
Sample = TypeVar("Sample", np.float32, np.uint16)
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Values = TypeVar("Values", NDArray[np.float32], NDArray[np.float64])


def sample_with_gradient(image: Image, u: Image, v: Image) -> tuple[Image, Image, Image, NDArray[np.bool_]]:
    """Return `image` (H', W') at the points (u, v), (H, W) each, its derivatives and a mask of inside."""
    return sample_slopes(with_slopes(image), u, v)


def with_slopes(image: Image) -> Image:
    """Return (H, W, 4) of `image` (H, W): itself, its derivatives, and ones.

    OpenCV samples four channels faster than three.
    """
    gx, gy = slopes(image)
    return np.asarray(cv2.merge([image, gx, gy, np.ones_like(gx)]), np.float32)


def sample_slopes(sloped: Image, u: Image, v: Image) -> tuple[Image, Image, Image, NDArray[np.bool_]]:
    """Return what `sample_with_gradient` does of a picture that `with_slopes` gave."""
    sampled = sample(sloped, u, v)
    height, width = sloped.shape[:2]
    inside = (u >= 1) & (v >= 1) & (u <= width - 2) & (v <= height - 2)
    return sampled[..., 0], sampled[..., 1], sampled[..., 2], inside


def slopes(image: Image) -> tuple[Image, Image]:
    """Return the derivatives of `image` (H, W) to the right and down, smoothed along the other axis."""
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.asarray(gx, np.float32), np.asarray(gy, np.float32)


def sample(image: Image, u: Image, v: Image, interpolation: int = cv2.INTER_LINEAR) -> Image:
    """Return `image` (H', W'[, C]) at the points (u, v), each (H, W); the border is repeated."""
    sampled = cv2.remap(image, u, v, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def sample_at(
    image: NDArray[Sample], places: NDArray[Any], interpolation: int = cv2.INTER_LINEAR
) -> NDArray[Sample]:
    """Return `image` (H', W'[, C]) at `places` (H, W, 2) float32, x then y; the border is repeated."""
    # Stubs lack the form with one map of two channels.
    sampled = cv2.remap(image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(sampled, dtype=image.dtype)


def sample_rows(
    picture: NDArray[Sample], size: tuple[int, int], places: Callable[[slice], Image]
) -> NDArray[Sample]:
    """Return `picture` (H', W', C) at the places of a grid of `size` (width, height), bicubic: (H, W, C).

    places: gives those of some rows, (n, W, 2) float32. Some rows at a time stay in a processor's cache.
    """
    out = np.empty((size[1], size[0], *picture.shape[2:]), picture.dtype)
    for top in range(0, size[1], _ROWS):
        rows = slice(top, min(top + _ROWS, size[1]))
        # Stubs lack the form with one map of two channels.
        cv2.remap(
            picture,
            places(rows),
            None,  # type: ignore[call-overload]
            cv2.INTER_CUBIC,
            dst=out[rows],
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


class MovedRows:
    """The place of each pixel of a picture of `size` (width, height) moved by a flow.

    flow: (h, w, 2) pixels on any grid over the same picture, enlarged bilinearly as OpenCV does.
    Calls give the places of some rows, (n, W, 2) float32: one product of matrices.
    """

    def __init__(self, flow: Image, size: tuple[int, int]) -> None:
        across = np.asarray(
            cv2.resize(flow, (size[0], len(flow)), interpolation=cv2.INTER_LINEAR), np.float32
        )
        across[..., 0] += np.arange(size[0], dtype=np.float32)
        self._across = across.reshape(len(flow), -1)
        self._down = _down_weights(len(flow), size[1])
        self._one_down = np.tile(np.array([[0, 1]], np.float32), size[0])

    def __call__(self, rows: slice) -> Image:
        """Return the places of some rows."""
        down = self._down[rows]
        used = np.flatnonzero(down.any(axis=0))
        some = slice(used[0], used[-1] + 1)
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        shares = np.concatenate([down[:, some], y], axis=1)
        found = np.matmul(shares, np.concatenate([self._across[some], self._one_down]))
        return np.asarray(found.reshape(len(y), -1, 2), np.float32)


@lru_cache(maxsize=8)
def _down_weights(rows: int, height: int) -> Image:
    """Return (height, rows): the share of each row of a grid in each row of the enlarged one."""
    unit = np.eye(rows, dtype=np.float32)
    return np.asarray(cv2.resize(unit, (rows, height), interpolation=cv2.INTER_LINEAR), np.float32)


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
