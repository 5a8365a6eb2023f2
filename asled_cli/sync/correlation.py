"""The offset between two clips by curves over time that both should share: correlation of their changes.

Both lenses sit in one phone, so their pictures shift and roll alike, one by the field-of-view ratio more, and
what moves before one moves before the other. Frame rates may differ and frames may be missing: curves are
compared on a common grid of time.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asled_cli.sync.camera_motion import MotionCurve

Curve = NDArray[np.float64]

_GRID_HZ = 240
# A hand's motion is told from a slow pan by what changes within this time, seconds.
_SLOW_S = 1.0
SHARED_S = 1.5  # shorter overlaps agree by chance
_SHORT_SHARE = 0.6  # of a short clip that must overlap all the same
# Roll at the distance of a quarter of the picture counts as much as shift.
_ROLL_WEIGHT = 0.25
# Motion less than this per second (shares of the longer side, after removing the slow part) is noise.
STILL_PER_S = 4e-4
# Correlation and its significance (in standard errors of unrelated curves) from which a peak is believed.
MIN_CORRELATION, MIN_SIGNIFICANCE = 0.55, 4.0
NEAR_S = 0.05
_APART_S, _RIVAL_SHARE = 0.25, 0.9  # another peak this far away must stay this much lower
_MIN_S = 0.3  # of each clip


@dataclass(frozen=True)
class CurveMatch:
    """How two curves fit together at their best lag.

    offset_s: seconds that the reference clip started after the target clip. correlation: -1..1 there.
    significance: its distance from unrelated curves, in standard errors. rival: highest correlation at a
    clearly other lag. moving: whether both change at all. least_significance: from which it is believed.
    """

    offset_s: float
    correlation: float
    significance: float
    rival: float
    moving: bool
    least_significance: float = MIN_SIGNIFICANCE

    @property
    def confidence(self) -> float:
        """0..1; one half is the least that is believed."""
        if not self.moving:
            return 0.0
        shares = (
            self.correlation / MIN_CORRELATION,
            self.significance / self.least_significance,
            _RIVAL_SHARE * self.correlation / max(self.rival, 1e-9),
        )
        return float(np.clip(min(shares) / 2, 0, 1))


@dataclass(frozen=True)
class Curves:
    """Quantities that change from frame to frame: times (N,) float64 seconds; values (N, K) float64."""

    times: Curve
    values: Curve


def match_curves(target: MotionCurve, reference: MotionCurve) -> CurveMatch | None:
    """Return the best lag of two cameras' motions, or None where they are too short to tell.

    Pictures must have the same orientation. Accuracy: a few milliseconds on a shaking hand.
    """
    curves = _resampled(_positions(target), _positions(reference), _SLOW_S)
    if curves is None:
        return None
    moving = min(_std(curve[:, :2]) for curve in curves) > STILL_PER_S
    return _match(*curves, float(target.times[0] - reference.times[0]), moving)


def match_changes(
    target: Curves,
    reference: Curves,
    *,
    still_per_s: float,
    least_significance: float,
    near_s: float | None = None,
) -> CurveMatch | None:
    """Return the best lag of curves whose columns belong together one by one; None where too short to tell.

    still_per_s: root of the summed squares of all columns' changes per second below which nothing moves.
    near_s: only lags within NEAR_S of this one.
    """
    curves = _resampled(target, reference, None)
    if curves is None:
        return None
    moving = min(_std(curve) for curve in curves) > still_per_s
    found = _match(*curves, float(target.times[0] - reference.times[0]), moving, near_s)
    return None if found is None else replace(found, least_significance=least_significance)


def _match(
    one: Curve, other: Curve, start_s: float, moving: bool, near_s: float | None = None
) -> CurveMatch | None:
    """start_s: how much later the first sample of `one` is on its clock than that of `other` on its own."""
    least = int(min(SHARED_S, _SHORT_SHARE * min(len(one), len(other)) / _GRID_HZ) * _GRID_HZ)
    score, lags = _correlation(one, other, least)
    asked = (
        np.full(len(lags), True) if near_s is None else np.abs(lags / _GRID_HZ + start_s - near_s) < NEAR_S
    )
    if not asked.any():
        return None
    peak = int(np.argmax(np.where(asked, score, -2)))
    far = np.abs(lags - lags[peak]) > _APART_S * _GRID_HZ
    a, b = _overlapping(one, other, int(lags[peak]))
    correlation = float(np.clip(score[peak], -0.999, 0.999))
    independent = _independent_samples(a, b)
    return CurveMatch(
        offset_s=float((lags[peak] + _peak_offset(score, peak)) / _GRID_HZ + start_s),
        correlation=correlation,
        significance=float(np.arctanh(correlation) * np.sqrt(max(independent - 3, 0.1))),
        rival=float(score[far].max()) if far.any() else 0.0,
        moving=moving,
    )


def _resampled(target: Curves, reference: Curves, slow_s: float | None) -> tuple[Curve, Curve] | None:
    """Both on one grid, smoothed over the slower one's frame interval; None if one is too short."""
    if min(len(curves.times) for curves in (target, reference)) < 3:
        return None
    slower = max(float(np.median(np.diff(curves.times))) for curves in (target, reference))
    if min(float(np.ptp(curves.times)) for curves in (target, reference)) < slower + _MIN_S:
        return None
    return _resample(target, slower, slow_s), _resample(reference, slower, slow_s)


def _positions(curve: MotionCurve) -> Curves:
    if not len(curve.steps):
        return Curves(curve.times, np.zeros((len(curve.times), 3)))
    columns = curve.steps[:, :3] * np.array([1, 1, _ROLL_WEIGHT])
    return Curves(curve.times, np.concatenate([np.zeros((1, 3)), np.cumsum(columns, axis=0)]))


def _resample(curves: Curves, smooth_s: float, slow_s: float | None) -> Curve:
    """Return changes per second on the common grid, (N, K), smoothed over `smooth_s`.

    Values are interpolated and differenced over `smooth_s`: exact for any frame times. What changes more
    slowly than `slow_s` is taken out, if given.
    """
    times = curves.times
    grid = np.arange(times[0] + smooth_s / 2, times[-1] - smooth_s / 2, 1 / _GRID_HZ)
    quick = np.stack(
        [
            (np.interp(grid + smooth_s / 2, times, p) - np.interp(grid - smooth_s / 2, times, p)) / smooth_s
            for p in curves.values.T
        ],
        axis=1,
    )
    if slow_s is not None:
        window = int(min(slow_s, len(grid) / _GRID_HZ / 2) * _GRID_HZ) | 1
        kernel = np.hanning(window + 2)[1:-1]
        norm = np.convolve(np.ones(len(grid)), kernel, "same")
        quick = quick - np.stack([np.convolve(v, kernel, "same") / norm for v in quick.T], axis=1)
    # A cut or a jolt must not be all that counts.
    size = np.linalg.norm(quick, axis=1)
    limit = 4 * float(np.median(size)) + 1e-9
    return np.asarray(quick * np.minimum(1, limit / np.maximum(size, 1e-12))[:, None])


def _correlation(one: Curve, other: Curve, least: int) -> tuple[Curve, NDArray[np.int_]]:
    """Return the normalised correlation at each lag with `least` samples of overlap, and the lags."""
    size = 1 << (len(one) + len(other) - 1).bit_length()

    def cross(a: Curve, b: Curve) -> Curve:
        return np.asarray(np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size))

    lags = np.arange(size)
    lags[lags >= len(one)] -= size
    match = sum((cross(one[:, c], other[:, c]) for c in range(one.shape[1])), start=np.zeros(size))
    energy_one = cross(np.sum(one**2, axis=1), np.ones(len(other)))
    energy_other = cross(np.ones(len(one)), np.sum(other**2, axis=1))
    shared = np.minimum(len(one) - lags, len(other)) - np.maximum(0, -lags)
    usable = shared >= max(least, 1)
    order = np.flatnonzero(usable)[np.argsort(lags[usable])]
    energy = np.sqrt(np.maximum(energy_one * energy_other, 0))[order]
    floor = 1e-3 * float(energy.max()) + 1e-12
    return np.asarray(match[order] / np.maximum(energy, floor)), lags[order]


def _overlapping(one: Curve, other: Curve, lag: int) -> tuple[Curve, Curve]:
    start, stop = max(0, lag), min(len(one), len(other) + lag)
    return one[start:stop], other[start - lag : stop - lag]


def _independent_samples(one: Curve, other: Curve) -> float:
    """Return how many independent samples two correlated curves amount to (Bartlett's formula)."""
    total = 0.0
    for a, b in zip(one.T, other.T, strict=True):
        size = 1 << (2 * len(a)).bit_length()
        ra, rb = (np.fft.irfft(np.abs(np.fft.rfft(v, size)) ** 2, size)[: len(v)] for v in (a, b))
        if ra[0] <= 0 or rb[0] <= 0:
            continue
        share = np.sqrt(ra[0] * rb[0]) / np.sqrt(np.sum(one**2) * np.sum(other**2))
        overlap = 1 + 2 * float(np.sum((ra / ra[0])[1:] * (rb / rb[0])[1:]))
        total += share * len(a) / max(overlap, 1.0)
    return total


def _peak_offset(score: Curve, peak: int) -> float:
    if peak in (0, len(score) - 1):
        return 0.0
    before, at, after = score[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _std(quick: Curve) -> float:
    return float(np.sqrt(np.mean(np.sum(quick**2, axis=1))))
