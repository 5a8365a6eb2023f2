"""Time offset between two clips from the correlation of curves over time, such as camera motion.

Both lenses are fixed in one phone. Their pictures therefore shift and roll together, scaled by the
field-of-view ratio. Frame rates may differ and frames may be missing: curves are resampled to a common rate.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.parabola import parabola_peak
from asled_cli.sync.camera_motion import MotionCurve

Curve = NDArray[np.float64]

_GRID_HZ = 240  # common rate of the curves, twice that of the fastest usual clips
_SLOW_S = 1.0  # seconds; slower motion, such as a pan, is removed so that hand shake remains
SHARED_S = 1.5  # seconds; shorter overlaps correlate by chance
_SHORT_SHARE = 0.6  # of a clip shorter than that, which must overlap
_ROLL_WEIGHT = 0.25  # shift per roll: the motion at a quarter of the longer side from the centre
STILL_PER_S = 4e-4  # motion per second, shares of the longer side, that is noise
MIN_CORRELATION = 0.55  # from which a peak is accepted
MIN_SIGNIFICANCE = 4.0  # standard errors of unrelated curves from which a peak is accepted
NEAR_S = 0.05  # seconds around a given offset that are searched
_SECOND_PEAK_S = 0.25  # seconds; a peak farther away than this is another one
_MAX_SECOND_SHARE = 0.9  # of the best peak that another one may reach
_MIN_S = 0.3  # seconds of each clip


@dataclass(frozen=True)
class CurveMatch:
    """The best lag of two curves.

    offset_s: seconds by which the reference clip started after the target clip.
    correlation: at this lag, -1..1. significance: the same in standard errors of unrelated curves.
    second_peak: highest correlation at a lag farther away than _SECOND_PEAK_S.
    moving: whether both curves change. min_significance: from which the match is accepted.
    """

    offset_s: float
    correlation: float
    significance: float
    second_peak: float
    moving: bool
    min_significance: float = MIN_SIGNIFICANCE

    @property
    def confidence(self) -> float:
        """Confidence 0..1; accepted from 0.5."""
        if not self.moving:
            return 0.0
        shares = (
            self.correlation / MIN_CORRELATION,
            self.significance / self.min_significance,
            _MAX_SECOND_SHARE * self.correlation / max(self.second_peak, 1e-9),
        )
        return float(np.clip(min(shares) / 2, 0, 1))


@dataclass(frozen=True)
class Curves:
    """Quantities over time. times: (N,) float64, seconds. values: (N, K) float64."""

    times: Curve
    values: Curve


def match_curves(target: MotionCurve, reference: MotionCurve) -> CurveMatch | None:
    """Return the best lag of two camera motions, None if a clip is too short.

    Pictures must have the same orientation. Accuracy under hand shake: a few milliseconds.
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
    min_significance: float,
    near_s: float | None = None,
) -> CurveMatch | None:
    """Return the best lag of two curves with corresponding columns, None if one is too short.

    still_per_s: root of the summed squares of all changes per second below which nothing moves.
    min_significance: of an accepted match, standard errors. near_s: only lags within NEAR_S of it, seconds.
    """
    curves = _resampled(target, reference, None)
    if curves is None:
        return None
    moving = min(_std(curve) for curve in curves) > still_per_s
    found = _match(*curves, float(target.times[0] - reference.times[0]), moving, near_s)
    return None if found is None else replace(found, min_significance=min_significance)


def _match(
    one: Curve, other: Curve, start_s: float, moving: bool, near_s: float | None = None
) -> CurveMatch | None:
    """Return the best lag of two resampled curves, None if `near_s` excludes all lags.

    start_s: time of the first sample of `one` minus that of `other`, each on its own clock, seconds.
    """
    least = int(min(SHARED_S, _SHORT_SHARE * min(len(one), len(other)) / _GRID_HZ) * _GRID_HZ)
    score, lags = _correlation(one, other, least)
    asked = (
        np.full(len(lags), True) if near_s is None else np.abs(lags / _GRID_HZ + start_s - near_s) < NEAR_S
    )
    if not asked.any():
        return None
    peak = int(np.argmax(np.where(asked, score, -2)))
    far = np.abs(lags - lags[peak]) > _SECOND_PEAK_S * _GRID_HZ
    a, b = _overlapping(one, other, int(lags[peak]))
    correlation = float(np.clip(score[peak], -0.999, 0.999))
    independent = _independent_samples(a, b)
    return CurveMatch(
        offset_s=float((lags[peak] + _peak_offset(score, peak)) / _GRID_HZ + start_s),
        correlation=correlation,
        significance=float(np.arctanh(correlation) * np.sqrt(max(independent - 3, 0.1))),
        second_peak=float(score[far].max()) if far.any() else 0.0,
        moving=moving,
    )


def _resampled(target: Curves, reference: Curves, slow_s: float | None) -> tuple[Curve, Curve] | None:
    """Return both curves at _GRID_HZ, smoothed over the longer frame interval; None if one is too short."""
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
    """Return changes per second at _GRID_HZ, (N, K).

    smooth_s: seconds over which the interpolated values are differenced; exact for any frame times.
    slow_s: seconds; slower changes are removed. None: nothing is removed.
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
    # Limit single jolts and cuts, which would otherwise dominate the correlation.
    size = np.linalg.norm(quick, axis=1)
    limit = 4 * float(np.median(size)) + 1e-9
    return np.asarray(quick * np.minimum(1, limit / np.maximum(size, 1e-12))[:, None])


def _correlation(one: Curve, other: Curve, least: int) -> tuple[Curve, NDArray[np.int_]]:
    """Return the normalised correlation at each lag with at least `least` common samples, and the lags."""
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
    """Return the number of independent samples of two autocorrelated curves (Bartlett's formula)."""
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
    return parabola_peak(*(float(value) for value in score[peak - 1 : peak + 2]))


def _std(quick: Curve) -> float:
    return float(np.sqrt(np.mean(np.sum(quick**2, axis=1))))
