"""Shake between the frames, read from the target's own blur.

Frames 1/30 s apart show a hand's motion up to 15 Hz, and a path through them less than that: the rest of it
would leave the reblurred reference several pixels beside the target at its ends. But the target's blur has
recorded it. The two waves per axis that vanish at the frames are solved for by Gauss-Newton on the difference
of the target and the reblurred reference. Frames that software has steadied show even less: a straight way,
found by search, then takes the place of one of the waves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import shrink
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.blur.linear_blur import find_linear_blur, matched
from asled_cli.registration.blur.reblur import Reblur, gradient
from asled_cli.registration.blur.reference_motion import TrackedFrame
from asled_cli.registration.geometry.solver import robust_weight
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, IntraFrameShake

# Shorter travel within an exposure shows no waves; longer exposures than this (intervals) average them out.
_TRAVEL_PX, _LENGTH = 3.0, 2.0
# Reductions and most steps at each; a step below this (pixels times reduction) ends a level.
_LEVELS, _DONE_PX = ((4, 3), (2, 2), (1, 5)), 0.03
# Standard deviation expected of the waves, as a share of the travel; pixels that share one error (errors of
# flow are smooth: with few, shake that is not there explains them).
_EXPECTED, _PIXELS_PER_OBSERVATION = 0.1, 1000.0
# Shorter straight ways are left as a search found them; others may be this far off that (pixels).
_WAY_PX, _NEAR_PX = 1.0, 2.0
_BORDER_PX = 8


def can_show_intra_frame_shake(moments: Sequence[TrackedFrame], exposure: Exposure) -> bool:
    """Return whether frames moving as these do may have moved otherwise between them, and blur show it."""
    if exposure.steadied:
        return True
    fastest = max(moment.speed for moment in moments)
    return (
        not exposure.discrete_frames
        and exposure.length <= _LENGTH
        and fastest * exposure.length >= _TRAVEL_PX
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
    """Return the tremor that makes the reblurred reference most like the target, or STEADY.

    reblur: luma of the reference in the target's colours. target: (h, w) float32 luma 0..1. u, v: (h, w)
    where its pixels lie on the canvas. A shift of the whole picture is solved for alongside and dropped, so
    that a misplaced reference does not pass for shake. start: a tremor that is nearly right, if one is known.
    """
    if not can_show_intra_frame_shake(reblur.frames, exposure):
        return NO_SHAKE
    travel = reblur.travel(middle, exposure)
    if exposure.steadied:
        target = matched(target, exposure.relative_softness)
        if start == NO_SHAKE:
            start = IntraFrameShake(linear=find_linear_blur(target, reblur, u, v, middle, exposure))
        travel += math.hypot(*start.linear) * exposure.length
        if travel < _WAY_PX:
            return start
    elif travel < _TRAVEL_PX:
        return NO_SHAKE
    prior = _Prior.of(start, travel, exposure)
    waves = prior.start
    for factor, steps in _LEVELS if start == NO_SHAKE else _LEVELS[1:]:
        kept, least = waves, np.inf
        for _ in range(steps):
            view, slopes = reblur.exposed_slopes(middle, exposure, _tremor(waves, exposure))
            columns, error, weight = _rows(target, view, slopes, u, v, factor)
            residual = float(np.sum(weight * np.abs(error)) / max(float(np.sum(weight)), 1e-9))
            if residual >= least:
                waves = kept
                break
            kept, least = waves, residual
            change = _solve(columns, error, weight, waves, prior)
            waves = waves + change
            if np.abs(change).max() < _DONE_PX * factor:
                break
    return _tremor(waves, exposure)


@dataclass(frozen=True)
class _Prior:
    """Waves (4,) to start from, x and y of the sine (or way), then of the bump; which are likely, and how far
    off (4,) they may be."""

    start: NDArray[np.float64]
    likely: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, start: IntraFrameShake, travel: float, exposure: Exposure) -> "_Prior":
        waves = np.array([*(start.linear if exposure.steadied else start.odd), *start.even])
        likely, spread = np.zeros(4), np.full(4, _EXPECTED * travel)
        if exposure.steadied:
            likely[:2], spread[:2] = waves[:2], _NEAR_PX / exposure.length
        return cls(waves, likely, spread)


def _tremor(waves: NDArray[np.float64], exposure: Exposure) -> IntraFrameShake:
    a, b, c, d = waves.tolist()
    return (
        IntraFrameShake(linear=(a, b), even=(c, d)) if exposure.steadied else IntraFrameShake((a, b), (c, d))
    )


def _rows(
    target: Image, view: Image, slopes: tuple[Image, ...], u: Image, v: Image, factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return columns (n, 7) for the waves, a shift and a bias, the errors (n,) and their weights (n,).

    factor: by which pictures are reduced, so that waves as long as a detail is wide can be found.
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
    so_far: NDArray[np.float64],
    prior: _Prior,
) -> NDArray[np.float64]:
    """Return the step (4,) of the waves; `so_far` is held near what is likely."""
    weighted = columns * weight[:, None]
    a = (weighted.T @ columns).astype(np.float64)
    b = (weighted.T @ error).astype(np.float64)
    noise = float(np.sum(weight * error * error)) / max(float(np.sum(weight)), 1e-9)
    hold = noise * _PIXELS_PER_OBSERVATION / prior.spread**2
    waves = np.arange(4)
    a[waves, waves] += hold
    b[waves] -= hold * (so_far - prior.likely)
    a[np.diag_indices_from(a)] += 1e-6 * np.trace(a) / len(a) + 1e-12
    return np.asarray(np.linalg.solve(a, b)[:4], dtype=np.float64)
