"""Colour match of the reference to the target: one robust curve per channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.runtime.stages import map_in_threads

# Knots of a curve: few, since the tone curves of two cameras differ smoothly.
_KNOTS = 9
# Weight of the penalties on second differences and on slopes, in samples per knot interval.
_SMOOTHNESS = 0.02
# Pixels used at most, which bounds time and memory.
_SAMPLES = 100_000


@dataclass(frozen=True)
class Tone:
    """Tone curves from reference codes to target codes.

    values: (3, K) float64 outputs 0..1 at K evenly spaced inputs 0..1, linear between them.
    """

    values: NDArray[np.float64]

    def __call__(self, rgb: Image) -> Image:
        """Return `rgb` (..., 3) float 0..1 with the curves applied, not clipped."""
        out = np.empty_like(rgb)
        knots = np.linspace(0, 1, self.values.shape[1])
        for c in range(3):
            out[..., c] = np.interp(rgb[..., c], knots, self.values[c])
        return out

    def then(self, following: "Tone") -> "Tone":
        """Return the curves that do this tone and then `following`."""
        knots = np.linspace(0, 1, following.values.shape[1])
        return Tone(
            np.stack([np.interp(v, knots, f) for v, f in zip(self.values, following.values, strict=True)])
        )

    def table(self, levels: int = 65536) -> NDArray[np.uint16]:
        """Return (3, levels) uint16: the curves as a lookup table between codes 0..levels-1."""
        codes = np.linspace(0, 1, levels)
        knots = np.linspace(0, 1, self.values.shape[1])
        curves = np.stack([np.interp(codes, knots, v) for v in self.values])
        return np.asarray(np.clip(curves * (levels - 1) + 0.5, 0, levels - 1), dtype=np.uint16)


def identity_tone() -> Tone:
    """Return the curves that change nothing."""
    return Tone(np.tile(np.linspace(0, 1, _KNOTS), (3, 1)))


def fit_tone(target: Sequence[Image], reference: Sequence[Image], weight: Sequence[Image]) -> Tone:
    """Return the curves that map `reference` colours to `target` colours.

    target, reference: lists of (H, W, 3) float 0..1, of the same geometry.
    weight: (H, W) per picture, its confidence; 0 excludes a pixel.
    Method: iteratively reweighted least squares (Cauchy weights) on a linear spline with a penalty on its
    second differences.
    """
    w = np.concatenate([m.ravel() for m in weight]).astype(np.float64)
    x = np.concatenate([r.reshape(-1, 3) for r in reference]).astype(np.float64)
    y = np.concatenate([t.reshape(-1, 3) for t in target]).astype(np.float64)
    # Clipped codes say nothing about the curve.
    step = max(1, len(w) // _SAMPLES)
    w, x, y = w[::step], x[::step], y[::step]
    return Tone(np.stack(map_in_threads(lambda c: _fit_curve(x[:, c], y[:, c], w), range(3))))


def _fit_curve(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K,), the outputs of one curve at its knots, never falling.

    x, y: (N,) reference and target values 0..1. w: (N,) weights.
    """
    w = w * ((y > 0.004) & (y < 0.996) & (x > 0.004) & (x < 0.996))
    if w.sum() < 50:
        return np.linspace(0, 1, _KNOTS)
    position = np.clip(x, 0, 1) * (_KNOTS - 1)
    cell = np.minimum(position.astype(int), _KNOTS - 2)
    fraction = position - cell
    robust = np.ones_like(x)
    values = np.linspace(0, 1, _KNOTS, dtype=np.float64)
    for _ in range(6):
        a, b = _normal_equations(cell, fraction, y, w * robust)
        values = np.asarray(np.linalg.solve(a, b), dtype=np.float64)
        error = np.abs(y - (values[cell] * (1 - fraction) + values[cell + 1] * fraction))
        scale = 1.4826 * float(np.median(error[w > 0])) * 2.5 + 2e-3
        robust = 1 / (1 + (error / scale) ** 2)
    return np.maximum.accumulate(values)


def _normal_equations(
    cell: NDArray[np.int_], fraction: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the normal equations (K, K), (K,) of the spline with its penalties.

    cell, fraction: (N,) knot interval of each sample and position in it, 0..1. y, w: (N,) targets and
    weights.
    """
    a, b = np.zeros((_KNOTS, _KNOTS)), np.zeros(_KNOTS)
    left, right = 1 - fraction, fraction
    index = np.arange(_KNOTS - 1)
    count = _KNOTS - 1
    a[index, index] += np.bincount(cell, w * left * left, count)
    a[index + 1, index + 1] += np.bincount(cell, w * right * right, count)
    cross = np.bincount(cell, w * left * right, count)
    a[index, index + 1] += cross
    a[index + 1, index] += cross
    b[:-1] += np.bincount(cell, w * left * y, count)
    b[1:] += np.bincount(cell, w * right * y, count)
    bend = np.diff(np.eye(_KNOTS), n=2, axis=0)
    a += _SMOOTHNESS * w.sum() / _KNOTS * (bend.T @ bend)
    # Without pixels the curve keeps slope 1.
    slope = np.diff(np.eye(_KNOTS), axis=0)
    prior = 1e-4 * w.sum() / _KNOTS
    a += prior * (slope.T @ slope)
    b += prior * (slope.T @ np.full(_KNOTS - 1, 1 / (_KNOTS - 1)))
    return a, b
