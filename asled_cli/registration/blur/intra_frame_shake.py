"""Intra-frame camera shake: camera motion within an exposure that the frames do not show, from the blur.

Frames 1/30 s apart sample hand motion up to 15 Hz, and a smooth path through them shows less than that. The
rest would displace the ends of the reblurred reference by several pixels. The target's blur has recorded it.

Two waves per axis that vanish at the frames are fitted by Gauss-Newton with Tukey biweights, on the
difference of target and reblurred reference. In EIS clips a linear motion blur kernel, found by search,
replaces one of the two waves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import shrink
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.blur.linear_blur import find_linear_blur, match_softness
from asled_cli.registration.blur.reblur import Reblur, gradient
from asled_cli.registration.blur.reference_motion import TrackedFrame
from asled_cli.registration.geometry.solver import robust_weight
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, IntraFrameShake, KernelBlur

# Less travel within an exposure (pixels) does not show the waves.
_MIN_TRAVEL_PX = 3.0
# Longer exposures (frame intervals) average the waves out.
_MAX_LENGTH = 2.0
# (reduction, largest number of Gauss-Newton steps) of each level, coarse to fine.
_LEVELS = ((4, 3), (2, 2), (1, 5))
# A step below this, in pixels times the reduction, ends a level.
_CONVERGED_PX = 0.03
# Standard deviation expected of the coefficients, as a share of the travel.
_EXPECTED_SHARE = 0.1
# Pixels that share one error: errors of flow are smooth. With fewer, shake that is not there explains them.
_PIXELS_PER_OBSERVATION = 1000.0
# Linear kernels shorter than this (pixels) are left as the search found them.
_MIN_KERNEL_PX = 1.0
# Standard deviation of a linear kernel about the one that the search found, pixels.
_KERNEL_SPREAD_PX = 2.0
# Pixels left out at each edge, where the reference may be extrapolated.
_BORDER_PX = 8


def can_show_intra_frame_shake(frames: Sequence[TrackedFrame], exposure: Exposure) -> bool:
    """Return whether intra-frame shake can be estimated from the blur of such frames.

    frames: the reference frames about the exposure. exposure: of the target.
    """
    if isinstance(exposure, KernelBlur):
        return True
    fastest = max(frame.speed for frame in frames)
    return (
        not exposure.discrete_frames
        and exposure.length <= _MAX_LENGTH
        and fastest * exposure.length >= _MIN_TRAVEL_PX
    )


def fit_intra_frame_shake(
    reblur: Reblur,
    target: Image,
    u: Image,
    v: Image,
    middle: float,
    exposure: Exposure,
    start: IntraFrameShake = NO_SHAKE,
) -> IntraFrameShake:
    """Return the shake that makes the reblurred reference most similar to the target, or NO_SHAKE.

    The method is Gauss-Newton with Tukey biweights, coarse to fine. A shift of the whole picture is fitted
    along with it and dropped, so that a misaligned reference does not pass for shake.

    reblur: luma of the reference in the target's colours.
    target: (h, w) float32 luma 0..1.
    u, v: (h, w), canvas position of the target's pixels.
    middle: of the exposure, frame intervals.
    exposure: of the target.
    start: an approximate shake, if one is known.
    """
    if not can_show_intra_frame_shake(reblur.frames, exposure):
        return NO_SHAKE
    problem = _Problem(reblur, target, u, v, middle, exposure)
    if isinstance(exposure, KernelBlur):
        return _fit_kernel(problem, exposure, start)
    travel = reblur.travel(middle, exposure)
    if travel < _MIN_TRAVEL_PX:
        return NO_SHAKE
    prior = _Prior(np.zeros(4), np.full(4, _EXPECTED_SHARE * travel))
    return _gauss_newton(problem, start, prior)


@dataclass(frozen=True)
class _Problem:
    """A frame and the reference that explains it, as given to `fit_intra_frame_shake`."""

    reblur: Reblur
    target: Image
    u: Image
    v: Image
    middle: float
    exposure: Exposure


@dataclass(frozen=True)
class _Prior:
    """Gaussian prior of the four shake coefficients of `Exposure.shake`.

    expected: (4,) mean. spread: (4,) standard deviation.
    """

    expected: NDArray[np.float64]
    spread: NDArray[np.float64]


def _fit_kernel(problem: _Problem, exposure: KernelBlur, start: IntraFrameShake) -> IntraFrameShake:
    """Return the shake of an EIS frame: a linear kernel found by search, refined with a curvature."""
    reblur, middle = problem.reblur, problem.middle
    target = match_softness(problem.target, exposure.relative_softness)
    if start == NO_SHAKE:
        start = IntraFrameShake(
            linear=find_linear_blur(target, reblur, problem.u, problem.v, middle, exposure)
        )
    travel = reblur.travel(middle, exposure) + math.hypot(*start.linear) * exposure.length
    if travel < _MIN_KERNEL_PX:
        return start
    expected, spread = np.zeros(4), np.full(4, _EXPECTED_SHARE * travel)
    expected[:2], spread[:2] = start.linear, _KERNEL_SPREAD_PX / exposure.length
    return _gauss_newton(replace(problem, target=target), start, _Prior(expected, spread))


def _gauss_newton(problem: _Problem, start: IntraFrameShake, prior: _Prior) -> IntraFrameShake:
    """Return the shake with the lowest residual, coarse to fine; the coarsest level only without `start`."""
    exposure = problem.exposure
    coefficients = np.array(exposure.coefficients(start))
    for factor, steps in _LEVELS if start == NO_SHAKE else _LEVELS[1:]:
        best, lowest = coefficients, np.inf
        for _ in range(steps):
            view, slopes = problem.reblur.exposed_slopes(
                problem.middle, exposure, exposure.shake(coefficients.tolist())
            )
            columns, error, weight = _rows(problem.target, view, slopes, problem.u, problem.v, factor)
            residual = float(np.sum(weight * np.abs(error)) / max(float(np.sum(weight)), 1e-9))
            if residual >= lowest:
                coefficients = best
                break
            best, lowest = coefficients, residual
            change = _solve(columns, error, weight, coefficients, prior)
            coefficients = coefficients + change
            if np.abs(change).max() < _CONVERGED_PX * factor:
                break
    return exposure.shake(coefficients.tolist())


def _rows(
    target: Image, view: Image, slopes: tuple[Image, ...], u: Image, v: Image, factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the linear system of a Gauss-Newton step.

    factor: reduction of the pictures; waves as long as details are wide are found on reduced ones.
    Returns columns (n, 7): four waves, shift x, y and bias; errors (n,); Tukey weights (n,).
    """
    border = min(_BORDER_PX, min(u.shape) // 4)
    inner = tuple(slice(border, side - border) for side in u.shape)
    u, v = u[inner], v[inner]
    inside = within(view, u, v)
    error = target[inner] - sample(view, u, v)
    columns = [sample(slope, u, v) for slope in slopes]
    columns += [sample(gradient(view, axis), u, v) for axis in (1, 0)]
    columns.append(np.ones_like(error))
    columns, error = [shrink(column, factor) for column in columns], shrink(error, factor)
    weight = robust_weight(error, shrink(inside.astype(np.float32), factor) > 0.99)
    return np.stack([c.ravel() for c in columns], axis=1), error.ravel(), weight.ravel()


def _solve(
    columns: NDArray[np.float32],
    error: NDArray[np.float32],
    weight: NDArray[np.float32],
    current: NDArray[np.float64],
    prior: _Prior,
) -> NDArray[np.float64]:
    """Return the Gauss-Newton step (4,) of the coefficients; the prior damps it."""
    weighted = columns * weight[:, None]
    a = (weighted.T @ columns).astype(np.float64)
    b = (weighted.T @ error).astype(np.float64)
    noise = float(np.sum(weight * error * error)) / max(float(np.sum(weight)), 1e-9)
    damping = noise * _PIXELS_PER_OBSERVATION / prior.spread**2
    waves = np.arange(4)
    a[waves, waves] += damping
    b[waves] -= damping * (current - prior.expected)
    a[np.diag_indices_from(a)] += 1e-6 * np.trace(a) / len(a) + 1e-12
    return np.asarray(np.linalg.solve(a, b)[:4], dtype=np.float64)
