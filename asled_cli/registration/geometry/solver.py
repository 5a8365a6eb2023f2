"""Robust Gauss-Newton solver for the one map that aligns all frames of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply
from asled_cli.imaging.warp import sample_slopes, with_slopes
from asled_cli.runtime.stages import map_in_threads

Indices = NDArray[np.intp]

# Corner displacement (pixels at the size being solved) that the prior allows in the directions in which two
# phone lenses hardly differ: shear, unequal scale, keystone.
_LENS_SLACK_PX = 1.5
# Neighbouring pixels are correlated; this many count as one observation.
_PIXELS_PER_OBSERVATION = 50.0
# Pixels of a frame that are compared, about.
_PIXELS = 60_000
# A step that moves no corner by more, pixels at the size being solved, is the last one.
_CONVERGED_PX = 0.01
# Pixels summed in float32 at a time, see `_weighted_products`.
_PART = 8192
# Tukey's constant for 95 % efficiency with normal errors.
_TUKEY_C = 4.685
# From the median absolute error to the standard deviation of normal errors.
_MEDIAN_TO_SIGMA = 1.4826
# Lower bound of the scale of the errors, luma 0..1: about half an 8-bit code.
_MIN_SCALE = 2e-3


@dataclass(frozen=True)
class LumaPair:
    """One frame for the solver: the target and the equally blurred reference.

    target: (H, W) float32 luma 0..1. reference: (H', W') float32 luma on its own canvas.
    shift: (H, W, 2) float32 pixels added to a target pixel before the map, or None.
    """

    target: Image
    reference: Image
    shift: Image | None = None


@dataclass(frozen=True)
class Fit:
    """Result of `refine`.

    matrix: (3, 3) target pixel -> canvas pixel. gain, bias: of the reference's luma. free: free parameters.
    """

    matrix: Matrix
    gain: float
    bias: float
    free: int


def refine(frames: Sequence[LumaPair], start: Matrix, steps: int, *, free: int = 8) -> Fit:
    """Return the one map, with luma gain and bias, that aligns all frames.

    Method: Gauss-Newton with Tukey biweights. Coordinates are centred and scaled inside, so that the normal
    equations are well conditioned.
    start: (3, 3) target pixel -> reference canvas pixel. steps: iterations at most.
    free: 8 for a homography, 6 affine, 4 similarity, 2 shift.
    """
    height, width = frames[0].target.shape
    norm = max(width, height) / 2
    centre = np.array([[norm, 0, (width - 1) / 2], [0, norm, (height - 1) / 2], [0, 0, 1]], dtype=np.float64)
    views = map_in_threads(lambda frame: _View.of(frame, centre), frames)
    matrix = start @ centre
    gain, bias = 1.0, 0.0
    for _ in range(steps):
        system = _System(free)
        for part in map_in_threads(partial(_equations, free, matrix, gain, bias), views):
            system.add(part)
        before = matrix
        matrix, gain, bias = system.solve(matrix, gain, bias)
        if _largest_move(before, matrix, (1.0, height / width)) < _CONVERGED_PX:
            break
    return Fit(matrix @ np.linalg.inv(centre), gain, bias, free)


@lru_cache(maxsize=8)
def compared_pixels(size: tuple[int, int]) -> tuple[Indices, Indices]:
    """Return rows and columns, (h, w) each, of about _PIXELS pixels spread over a picture of `size`.

    One of each cell, drawn at random: a scene's pattern may have the same period as every other pixel.
    """
    step = max(1, round(math.sqrt(size[0] * size[1] / _PIXELS)))
    rows, columns = np.mgrid[: size[1] // step, : size[0] // step] * step
    draw = np.random.default_rng(0)
    return rows + draw.integers(step, size=rows.shape), columns + draw.integers(step, size=rows.shape)


def _largest_move(before: Matrix, after: Matrix, reach: tuple[float, float]) -> float:
    """Return how far the corners move from one map to another, pixels. reach: centred x and y of a corner."""
    corners = np.array([[x, y, 1] for x in (-reach[0], reach[0]) for y in (-reach[1], reach[1])])
    seen, moved = (corners @ m.T for m in (before, after))
    return float(np.abs(seen[:, :2] / seen[:, 2:] - moved[:, :2] / moved[:, 2:]).max())


@dataclass(frozen=True)
class _View:
    """A frame with what all steps need of it.

    target: the pixels that are compared, (h, w), each for `share` of the frame's.
    slopes: (H', W', 4), the reference by `with_slopes`.
    x, y: (h, w), centred and scaled positions of the pixels that are compared.
    """

    target: Image
    slopes: Image
    x: Image
    y: Image
    share: float

    @classmethod
    def of(cls, frame: LumaPair, centre: Matrix) -> "_View":
        """Return the view of a frame, with coordinates centred and scaled by `centre`."""
        height, width = frame.target.shape
        rows, columns = compared_pixels((width, height))
        px, py = columns.astype(np.float32), rows.astype(np.float32)
        if frame.shift is not None:
            px, py = (axis + frame.shift[rows, columns, i] for i, axis in enumerate((px, py)))
        x = (px - np.float32(centre[0, 2])) / np.float32(centre[0, 0])
        y = (py - np.float32(centre[1, 2])) / np.float32(centre[1, 1])
        share = height * width / rows.size
        return cls(frame.target[rows, columns], with_slopes(frame.reference), x, y, share)


@dataclass(frozen=True)
class _Equations:
    """Weighted normal equations (n, n) and (n,) of one frame, the sum of weights and of weighted squares."""

    a: Matrix
    b: NDArray[np.float64]
    weight: float
    variance: float


def _equations(free: int, matrix: Matrix, gain: float, bias: float, view: _View) -> _Equations:
    """Return the weighted equations of a frame under the current map, gain and bias."""
    u, v = apply(matrix, view.x, view.y)
    warped, gx, gy, inside = sample_slopes(view.slopes, u, v)
    error = view.target - (np.float32(gain) * warped + np.float32(bias))
    weight = robust_weight(error, inside)
    rows = np.empty((free + 3, error.size), np.float32)
    gx, gy = (np.multiply(slope, np.float32(gain)) for slope in (gx, gy))
    _motion_columns(rows[:free], gx, gy, view, u, v, matrix)
    rows[-3], rows[-2], rows[-1] = warped.ravel(), 1, error.ravel()
    products = view.share * _weighted_products(rows, weight.ravel())
    total, squares = (view.share * float(np.sum(part)) for part in (weight, weight * error * error))
    return _Equations(products[:-1, :-1], products[:-1, -1], total, squares)


def _motion_columns(
    out: Image, gx: Image, gy: Image, view: _View, u: Image, v: Image, matrix: Matrix
) -> None:
    """Write the derivatives by the parameters of `_motion_basis` to `out` (free, pixels)."""
    columns = out.reshape(len(out), *gx.shape)
    x, y = view.x, view.y
    m = matrix / matrix[2, 2]
    if m[2, 0] or m[2, 1]:
        w = (m[2, 0] * x + m[2, 1] * y + 1).astype(np.float32)
        gx, gy = gx / w, gy / w
    gx, gy = (g / np.float32(matrix[2, 2]) for g in (gx, gy))
    if len(out) == 4:
        columns[0] = gx * x + gy * y
        columns[1] = gy * x - gx * y
    if len(out) in (2, 4):
        columns[-2], columns[-1] = gx, gy
        return
    for i, g in ((0, gx), (3, gy)):
        np.multiply(g, x, out=columns[i])
        np.multiply(g, y, out=columns[i + 1])
        columns[i + 2] = g
    if len(out) == 8:
        gz = -(gx * u + gy * v)
        np.multiply(gz, x, out=columns[6])
        np.multiply(gz, y, out=columns[7])


class _System:
    """Normal equations of one Gauss-Newton step, summed over frames."""

    def __init__(self, free: int) -> None:
        self.basis = _motion_basis(free)
        n = self.basis.shape[1] + 2
        self.a = np.zeros((n, n))
        self.b = np.zeros(n)
        self.weight = 0.0
        self.variance = 0.0

    def add(self, part: _Equations) -> None:
        """Add the equations of a frame."""
        self.a += part.a
        self.b += part.b
        self.weight += part.weight
        self.variance += part.variance

    def solve(self, matrix: Matrix, gain: float, bias: float) -> tuple[Matrix, float, float]:
        """Return map, gain and bias after the step."""
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

    Float32 within a few thousand pixels and float64 over them: three times as fast as float64 throughout.
    """
    weighted = rows * weight
    parts = [slice(start, start + _PART) for start in range(0, rows.shape[1], _PART)]
    products = [weighted[:, part] @ rows[:, part].T for part in parts]
    return np.asarray(np.sum(products, axis=0, dtype=np.float64))


def _motion_basis(free: int) -> Matrix:
    """Return (8, free): the directions in which the eight entries of a map may change."""
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
    """Add a prior of zero unequal scale, shear and keystone; in centred units one unit is norm pixels."""
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


def robust_weight(error: Image, inside: NDArray[np.bool_]) -> Image:
    """Return Tukey biweights 0..1 of `error` (H, W), scaled by its median; 0 outside.

    Source: F. Mosteller and J. W. Tukey, "Data analysis and regression", 1977.
    """
    sample = np.abs(error[::3, ::3][inside[::3, ::3]])
    if sample.size == 0:
        return np.zeros_like(error)
    scale = max(_MEDIAN_TO_SIGMA * float(np.median(sample)), _MIN_SCALE) * _TUKEY_C
    ratio = np.minimum(np.abs(error) / np.float32(scale), 1)
    weight = (1 - ratio * ratio) ** 2
    return np.where(inside, weight, 0).astype(np.float32)
