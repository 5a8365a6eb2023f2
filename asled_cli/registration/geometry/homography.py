"""Projective maps between views: applying, rescaling, blending, and the Gauss-Newton step that refines them.

A map is a (3, 3) float64 matrix taking pixel (x, y, 1) of one picture to another; pixel centres lie at
whole numbers, so a picture resized by s moves pixel x to (x + 0.5) * s - 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Image = NDArray[np.float32]
Sample = TypeVar("Sample", np.float32, np.uint16)

# Corner displacement (pixels at the size being solved) that the prior lets pass freely in the directions
# two phone lenses hardly use: shear, unequal scale, keystone.
_LENS_SLACK_PX = 1.5
# Neighbouring pixels carry the same information; this many of them count as one observation.
_PIXELS_PER_OBSERVATION = 50.0
_PART = 8192  # pixels


def resize_matrix(old: tuple[int, int], new: tuple[int, int]) -> Matrix:
    """Return the map from pixels of a picture of size `old` (width, height) to its copy resized to `new`."""
    sx, sy = new[0] / old[0], new[1] / old[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], dtype=np.float64)


def reducing(size: tuple[int, int], factor: int) -> Matrix:
    """Return the map from pixels of a picture of `size` (width, height) to those `factor` times as large."""
    return resize_matrix(size, (size[0] // factor, size[1] // factor))


def translation(x: float, y: float) -> Matrix:
    """Return the map that adds (x, y) pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=np.float64)


def pixel_grid(size: tuple[int, int]) -> tuple[Image, Image]:
    """Return x and y, each (H, W) float32, of every pixel of a picture of `size` (width, height)."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    return x, y


def apply(matrix: Matrix, x: Image, y: Image) -> tuple[Image, Image]:
    """Return the images of the points (x, y), any shape, under `matrix`."""
    m = (matrix / matrix[2, 2]).astype(np.float32)
    u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    if m[2, 0] == 0 and m[2, 1] == 0:
        return u, v
    w = m[2, 0] * x + m[2, 1] * y + 1
    return u / w, v / w


def interpolate(first: Matrix, second: Matrix, fraction: float) -> Matrix:
    """Return the map between two close maps, `fraction` 0 (first) to 1 (second)."""
    a, b = first / first[2, 2], second / second[2, 2]
    return np.asarray(a + fraction * (b - a), dtype=np.float64)


def simplified(matrix: Matrix, size: tuple[int, int], free: int) -> Matrix:
    """Return the affine map (free = 6) or the similarity (4) nearest to `matrix` at the middle of a picture.

    size: (width, height) of the picture whose pixels it takes. The middle stays where `matrix` takes it.
    """
    m = matrix / matrix[2, 2]
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    x, y, w = m @ np.append(middle, 1.0)
    there = np.array([x, y]) / w
    turn = (m[:2, :2] - np.outer(there, m[2, :2])) / w  # the derivative at the middle
    if free == 4:
        scale, slope = (turn[0, 0] + turn[1, 1]) / 2, (turn[1, 0] - turn[0, 1]) / 2
        turn = np.array([[scale, -slope], [slope, scale]])
    result = np.eye(3)
    result[:2, :2], result[:2, 2] = turn, there - turn @ middle
    return result


def local_scale(matrix: Matrix, size: tuple[int, int]) -> float:
    """Return how many pixels one pixel at the centre of a picture of `size` becomes under `matrix`."""
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    points = np.array([[x, y], [x + 1, y], [x, y + 1]], dtype=np.float32)
    u, v = apply(matrix, points[:, 0], points[:, 1])
    area = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
    return float(np.sqrt(abs(area)))


@dataclass(frozen=True)
class Observation:
    """One frame for the solver: what is seen, and what the reference, blurred alike, offers for it.

    target: (H, W) float32 luma 0..1. reference: (H', W') float32 luma on its own canvas.
    shift: (H, W, 2) float32 pixels added to a target pixel before the map is applied, or None.
    """

    target: Image
    reference: Image
    shift: Image | None = None


@dataclass(frozen=True)
class Fit:
    """Result of `refine`: the map, the luma gain and bias, and the number of the map's free parameters."""

    matrix: Matrix
    gain: float
    bias: float
    free: int


def refine(frames: Sequence[Observation], start: Matrix, steps: int, *, free: int = 8) -> Fit:
    """Solve for the one map (and luma gain and bias) that makes all frames agree; robust Gauss-Newton.

    start: target pixel -> reference canvas pixel. free: 8 for a homography, 6 affine, 4 similarity, 2 shift.
    Coordinates are centred and scaled inside, so that the normal equations are well conditioned.
    """
    height, width = frames[0].target.shape
    norm = max(width, height) / 2
    centre = np.array([[norm, 0, (width - 1) / 2], [0, norm, (height - 1) / 2], [0, 0, 1]], dtype=np.float64)
    matrix = start @ centre
    gain, bias = 1.0, 0.0
    for _ in range(steps):
        system = _System(free)
        for frame in frames:
            system.add(frame, matrix, centre, gain, bias)
        matrix, gain, bias = system.solve(matrix, gain, bias)
    return Fit(matrix @ np.linalg.inv(centre), gain, bias, free)


class _System:
    """Normal equations of one Gauss-Newton step, summed over frames."""

    def __init__(self, free: int) -> None:
        self.basis = _motion_basis(free)
        n = self.basis.shape[1] + 2
        self.a = np.zeros((n, n))
        self.b = np.zeros(n)
        self.weight = 0.0
        self.variance = 0.0

    def add(self, frame: Observation, matrix: Matrix, centre: Matrix, gain: float, bias: float) -> None:
        height, width = frame.target.shape
        px, py = pixel_grid((width, height))
        if frame.shift is not None:
            px, py = px + frame.shift[..., 0], py + frame.shift[..., 1]
        x = (px - np.float32(centre[0, 2])) / np.float32(centre[0, 0])
        y = (py - np.float32(centre[1, 2])) / np.float32(centre[1, 1])
        u, v = apply(matrix, x, y)
        warped, gx, gy, inside = sample_with_gradient(frame.reference, u, v)
        error = frame.target - (np.float32(gain) * warped + np.float32(bias))
        weight = robust_weight(error, inside)
        self.variance += float(np.sum(weight * error * error))
        self.weight += float(np.sum(weight))
        columns = self._columns(gx * np.float32(gain), gy * np.float32(gain), x, y, u, v, matrix, warped)
        products = _weighted_products(np.concatenate([columns, error.reshape(1, -1)]), weight.ravel())
        self.a += products[:-1, :-1]
        self.b += products[:-1, -1]

    def _columns(
        self, gx: Image, gy: Image, x: Image, y: Image, u: Image, v: Image, matrix: Matrix, warped: Image
    ) -> Image:
        w = (matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]).astype(np.float32)
        gx, gy = gx / w, gy / w
        gz = -(gx * u + gy * v)
        full = np.stack([gx * x, gx * y, gx, gy * x, gy * y, gy, gz * x, gz * y]).reshape(8, -1)
        moved = self.basis.T.astype(np.float32) @ full if self.basis.shape[1] < 8 else full
        return np.concatenate([moved, warped.reshape(1, -1), np.ones((1, warped.size), np.float32)])

    def solve(self, matrix: Matrix, gain: float, bias: float) -> tuple[Matrix, float, float]:
        a, b = self.a.copy(), self.b.copy()
        noise = max(self.variance / max(self.weight, 1e-9), 1e-8)
        if self.basis.shape[1] == 8:
            _add_lens_prior(a, b, matrix, noise * _PIXELS_PER_OBSERVATION / _LENS_SLACK_PX**2)
        a[np.diag_indices_from(a)] += 1e-6 * np.trace(a) / len(a) + 1e-12
        step = np.linalg.solve(a, b)
        motion = self.basis @ step[:-2]
        m = matrix / matrix[2, 2]
        updated = m + np.append(motion, 0.0).reshape(3, 3)
        return updated, gain + float(step[-2]), bias + float(step[-1])


def _weighted_products(rows: Image, weight: Image) -> Matrix:
    """Return (n, n): the weighted sums of products of all pairs of rows (n, N), weight (N,).

    Float32 within a few thousand pixels, float64 over them: three times as fast as float64 all through.
    """
    weighted = rows * weight
    parts = [slice(start, start + _PART) for start in range(0, rows.shape[1], _PART)]
    products = [weighted[:, part] @ rows[:, part].T for part in parts]
    return np.asarray(np.sum(products, axis=0, dtype=np.float64))


def _motion_basis(free: int) -> Matrix:
    """Columns: the directions in which the eight entries of a map may move."""
    if free == 8:
        return np.eye(8)
    if free == 6:
        return np.eye(8)[:, :6]
    shifts = np.eye(8)[:, [2, 5]]
    if free == 2:
        return shifts
    zoom = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])[:, None]
    turn = np.array([0.0, -1, 0, 1, 0, 0, 0, 0])[:, None]
    return np.concatenate([zoom, turn, shifts], axis=1)


def _add_lens_prior(a: Matrix, b: Matrix, matrix: Matrix, weight: float) -> None:
    """Pull unequal scale, shear and keystone towards zero; in centred units one unit is norm pixels."""
    m = matrix / matrix[2, 2]
    scale = (m[0, 0] + m[1, 1]) / 2
    for direction, value in (
        (np.array([1.0, 0, 0, 0, -1, 0, 0, 0]), m[0, 0] - m[1, 1]),
        (np.array([0, 1.0, 0, 1, 0, 0, 0, 0]), m[0, 1] + m[1, 0]),
        (np.array([0, 0, 0, 0, 0, 0, scale, 0]), m[2, 0] * scale),
        (np.array([0, 0, 0, 0, 0, 0, 0, scale]), m[2, 1] * scale),
    ):
        a[:8, :8] += weight * np.outer(direction, direction)
        b[:8] -= weight * direction * value


def sample_with_gradient(image: Image, u: Image, v: Image) -> tuple[Image, Image, Image, NDArray[np.bool_]]:
    """Return `image` at (u, v), its x and y derivatives there, and where that is inside."""
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    stacked = cv2.merge([image, gx, gy])
    sampled = sample(np.asarray(stacked, dtype=np.float32), u, v)
    height, width = image.shape
    inside = (u >= 1) & (v >= 1) & (u <= width - 2) & (v <= height - 2)
    return sampled[..., 0], sampled[..., 1], sampled[..., 2], inside


def sample(image: Image, u: Image, v: Image) -> Image:
    """Return `image` (H', W'[, C]) at the points (u, v), each (H, W); bilinear, border repeated."""
    sampled = cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def sample_at(
    image: NDArray[Sample], places: NDArray[Any], interpolation: int = cv2.INTER_LINEAR
) -> NDArray[Sample]:
    """Return `image` (H', W'[, C]) at `places` (H, W, 2) float32, x then y; bordered by its own edge."""
    # Stubs lack the form with one map of two channels.
    sampled = cv2.remap(image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(sampled, dtype=image.dtype)


def within(image: Image, u: Image, v: Image) -> NDArray[np.bool_]:
    """Return which of the points (u, v) lie on `image` (H', W'[, C])."""
    height, width = image.shape[:2]
    return np.asarray((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1))


def robust_weight(error: Image, inside: NDArray[np.bool_]) -> Image:
    """Return Tukey weights 0..1 of `error`, scaled by its own median; 0 outside."""
    sample = np.abs(error[::3, ::3][inside[::3, ::3]])
    if sample.size == 0:
        return np.zeros_like(error)
    scale = max(1.4826 * float(np.median(sample)), 2e-3) * 4.685
    ratio = np.minimum(np.abs(error) / np.float32(scale), 1)
    weight = (1 - ratio * ratio) ** 2
    return np.where(inside, weight, 0).astype(np.float32)
