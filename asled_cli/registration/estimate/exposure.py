"""The target's exposure and a first map, found together: exposure by search, map by Gauss-Newton.

Trials run at half the reduced size and cost a few milliseconds per frame.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from asled_cli.imaging.homography import Image, Matrix, apply, reducing
from asled_cli.imaging.light import shrink
from asled_cli.imaging.parabola import descend, parabola_minimum
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.estimate.observations import (
    FrameObservation,
    halved_map,
    observe_all,
    observe_halves,
    with_shakes,
)
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair, compared_pixels, refine
from asled_cli.registration.model.exposure import Exposure, MotionBlur
from asled_cli.runtime.stages import map_in_threads

# From so many frames on, every other one tells the best of very different exposures.
_TRIAL_FRAMES = 8
# Trial exposures in target frame intervals, from 1/12 of the interval to a mean of nine frames.
_LENGTHS = (0.08, 0.16, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
# Very different exposures; the best of them gives the first map.
_FIRST_EXPOSURES = (
    *(MotionBlur(length) for length in (0.25, 1.0, 3.0, 7.0)),
    *(MotionBlur(length, discrete_frames=True) for length in (3.0, 5.0, 7.0, 9.0)),
)
# Time shifts of the exposure, in intervals: coarse, then about the best.
_SHIFTS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
_FIRST_SHIFTS = (-0.5, 0.0, 0.5)  # tried first
_FINE_SHIFTS = (-0.1, -0.05, 0.0, 0.05, 0.1)
# A shift is accepted if it lowers the residual by this share; so is a small one, found among the fine ones.
_SHIFT_GAIN = 0.03
_FINE_SHIFT_GAIN = 0.01
# So is a mean of discrete frames, or of linear light.
_VARIANT_GAIN = 0.01
# From this travel (pixels) on, half size is precise enough for the length of an exposure.
_LONG_TRAVEL_PX = 16.0
# Relative rolling shutter of the lenses: delay of the target's last row against its first (intervals).
_ROLLING_SHUTTERS = (-0.3, -0.15, 0.0, 0.15, 0.3, 0.45)
# It is accepted if it lowers the residual by this share.
_ROLLING_GAIN = 0.02
# Later trials stay within this factor of the first length.
_MAX_LENGTH_FACTOR = 3.0
# Shortest exposure (intervals) that may be a mean of discrete frames.
_MIN_DISCRETE_FRAMES = 2.0
# Pixels that both views must show for a residual.
_MIN_PIXELS = 64


def relative_length(exposures_s: tuple[float, float], interval_s: float) -> float:
    """Return the blur length by which a target differs from its reference, intervals; see `total_length`.

    exposures_s: exposure times of both, seconds.
    """
    own, other = exposures_s
    return max(float(np.sqrt(max(own**2 - other**2, 0.0))) / interval_s, _LENGTHS[0])


def find_exposure(
    measured: list[FrameObservation],
    canvas: Canvas,
    *,
    per_run_shift: bool = False,
    known: float | None = None,
) -> tuple[Matrix, Exposure]:
    """Return the map (reduced target -> canvas) and the exposure from a handful of frames.

    per_run_shift: each run may be shifted by its own amount, which would otherwise pass for a time shift.
    known: the length of the exposure, intervals; None: to be found.
    """
    half_start = reducing(canvas.canvas_size, 2) @ canvas.onto(canvas.homography)
    start = half_start @ np.linalg.inv(reducing(canvas.work_size, 2))
    first = _FIRST_EXPOSURES if known is None else (MotionBlur(known), MotionBlur(known, linear=True))
    half_map, exposure = _first_trials(measured, start, first)
    for may_shift in (False, True):
        exposure = choose_exposure(
            measured, half_map, exposure, may_shift=may_shift, per_run_shift=per_run_shift, known=known
        )
        half_map = refine(observe_halves(measured, exposure), half_map, 4).matrix
    back = np.linalg.inv(reducing(canvas.canvas_size, 2)) @ half_map @ reducing(canvas.work_size, 2)
    return np.asarray(back), exposure


def _first_trials(
    measured: list[FrameObservation], start: Matrix, tried: Sequence[MotionBlur]
) -> tuple[Matrix, Exposure]:
    """Return the map and the exposure of the best of a few very different trials."""
    some = measured[::2] if len(measured) >= _TRIAL_FRAMES else measured
    pictures = measured[0].half_grey, measured[0].half.frames[0].image
    down_t, down_c = (reducing((image.shape[1], image.shape[0]), 4) for image in pictures)
    trials = []
    for exposure in tried:
        frames = observe_halves(some, exposure)
        small = [LumaPair(shrink(f.target, 4), shrink(f.reference, 4)) for f in frames]
        coarse = refine(small, down_c @ start @ np.linalg.inv(down_t), 6, free=4)
        matrix = np.linalg.inv(down_c) @ coarse.matrix @ down_t
        matrix = refine(frames, matrix, 2, free=4).matrix
        trials.append((blur_residual(frames, matrix), exposure, matrix))
    _, exposure, matrix = min(trials, key=lambda trial: trial[0])
    return refine(observe_halves(measured, exposure), matrix, 4).matrix, exposure


def choose_exposure(
    measured: list[FrameObservation],
    half_map: Matrix,
    current: Exposure,
    *,
    may_shift: bool,
    per_run_shift: bool = False,
    known: float | None = None,
) -> Exposure:
    """Return the exposure with the lowest residual under a map, of a length near that of `current`.

    may_shift: try time shifts too. per_run_shift, known: as for `find_exposure`.
    """

    def score(exposure: Exposure) -> float:
        return mean_residual(observe_halves(measured, exposure), half_map)

    shift = _choose_shift(measured, half_map, current, per_run_shift=per_run_shift) if may_shift else 0.0
    lengths = (
        [known]
        if known is not None
        else [
            x
            for x in _LENGTHS
            if current.length / _MAX_LENGTH_FACTOR <= x <= current.length * _MAX_LENGTH_FACTOR
        ]
    )
    exposures = map_in_threads(lambda m: m.half.cumulative_exposures(m.time + shift, lengths), measured)
    scores = []
    for i in range(len(lengths)):
        frames = [
            LumaPair(m.half_grey, cumulative_exposures[i])
            for m, cumulative_exposures in zip(measured, exposures, strict=True)
        ]
        scores.append(blur_residual(frames, half_map))
    plain = MotionBlur(parabola_minimum(lengths, scores), shift)
    variants = [plain, replace(plain, linear=True)]
    if known is None and plain.length > _MIN_DISCRETE_FRAMES:
        odd = 2 * round((plain.length - 1) / 2) + 1
        variants += [
            MotionBlur(odd, shift, discrete_frames=True),
            MotionBlur(odd, shift, discrete_frames=True, linear=True),
        ]
    costs = [score(v) for v in variants]
    best = int(np.argmin(costs))
    return variants[best] if costs[best] < costs[0] * (1 - _VARIANT_GAIN) else plain


def choose_light(measured: list[FrameObservation], exposure: Exposure, work_map: Matrix) -> Exposure:
    """Return `exposure` averaged in linear light or in coded values, whichever has the lower residual.

    measured: with the reference in the target's colours. Without that, a difference of gamma between the
    lenses passes for the other kind of average and costs a tenth of a pixel on a pan.
    """
    other = replace(exposure, linear=not exposure.linear)
    costs = []
    for trial in (exposure, other):
        frames = observe_all(measured, trial)
        costs.append(blur_residual(frames, refine(frames, work_map, 1).matrix))
    return other if costs[1] < costs[0] else exposure


def choose_rolling(measured: list[FrameObservation], exposure: Exposure, work_map: Matrix) -> Exposure:
    """Return `exposure` with the relative rolling shutter of the two lenses, if that lowers the residual.

    A wide and an ultra-wide lens show the same point in different rows, which the sensor reads at different
    times. Under hand shake the views are then sheared and scaled against each other, differently in each
    frame.
    """
    half_map = halved_map(work_map, measured[0])

    def score(rolling_shutter: float) -> float:
        frames = observe_halves(measured, replace(exposure, rolling_shutter=rolling_shutter))
        return mean_residual(frames, refine(frames, half_map, 1).matrix)

    at_rest = _ROLLING_SHUTTERS.index(0.0)
    tried, scores = descend(_ROLLING_SHUTTERS, score, at_rest)
    if min(scores) > scores[tried.index(0.0)] * (1 - _ROLLING_GAIN):
        return exposure
    return replace(exposure, rolling_shutter=parabola_minimum(tried, scores))


def choose_length(
    measured: list[FrameObservation], exposure: Exposure, work_map: Matrix, factors: Sequence[float]
) -> Exposure:
    """Return `exposure` with its length refined at the full reduced size.

    measured: with matched colours. factors: of the present length, rising, to try.
    At half size a short blur equals the softness of an enlarged reference. Long exposures stay at half
    size. Each trial fits its own intra-frame shake.
    """
    if not exposure.has_free_length:
        return exposure
    fine = np.median([m.travel(exposure) for m in measured]) < _LONG_TRAVEL_PX
    half_map = halved_map(work_map, measured[0])
    lengths = [exposure.length * factor for factor in factors]

    def score(length: float) -> float:
        trial = replace(exposure, length=length)
        shaken = with_shakes(measured, trial, work_map)
        frames = observe_all(shaken, trial) if fine else observe_halves(shaken, trial)
        return mean_residual(map_in_threads(_softened, frames), work_map if fine else half_map)

    tried, scores = descend(lengths, score, lengths.index(exposure.length))
    return replace(exposure, length=parabola_minimum(tried, scores))


def blur_residual(frames: Sequence[LumaPair], matrix: Matrix) -> float:
    """Return the mean residual without the finest details, by which very different exposures are compared.

    The reference is sampled bicubically. What bilinear sampling takes from it would pass for blur: of a pan
    by 25 px of 1920, exposed for the whole interval, 0.15 was found.
    """
    return mean_residual(map_in_threads(_softened, frames), matrix, cv2.INTER_CUBIC)


def _softened(frame: LumaPair) -> LumaPair:
    return replace(frame, target=_smooth(frame.target), reference=_smooth(frame.reference))


def _smooth(image: Image) -> Image:
    """Return a picture without the finest details, in which noise and sharpening differ from motion blur."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), dtype=np.float32)


def _choose_shift(
    measured: list[FrameObservation], half_map: Matrix, exposure: Exposure, *, per_run_shift: bool
) -> float:
    """Return by how many intervals the exposure's middle is after the timestamp; 0 unless a shift is better.

    Hand shake moves a picture by up to a pixel per millisecond, so small shifts matter. Under a uniform pan a
    shift in time equals a shift in space, so each trial may shift the map, or that of each run.
    """
    groups = _by_run(measured) if per_run_shift else [measured]

    def score(shift: float) -> float:
        total = 0.0
        for group in groups:
            frames = map_in_threads(partial(_shifted, exposure, shift), group)
            total += len(frames) * mean_residual(frames, refine(frames, half_map, 1, free=2).matrix)
        return total / len(measured)

    tried, scores = descend(_SHIFTS, score, *(_SHIFTS.index(shift) for shift in _FIRST_SHIFTS))
    at_rest = scores[tried.index(0.0)]
    coarse = parabola_minimum(tried, scores) if min(scores) < at_rest * (1 - _SHIFT_GAIN) else 0.0
    around = [coarse + step for step in _FINE_SHIFTS]
    fine = parabola_minimum(*descend(around, score, len(around) // 2))
    return fine if coarse or score(fine) < at_rest * (1 - _FINE_SHIFT_GAIN) else 0.0


def _shifted(exposure: Exposure, shift: float, m: FrameObservation) -> LumaPair:
    return LumaPair(m.half_grey, m.half.exposed(m.time + shift, exposure))


def _by_run(measured: Sequence[FrameObservation]) -> list[list[FrameObservation]]:
    groups: dict[int, list[FrameObservation]] = {}
    for m in measured:
        groups.setdefault(m.run, []).append(m)
    return list(groups.values())


def mean_residual(frames: Sequence[LumaPair], matrix: Matrix, interpolation: int = cv2.INTER_LINEAR) -> float:
    """Return the mean absolute luma difference 0..1 over all frames, after one gain and bias for all.

    matrix: (3, 3), target pixel -> reference pixel. interpolation: OpenCV's, of the reference. Returns 1 if
    the views hardly overlap.
    """
    seen = map_in_threads(partial(_seen_pixels, matrix, interpolation), frames)
    count = sum(len(x) for x, _ in seen)
    if count < _MIN_PIXELS:
        return 1.0
    sums = np.array([_sums_of(*pixels) for pixels in seen]).sum(axis=0)
    some, x_sum, y_sum, xx, xy = sums[:5].tolist()
    gain = (xy - x_sum * y_sum / some) / max(xx - x_sum * x_sum / some, 1e-8 * some)
    bias = (sums[6] - gain * sums[5]) / count
    left = map_in_threads(partial(_sum_of_differences, gain, float(bias)), seen)
    return float(sum(left) / count)


def _seen_pixels(matrix: Matrix, interpolation: int, frame: LumaPair) -> tuple[Image, Image]:
    """Return (N,): the warped reference and the target, where the reference shows the pixels compared."""
    rows, columns = compared_pixels((frame.target.shape[1], frame.target.shape[0]))
    target = frame.target[rows, columns]
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    if frame.shift is not None:
        x, y = x + frame.shift[rows, columns, 0], y + frame.shift[rows, columns, 1]
    u, v = apply(matrix, x, y)
    warped, seen = sample(frame.reference, u, v, interpolation), within(frame.reference, u, v)
    if seen.all():
        return warped.ravel(), target.ravel()
    return warped[seen], target[seen]


def _sums_of(x: Image, y: Image) -> list[float]:
    """Return the number, x, y, x x and x y of every third pixel, and x and y of all, summed."""
    a, b = x[::3].astype(np.float64), y[::3].astype(np.float64)
    whole = (float(np.sum(values, dtype=np.float64)) for values in (x, y))
    return [float(len(a)), float(a.sum()), float(b.sum()), float(a @ a), float(a @ b), *whole]


def _sum_of_differences(gain: float, bias: float, pixels: tuple[Image, Image]) -> float:
    """Return the sum of absolute differences of target and reference under a gain and a bias."""
    x, y = pixels
    return float(np.abs(y - np.float32(gain) * x - np.float32(bias)).sum(dtype=np.float64))
