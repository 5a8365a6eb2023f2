"""The analysis pass: a few short runs of paired frames -> one geometry, exposure and colour for the clip.

Coarse place and size by template matching; the exposure and a map together; the map again at full reduced
size over all frames; a smooth parallax field; slow drift from run to run; the colour curves; along which
line the lenses lie apart, if things close by show it; and how long the reference's own shutter was open.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import pairwise

import numpy as np

from asled_cli.errors import InputError
from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, simplified
from asled_cli.imaging.light import luma, shrink, without_shades
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.estimate.ambiguity import choose_match
from asled_cli.registration.estimate.disparity import Direction, HalfViews, find_baseline
from asled_cli.registration.estimate.drift import follow_drift
from asled_cli.registration.estimate.exposure import (
    choose_length,
    choose_light,
    choose_rolling,
    find_exposure,
    mean_residual,
)
from asled_cli.registration.estimate.observations import (
    FrameObservation,
    evenly_spaced,
    inner,
    measure_run,
    recolour,
)
from asled_cli.registration.estimate.parallax import solve_parallax
from asled_cli.registration.estimate.reference_exposure import find_reference_exposure
from asled_cli.registration.geometry.canvas import Canvas, check_large_enough
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.geometry.solver import Fit, LumaPair, refine
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import Tone, fit_tone
from asled_cli.registration.stabilisation.eis import detect_eis
from asled_cli.registration.stabilisation.ois import detect_ois, solve_ois_path
from asled_cli.registration.stabilisation.ois_tracking import MapFunction, follow_clip
from asled_cli.video.frames import FramePair

Size = tuple[int, int]
Analyse = Callable[[Sequence[Sequence[FramePair]], LensPrior], Registration]

_MEASURED_FRAMES, _TRIAL_FRAMES, _BASELINE_FRAMES = 18, 8, 5
# Lengths tried once colours are known, as shares of the one found before; then about the best of them.
_LENGTH_FACTORS = ((0.7, 0.85, 1.0, 1.18, 1.4, 1.65), (0.9, 1.0, 1.1))
# A parallax field, and a map of a run's own, are believed when they lower the residual by this share; shear
# and keystone too (half a pixel of keystone lowered it by 1.6 % or more, none at all by 0.2 % or less).
_FIELD_GAIN, _DRIFT_GAIN, _MAP_GAIN = 0.02, 0.03, 0.005
# Below this correlation of equally blurred views, without their coarsest shades, registration has failed.
_TRUST_CORRELATION = 0.5
_TRUST_SHARE = 0.05  # of the target that the reference must show for that, or a few pixels would decide
_SHADE_SHARE = 1 / 40
_DRIFT_ROUNDS, _SWAY_ROUNDS, _STEADIED_STEPS = 3, 2, 4


def analyse(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    """Return how the reference maps onto the target over the clip.

    runs: stretches of consecutive pairs, 2 or more frames each; a few dozen pairs in all are plenty, and
    memory grows with their number. Raises InputError where no run has two pairs with a reference.
    """
    usable = [[p for p in run if p.reference is not None] for run in runs]
    usable = [run for run in usable if len(run) >= 2]
    if max(map(len, runs), default=0) < 2:
        raise InputError(
            "Less than two frames are left to look at: how things move cannot be seen in a single frame.",
            "Name a longer part of the recording.",
        )
    if not usable:
        raise InputError(
            "No two neighbouring frames of the clips show the same moment.",
            "Are both from one recording, longer than a frame, and is the offset between them right?",
        )
    first = usable[0][0]
    assert first.reference is not None
    target_size = (first.target.rgb.shape[1], first.target.rgb.shape[0])
    reference_size = (first.reference.rgb.shape[1], first.reference.rgb.shape[0])
    check_large_enough("The target", target_size)
    check_large_enough("The reference", reference_size)
    canvas = Canvas(target_size, reference_size, choose_match(usable, prior).matrix)
    interval_s = _frame_interval(usable)
    canvases = [canvas] * len(usable)
    by_run = _subsample(_measure(usable, canvases, interval_s))
    by_run, work_map, exposure = _fit_map_and_exposure(by_run, canvas)
    ois_path: OisPath | None = None
    reference_exposure: float | None = None
    with_ois = detect_ois(by_run, canvas.onto(canvas.homography), work_map, exposure)
    if with_ois is not None:
        reference_exposure = find_reference_exposure([run[0].fine.frames for run in by_run])
        work_map, exposure = with_ois
        for _ in range(_SWAY_ROUNDS):
            del by_run  # room for the same on a canvas that moves with the target's view
            whole = _measure(usable, canvases, interval_s, ois_path)
            ois_path = solve_ois_path(
                _with_times(usable, whole, exposure, interval_s), canvas, work_map, exposure, ois_path
            )
            del whole
            by_run = _subsample(_measure(usable, canvases, interval_s, ois_path))
            by_run, work_map, exposure = _fit_map_and_exposure(by_run, canvas)
    for _ in range(_DRIFT_ROUNDS):
        drifting = follow_drift(by_run, canvases, work_map, exposure)
        if drifting is None:
            break
        canvases = drifting  # measured again with the drift taken out, which passed for blur and parallax
        by_run = _subsample(_measure(usable, canvases, interval_s, ois_path))
        by_run, work_map, exposure = _fit_map_and_exposure(by_run, canvases[0], apart=True)
    measured = [m for run in by_run for m in run]
    still = np.zeros((*measured[0].grey.shape, 2), np.float32)
    tone, _, _ = _match_colours(measured, exposure, work_map, still)
    by_run = [recolour(run, tone) for run in by_run]
    measured = [m for run in by_run for m in run]
    exposure = choose_light(evenly_spaced(measured, _TRIAL_FRAMES), exposure, work_map)
    exposure = choose_rolling(measured, exposure, work_map)
    for factors in _LENGTH_FACTORS:
        exposure = choose_length(evenly_spaced(measured, _TRIAL_FRAMES), exposure, work_map, factors)
        by_run = [[m.with_intra_frame_shake(exposure, work_map) for m in run] for run in by_run]
        measured = [m for run in by_run for m in run]
        work_map = refine([m.observe(exposure) for m in measured], work_map, 1).matrix
    observed = [[m.observe(exposure) for m in run] for run in by_run]
    observations = [frame for run in observed for frame in run]
    fit, field = _add_parallax(observations, _simplest(observations, refine(observations, work_map, 2)))
    correction, residual, correlation = _match_colours(measured, exposure, fit.matrix, field)
    tone = tone.then(correction)
    middles = [float(run[len(run) // 2].target.time) for run in usable]
    maps = _drift(observed, fit, field)
    baseline = _find_baseline(by_run, maps, field, exposure)
    if reference_exposure is None:
        reference_exposure = find_reference_exposure([run[0].fine.frames for run in by_run])
    knots = [
        Knot(time, place.homography_of(own), field, exposure)
        for time, place, own in zip(middles, canvases, maps, strict=True)
    ]
    return Registration(
        target_size,
        reference_size,
        interval_s,
        tuple(knots),
        tone,
        residual,
        correlation,
        trusted=correlation >= _TRUST_CORRELATION,
        baseline=baseline,
        ois_path=ois_path and _rebase_ois_path(ois_path, knots[len(knots) // 2], canvases[len(knots) // 2]),
        reference_exposure=reference_exposure,
    )


def register_clip(
    runs: Sequence[Sequence[FramePair]],
    pairs: Callable[[], AbstractContextManager[Iterable[FramePair]]],
    prior: LensPrior,
    *,
    sizes: tuple[Size, Size] | None = None,
    analyse: Analyse = analyse,
    map_function: MapFunction = map,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Registration:
    """Return the registration of a clip: what runs of it show and, under OIS, each frame's own shift.

    pairs: opens the whole clip, at any size; called only where each frame must be looked at. sizes: (width,
    height) of full target and reference frames; None: as in `runs`. Raises InputError as `analyse`.
    """
    found = analyse(runs, prior)
    if sizes is not None:
        found = found.resized(*sizes)
    if found.ois_path is None:
        return found
    with pairs() as frames:
        return follow_clip(frames, found, map_function, on_progress)


def _measure(
    runs: Sequence[Sequence[FramePair]],
    canvases: Sequence[Canvas],
    interval_s: float,
    ois_path: OisPath | None = None,
) -> list[list[FrameObservation]]:
    """Return all frames of each run on its canvas, which moves by `ois_path`."""
    return [measure_run(run, own, interval_s, ois_path) for run, own in zip(runs, canvases, strict=True)]


def _subsample(whole: Sequence[list[FrameObservation]]) -> list[list[FrameObservation]]:
    """Return some frames of each run: about as many in all of few runs as of many."""
    share = max(2, _MEASURED_FRAMES // len(whole))
    return [evenly_spaced(inner(run), share) for run in whole]


def _fit_map_and_exposure(
    by_run: list[list[FrameObservation]], canvas: Canvas, *, apart: bool = False
) -> tuple[list[list[FrameObservation]], Matrix, Exposure]:
    """Return the frames, their common map, and the exposure; of a steadied clip each with its own blur."""
    trials = evenly_spaced([m for run in by_run for m in run], _TRIAL_FRAMES)
    work_map, exposure = find_exposure(trials, canvas, apart=apart)
    steadied = detect_eis(trials, work_map, exposure)
    if steadied is not None:
        exposure = steadied
        by_run = [[m.with_intra_frame_shake(exposure, work_map) for m in run] for run in by_run]
        observations = [m.observe(exposure) for run in by_run for m in run]
        work_map = refine(observations, work_map, _STEADIED_STEPS).matrix
    return by_run, work_map, exposure


def _with_times(
    runs: Sequence[Sequence[FramePair]],
    whole: Sequence[Sequence[FrameObservation]],
    exposure: Exposure,
    interval_s: float,
) -> list[tuple[float, FrameObservation]]:
    """Return all frames with the time of the middle of each one's exposure, seconds on the target's clock."""
    starts = [float(run[0].target.time) for run in runs]
    return [
        (start + (m.time + exposure.shift) * interval_s, m)
        for start, run in zip(starts, whole, strict=True)
        for m in run
    ]


def _simplest(observations: list[LumaPair], homography: Fit) -> Fit:
    """Return the similarity, else the affine map, that fits about as well as a homography, else that.

    Shear and keystone that the pictures do not ask for are read from errors of blur and motion where there is
    texture, and grow to pixels where there is none, such as in a sky.
    """
    height, width = observations[0].target.shape
    bound = mean_residual(observations, homography.matrix) * (1 + _MAP_GAIN)
    for free in (4, 6):
        fit = refine(observations, simplified(homography.matrix, (width, height), free), 3, free=free)
        if mean_residual(observations, fit.matrix) <= bound:
            return fit
    return homography


def _drift(observed: list[list[LumaPair]], fit: Fit, field: Image) -> list[Matrix]:
    """Return one map per run: the clip's, or the run's own where that fits its frames clearly better.

    Stabilisation, focus and temperature move the lenses' pictures slowly against each other.
    """
    if len(observed) == 1:
        return [fit.matrix]
    maps = []
    for run in observed:
        frames = [replace(frame, shift=field) for frame in run]
        own = refine(frames, fit.matrix, 2, free=fit.free).matrix
        better = mean_residual(frames, own) < mean_residual(frames, fit.matrix) * (1 - _DRIFT_GAIN)
        maps.append(own if better else fit.matrix)
    return maps


def _rebase_ois_path(ois_path: OisPath, knot: Knot, canvas: Canvas) -> OisPath:
    """Return the sway before a knot's map, which turns and scales what was found before that of `canvas`."""
    matrix = np.linalg.inv(canvas.homography) @ knot.homography
    exposure = knot.exposure if knot.exposure.steadied else ois_path.exposure
    exposure = replace(exposure, rolling_shutter=knot.exposure.rolling_shutter)
    return replace(ois_path.scaled(np.linalg.inv((matrix / matrix[2, 2])[:2, :2])), exposure=exposure)


def _add_parallax(observations: list[LumaPair], fit: Fit) -> tuple[Fit, Image]:
    """Return the map refined under a parallax field, and the field; zeros where it helps too little."""
    field = solve_parallax(observations, fit.matrix, fit.gain, fit.bias)
    shifted = [replace(o, shift=field) for o in observations]
    refined = refine(shifted, fit.matrix, 1, free=fit.free)
    if mean_residual(shifted, refined.matrix) < mean_residual(observations, fit.matrix) * (1 - _FIELD_GAIN):
        return refined, field
    return fit, np.zeros_like(field)


def _find_baseline(
    by_run: list[list[FrameObservation]], maps: list[Matrix], field: Image, exposure: Exposure
) -> Direction | None:
    """Return the direction in which close things lie aside, from some frames of each run under its map."""
    height, width = by_run[0][0].grey.shape
    x, y = pixel_grid((width, height))
    views = []
    for run, matrix in zip(by_run, maps, strict=True):
        u, v = apply(matrix, x + field[..., 0], y + field[..., 1])
        for m in evenly_spaced(run, max(1, _BASELINE_FRAMES // len(by_run))):
            sharp = m.fine.instant(m.time + exposure.shift, rolling_shutter=exposure.rolling_shutter)
            views.append(HalfViews.of(m.picture, m.exposed(exposure), sharp, u, v))
    return find_baseline(views)


def _frame_interval(runs: Sequence[Sequence[FramePair]]) -> float:
    steps = [float(b.target.time - a.target.time) for run in runs for a, b in pairwise(run)]
    return max(float(np.median(steps)), 1e-4)


def _match_colours(
    measured: list[FrameObservation], exposure: Exposure, matrix: Matrix, field: Image
) -> tuple[Tone, float, float]:
    """Return the tone curves, the residual luma difference after them, and the views' correlation."""
    height, width = measured[0].grey.shape
    x, y = pixel_grid((width, height))
    u, v = apply(matrix, x + field[..., 0], y + field[..., 1])
    targets, references, weights = [], [], []
    for m in measured:
        view = m.exposed(exposure)
        warped = sample(view, u, v)
        inside = within(view, u, v)
        targets.append(shrink(m.picture, 2))
        references.append(shrink(warped, 2))
        weights.append(shrink(inside.astype(np.float32), 2))
    tone = fit_tone(targets, references, weights)
    a = np.stack([luma(t) for t in targets])
    b = np.stack([luma(tone(r)) for r in references])
    w = np.stack(weights) > 0.99
    if w.mean() < _TRUST_SHARE:
        return tone, 1.0, 0.0
    details = np.corrcoef(_details(a)[w], _details(b)[w]) if a[w].std() > 1e-4 else np.zeros((2, 2))
    return tone, float(np.mean(np.abs(a - b)[w])), float(details[0, 1])


def _details(pictures: Image) -> Image:
    """Return (T, h, w) luma less its coarse shades, in which any two scenes may agree."""
    sigma = max(pictures.shape[1:]) * _SHADE_SHARE
    return np.stack([without_shades(p, sigma) for p in pictures])
