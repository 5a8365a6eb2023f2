"""The analysis pass: a few short runs of paired frames -> one geometry, exposure and colour for the clip.

Coarse place and size by template matching; then, over all frames together, the exposure by the residual and
the map by Gauss-Newton on equally blurred views; at last a smooth parallax field and the colour curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from asled_cli.errors import InputError
from asled_cli.registration.canvas import Canvas
from asled_cli.registration.coarse import locate
from asled_cli.registration.homography import (
    Fit,
    Image,
    Matrix,
    Observation,
    apply,
    pixel_grid,
    refine,
    resize_matrix,
)
from asled_cli.registration.lenses import LensPrior
from asled_cli.registration.parallax import solve_parallax
from asled_cli.registration.reblur import Exposure, Moment, MotionMeter, Reblur, luma, moments
from asled_cli.registration.solution import Knot, Registration
from asled_cli.registration.tone import Tone, fit_tone
from asled_cli.video.frames import FramePair

# Trial exposures in target frame intervals: a shutter of 1/12 of the interval up to a mean of nine frames.
_LENGTHS = (0.08, 0.16, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
_FIRST_EXPOSURES = (
    *(Exposure(length) for length in (0.25, 1.0, 3.0, 7.0)),
    *(Exposure(length, comb=True) for length in (3.0, 5.0, 7.0, 9.0)),
)
_SHIFTS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
# A shift of the exposure, a comb or linear light is believed when it lowers the residual by this share.
_SHIFT_GAIN, _VARIANT_GAIN = 0.03, 0.01
_FIELD_GAIN = 0.01
_MEASURED_FRAMES, _TRIAL_FRAMES = 18, 8
_END_FRAMES = 3
# Later trials stay within this factor of the first choice; a mean of fewer frames than two is no comb.
_NEARBY, _SHORTEST_COMB = 3.0, 2.0
# Below this correlation of equally blurred views, registration has failed.
_TRUST_CORRELATION = 0.6


@dataclass(frozen=True)
class _Measured:
    """One target frame with the run that explains it: reduced colour picture, luma, time in intervals."""

    picture: Image
    grey: Image
    half_grey: Image
    time: float
    fine: Reblur
    half: Reblur


def analyse(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    """Return how the reference maps onto the target over the clip.

    runs: stretches of consecutive pairs, 2 or more frames each; a few dozen pairs in all are plenty, and
    memory grows with their number. Raises InputError where no run has two pairs with a reference.
    """
    usable = [[p for p in run if p.reference is not None] for run in runs]
    usable = [run for run in usable if len(run) >= 2]
    if not usable:
        raise InputError(
            "No two neighbouring frames of the clips show the same moment.",
            "Check that both are from one recording, or pass --offset.",
        )
    first = usable[0][0]
    assert first.reference is not None
    target_size = (first.target.rgb.shape[1], first.target.rgb.shape[0])
    reference_size = (first.reference.rgb.shape[1], first.reference.rgb.shape[0])
    canvas = Canvas(target_size, reference_size, locate(usable, prior))
    interval_s = _frame_interval(usable)
    measured = _spread([m for run in usable for m in _measure(run, canvas, interval_s)], _MEASURED_FRAMES)
    work_map, exposure = _solve(measured, canvas)
    observations = [_observe(m, exposure) for m in measured]
    fit = refine(observations, work_map, 2)
    fit, field = _add_parallax(observations, fit)
    tone, residual, correlation = _match_colours(measured, exposure, fit.matrix, field)
    knot = Knot(float(usable[0][0].target.time), canvas.homography_of(fit.matrix), field, exposure)
    return Registration(
        target_size,
        reference_size,
        interval_s,
        (knot,),
        tone,
        residual,
        correlation,
        trusted=correlation >= _TRUST_CORRELATION,
    )


def _add_parallax(observations: list[Observation], fit: Fit) -> tuple[Fit, Image]:
    """Return the map refined under a parallax field, and the field; zeros where it helps too little."""
    field = solve_parallax(observations, fit.matrix, fit.gain, fit.bias)
    shifted = [replace(o, shift=field) for o in observations]
    refined = refine(shifted, fit.matrix, 1)
    if disagreement(shifted, refined.matrix) < disagreement(observations, fit.matrix) * (1 - _FIELD_GAIN):
        return refined, field
    return fit, np.zeros_like(field)


def _frame_interval(runs: Sequence[Sequence[FramePair]]) -> float:
    steps = [float(b.target.time - a.target.time) for run in runs for a, b in pairwise(run)]
    return max(float(np.median(steps)), 1e-4)


def _measure(run: Sequence[FramePair], canvas: Canvas, interval_s: float) -> list[_Measured]:
    """Return the run's target frames, sharing the motion of its reference frames."""
    start = run[0].target.time
    times: list[float] = []
    images: list[Image] = []
    stamps = []
    for pair in run:
        assert pair.reference is not None
        time = (float(pair.target.time - start) + pair.lag_s) / interval_s
        stamps.append(float(pair.target.time - start) / interval_s)
        if not times or time > times[-1] + 1e-3:
            times.append(time)
            images.append(canvas.place_reference(pair.reference.rgb))
    fine = Reblur(moments(times, images, MotionMeter()))
    half = Reblur([_half(m) for m in fine.frames])
    pictures = [canvas.reduce_target(pair.target.rgb) for pair in run]
    greys = [luma(picture) for picture in pictures]
    measured = [
        _Measured(picture, grey, _shrink(grey, 2), stamp, fine, half)
        for picture, grey, stamp in zip(pictures, greys, stamps, strict=True)
    ]
    # Near a run's ends a long exposure reaches frames that were not read.
    return measured[_END_FRAMES:-_END_FRAMES] if len(measured) > 3 * _END_FRAMES else measured


def _half(moment: Moment) -> Moment:
    """Return the luma of a moment at half its size."""
    paths = tuple((dt, _shrink(flow, 2) / np.float32(2)) for dt, flow in moment.paths)
    return Moment(moment.time, _shrink(luma(moment.image), 2), paths)


def _spread(measured: list[_Measured], count: int) -> list[_Measured]:
    """Return at most `count` of the frames, evenly spread."""
    if len(measured) <= count:
        return measured
    chosen = np.linspace(0, len(measured) - 1, count).round().astype(int)
    return [measured[i] for i in chosen]


def _observe(m: _Measured, exposure: Exposure) -> Observation:
    return Observation(m.grey, luma(m.fine.exposed(m.time, exposure)))


def _solve(measured: list[_Measured], canvas: Canvas) -> tuple[Matrix, Exposure]:
    """Return the map (reduced target -> canvas) and the exposure, alternating between them at half size."""
    some = _spread(measured, _TRIAL_FRAMES)
    half_start = _halving(canvas.canvas_size) @ canvas.onto(canvas.homography)
    half_map, exposure = _first_trials(some, half_start @ np.linalg.inv(_halving(canvas.work_size)))
    for may_shift in (False, True):
        exposure = _choose_exposure(some, half_map, exposure, may_shift=may_shift)
        frames = [Observation(m.half_grey, m.half.exposed(m.time, exposure)) for m in some]
        half_map = refine(frames, half_map, 4).matrix
    back = np.linalg.inv(_halving(canvas.canvas_size)) @ half_map @ _halving(canvas.work_size)
    return np.asarray(back), exposure


def _first_trials(measured: list[_Measured], start: Matrix) -> tuple[Matrix, Exposure]:
    """Return the map and the exposure of the best of a few very different trial exposures."""
    size, canvas_size = measured[0].half_grey.shape[::-1], measured[0].half.frames[0].image.shape[::-1]
    down_t, down_c = _scaling(size, 4), _scaling(canvas_size, 4)
    trials = []
    for exposure in _FIRST_EXPOSURES:
        frames = [Observation(m.half_grey, m.half.exposed(m.time, exposure)) for m in measured]
        small = [Observation(_shrink(f.target, 4), _shrink(f.reference, 4)) for f in frames]
        coarse = refine(small, down_c @ start @ np.linalg.inv(down_t), 6, free=4)
        matrix = np.linalg.inv(down_c) @ coarse.matrix @ down_t
        matrix = refine(frames, matrix, 2, free=4).matrix
        trials.append((disagreement(frames, matrix), exposure, matrix, frames))
    _, exposure, matrix, frames = min(trials, key=lambda trial: trial[0])
    return refine(frames, matrix, 4).matrix, exposure


def _choose_exposure(
    measured: list[_Measured], half_map: Matrix, current: Exposure, *, may_shift: bool
) -> Exposure:
    """Return the exposure with the least residual under a map, its length about that of `current`."""

    def score(exposure: Exposure) -> float:
        frames = [Observation(m.half_grey, m.half.exposed(m.time, exposure)) for m in measured]
        return disagreement(frames, half_map)

    shift = _choose_shift(measured, half_map, current) if may_shift else 0.0
    lengths = [x for x in _LENGTHS if current.length / _NEARBY <= x <= current.length * _NEARBY]
    ladders = [m.half.ladder(m.time + shift, lengths) for m in measured]
    scores = []
    for i in range(len(lengths)):
        frames = [Observation(m.half_grey, ladder[i]) for m, ladder in zip(measured, ladders, strict=True)]
        scores.append(disagreement(frames, half_map))
    plain = Exposure(_vertex(lengths, scores), shift)
    variants = [plain, replace(plain, linear=True)]
    if plain.length > _SHORTEST_COMB:
        odd = 2 * round((plain.length - 1) / 2) + 1
        variants += [Exposure(odd, shift, comb=True), Exposure(odd, shift, comb=True, linear=True)]
    costs = [score(v) for v in variants]
    best = int(np.argmin(costs))
    return variants[best] if costs[best] < costs[0] * (1 - _VARIANT_GAIN) else plain


def _choose_shift(measured: list[_Measured], half_map: Matrix, exposure: Exposure) -> float:
    """Return by how many intervals the exposure's middle is off the timestamp; 0 unless it clearly is.

    Under a steady pan a shift in time looks like a shift in space, so each trial may move the map.
    """
    scores = []
    for shift in _SHIFTS:
        frames = [Observation(m.half_grey, m.half.exposed(m.time + shift, exposure)) for m in measured]
        scores.append(disagreement(frames, refine(frames, half_map, 1, free=2).matrix))
    still = scores[_SHIFTS.index(0.0)]
    return _vertex(_SHIFTS, scores) if min(scores) < still * (1 - _SHIFT_GAIN) else 0.0


def _vertex(positions: Sequence[float], scores: Sequence[float]) -> float:
    """Return where the parabola through the lowest score and its neighbours is lowest."""
    i = int(np.argmin(scores))
    if i in (0, len(scores) - 1):
        return positions[i]
    a, b, _ = np.polyfit(positions[i - 1 : i + 2], scores[i - 1 : i + 2], 2)
    low, high = positions[i - 1], positions[i + 1]
    return float(np.clip(-b / (2 * a), low, high)) if a > 0 else positions[i]


def disagreement(frames: Sequence[Observation], matrix: Matrix) -> float:
    """Return the mean absolute luma difference over all frames after one gain and bias for all, 0..1."""
    warped, targets, masks = [], [], []
    for frame in frames:
        height, width = frame.target.shape
        x, y = pixel_grid((width, height))
        if frame.shift is not None:
            x, y = x + frame.shift[..., 0], y + frame.shift[..., 1]
        u, v = apply(matrix, x, y)
        warped.append(cv2.remap(frame.reference, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        targets.append(frame.target)
        limits = frame.reference.shape
        masks.append((u >= 0) & (v >= 0) & (u <= limits[1] - 1) & (v <= limits[0] - 1))
    x, y, m = np.stack(warped), np.stack(targets), np.stack(masks)
    if not m.any():
        return 1.0
    x, y = x[m], y[m]
    gain = float(np.cov(x[::3], y[::3])[0, 1] / max(float(np.var(x[::3])), 1e-8))
    return float(np.mean(np.abs(y - y.mean() - np.float32(gain) * (x - x.mean()))))


def _match_colours(
    measured: list[_Measured], exposure: Exposure, matrix: Matrix, field: Image
) -> tuple[Tone, float, float]:
    """Return the tone curves, the residual luma difference after them, and the views' correlation."""
    height, width = measured[0].grey.shape
    x, y = pixel_grid((width, height))
    u, v = apply(matrix, x + field[..., 0], y + field[..., 1])
    size = (max(1, width // 2), max(1, height // 2))
    targets, references, weights = [], [], []
    for m in measured:
        view = m.fine.exposed(m.time, exposure)
        warped = cv2.remap(view, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = (u >= 0) & (v >= 0) & (u <= view.shape[1] - 1) & (v <= view.shape[0] - 1)
        targets.append(cv2.resize(m.picture, size, interpolation=cv2.INTER_AREA))
        references.append(cv2.resize(warped, size, interpolation=cv2.INTER_AREA))
        weights.append(cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA))
    tone = fit_tone(targets, references, weights)
    a = np.stack([luma(t) for t in targets])
    b = np.stack([luma(tone(r)) for r in references])
    w = np.stack(weights) > 0.99
    correlation = float(np.corrcoef(a[w], b[w])[0, 1]) if w.any() and a[w].std() > 1e-4 else 0.0
    return tone, float(np.mean(np.abs(a - b)[w])) if w.any() else 1.0, correlation


def _shrink(image: Image, factor: int) -> Image:
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _scaling(size: tuple[int, ...], factor: int) -> Matrix:
    return resize_matrix((size[0], size[1]), (size[0] // factor, size[1] // factor))


def _halving(size: tuple[int, ...]) -> Matrix:
    return _scaling(size, 2)
