"""The analysis pass: from a few short runs of frame pairs to one `Registration` of the clip.

`analyse` reads as the algorithm:

1. Match the target in the reference by template matching, then fit homography and exposure together.
2. Detect OIS. If one lens is stabilised optically, measure the shift of every frame and remove it.
3. Remove slow drift between the views, run by run.
4. Match the reference's colours to the target's.
5. Refine the exposure: linear light or coded values, rolling shutter, length.
6. Fit the final homographies and the parallax field, and decide whether the registration is accepted.

EIS is detected wherever map and exposure are fitted (steps 1 to 3).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from asled_cli.errors import InputError
from asled_cli.imaging.homography import Matrix
from asled_cli.registration.estimate.ambiguity import choose_match
from asled_cli.registration.estimate.baseline import baseline_of_runs, disparity_reach
from asled_cli.registration.estimate.colours import match_colours
from asled_cli.registration.estimate.drift import follow_drift
from asled_cli.registration.estimate.exposure import (
    choose_length,
    choose_light,
    choose_rolling,
    find_exposure,
    relative_length,
)
from asled_cli.registration.estimate.maps import add_parallax, map_of_each_run, simplest_map
from asled_cli.registration.estimate.observations import (
    FrameObservation,
    evenly_spaced,
    frame_interval,
    inner,
    measure_run,
    observe_all,
    recolour,
    with_shakes,
    with_times,
)
from asled_cli.registration.estimate.reference_exposure import find_reference_exposure
from asled_cli.registration.geometry.canvas import Canvas, check_large_enough
from asled_cli.registration.geometry.lenses import LensPrior, RectifiedViews
from asled_cli.registration.geometry.solver import refine
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import Tone
from asled_cli.registration.stabilisation.eis import detect_eis
from asled_cli.registration.stabilisation.ois import detect_ois, rebase_ois_path, solve_ois_path
from asled_cli.registration.stabilisation.ois_tracking import MapFunction, follow_clip
from asled_cli.video.frames import FramePair

Size = tuple[int, int]
Analyse = Callable[[Sequence[Sequence[FramePair]], LensPrior], Registration]

# Frames that the analysis measures: more cost time and memory in proportion.
_MEASURED_FRAMES = 18
# Frames for each trial of an exposure. A trial needs only the rank of its residual.
_TRIAL_FRAMES = 8
# Exposure lengths tried once colours match, as factors of the length found before: coarse, then fine.
_LENGTH_FACTORS = ((0.7, 0.85, 1.0, 1.18, 1.4, 1.65), (0.9, 1.0, 1.1))
# Lowest correlation of the target and the reblurred reference, without coarse shades, of an accepted
# registration.
_MIN_CORRELATION = 0.5
# Upper bounds; the loop ends as soon as no drift is left.
_DRIFT_ROUNDS = 3
# The canvas of the second round moves along the path of the first, so its motion is already small.
_OIS_ROUNDS = 2
# Gauss-Newton steps for the map once each frame has its own kernel.
_EIS_STEPS = 4
# The same under the final exposure.
_FINAL_STEPS = 3


# What the analysis looks for, in order: see `looking_for` of `analyse`.
LOOKED_FOR = ("views", "motion", "exposure", "OIS", "drift", "colours", "exposure time", "final map")


def analyse(
    runs: Sequence[Sequence[FramePair]],
    prior: LensPrior,
    looking_for: Callable[[str], None] = lambda what: None,
) -> Registration:
    """Return the registration of a clip from a few short runs of it.

    runs: each a list of consecutive pairs, 2 or more frames. A few dozen pairs in all are enough; memory
    grows with their number.
    prior: expected field-of-view ratio of the two lenses.
    looking_for: called with each of LOOKED_FOR before it is looked for.
    Raises InputError if no run has two pairs with a reference.
    """
    usable = [[p for p in run if p.reference is not None] for run in runs]
    usable = [run for run in usable if len(run) >= 2]
    if max(map(len, runs), default=0) < 2:
        raise InputError(
            "Fewer than two frames are left: motion cannot be measured in a single frame.",
            "Name a longer part of the recording.",
        )
    if not usable:
        raise InputError(
            "No two neighbouring frames of the clips show the same moment.",
            "Are both from one recording, longer than a frame, and is the offset between them right?",
        )
    steps = (_detect_ois, _remove_drift, _match_colours, _refine_exposure)
    states = [_initial_state(usable, prior, looking_for)]
    for what, step in zip(LOOKED_FOR[3:-1], steps, strict=True):
        looking_for(what)
        states.append(step(states.pop()))  # handed over, not held: a step may free the frames of the last
    looking_for(LOOKED_FOR[-1])
    return _conclude(states.pop(), prior.rectified)


@dataclass(frozen=True)
class _State:
    """What is known about the clip between two steps of the analysis.

    runs: the pairs, all with a reference. interval_s: frame interval of the target in seconds.
    canvases: one per run. by_run: a sample of the frames of each run, measured on its canvas.
    work_map: (3, 3), reduced target pixel -> canvas pixel.
    exposure: how the target's exposure blurs the reference.
    ois_path: shift of every frame under OIS, else None.
    reference_exposure: exposure time of the reference in frame intervals, if it is known already.
    known_length: length of the exposure where the exposure times of both lenses are known.
    tone: colour curves of the reference, once they are known.
    """

    runs: list[list[FramePair]]
    interval_s: float
    canvases: list[Canvas]
    by_run: list[list[FrameObservation]]
    work_map: Matrix
    exposure: Exposure
    ois_path: OisPath | None = None
    reference_exposure: float | None = None
    known_length: float | None = None
    tone: Tone | None = None

    @property
    def frames(self) -> list[FrameObservation]:
        """Return the measured frames of all runs."""
        return [frame for run in self.by_run for frame in run]

    def measured_again(self, canvases: list[Canvas], *, per_run_shift: bool = False) -> "_State":
        """Return the state with frames measured on `canvases`, and map and exposure fitted to them.

        per_run_shift: each run may be shifted by its own amount while the exposure is fitted.
        """
        by_run = _subsample(_measure(self.runs, canvases, self.interval_s, self.ois_path))
        by_run, work_map, exposure = _fit_map_and_exposure(
            by_run, canvases[0], per_run_shift=per_run_shift, known=self.known_length
        )
        return replace(self, canvases=canvases, by_run=by_run, work_map=work_map, exposure=exposure)


def _initial_state(
    runs: list[list[FramePair]], prior: LensPrior, looking_for: Callable[[str], None]
) -> _State:
    """Return the state after template matching and a first fit of map and exposure."""
    first = runs[0][0]
    assert first.reference is not None
    target_size, reference_size = (
        (frame.rgb.shape[1], frame.rgb.shape[0]) for frame in (first.target, first.reference)
    )
    check_large_enough("The target", target_size)
    check_large_enough("The reference", reference_size)
    looking_for(LOOKED_FOR[0])
    canvas = Canvas(target_size, reference_size, choose_match(runs, prior).matrix)
    interval_s = frame_interval(runs)
    canvases = [canvas] * len(runs)
    looking_for(LOOKED_FOR[1])
    by_run = _subsample(_measure(runs, canvases, interval_s))
    looking_for(LOOKED_FOR[2])
    known = reference_exposure = None
    if prior.exposures_s is not None:
        known = relative_length(prior.exposures_s, interval_s)
        reference_exposure = prior.exposures_s[1] / interval_s
    by_run, work_map, exposure = _fit_map_and_exposure(by_run, canvas, known=known)
    return _State(
        runs, interval_s, canvases, by_run, work_map, exposure,
        reference_exposure=reference_exposure, known_length=known,
    )  # fmt: skip


def _detect_ois(state: _State) -> _State:
    """Measure each frame's shift if OIS moves one lens alone, and measure the frames again without it."""
    canvas = state.canvases[0]
    found = detect_ois(state.by_run, canvas.onto(canvas.homography), state.work_map, state.exposure)
    if found is None:
        return state
    reference_exposure = state.reference_exposure
    if reference_exposure is None:
        reference_exposure = find_reference_exposure([run[0].fine.frames for run in state.by_run])
    state = replace(state, work_map=found[0], exposure=found[1], reference_exposure=reference_exposure)
    for _ in range(_OIS_ROUNDS):
        state = replace(state, by_run=[])  # room for the same on a canvas that moves with the target's view
        state = replace(state, ois_path=_solve_ois_path(state, canvas)).measured_again(state.canvases)
    return state


def _solve_ois_path(state: _State, canvas: Canvas) -> OisPath:
    """Return the OIS path that all frames of the runs show."""
    whole = _measure(state.runs, state.canvases, state.interval_s, state.ois_path)
    frames = with_times(state.runs, whole, state.exposure, state.interval_s)
    return solve_ois_path(frames, canvas, state.work_map, state.exposure, state.ois_path)


def _remove_drift(state: _State) -> _State:
    """Give each run its own canvas if the views drift, which would pass for blur and parallax."""
    for _ in range(_DRIFT_ROUNDS):
        drifting = follow_drift(state.by_run, state.canvases, state.work_map, state.exposure)
        if drifting is None:
            break
        state = state.measured_again(drifting, per_run_shift=True)
    return state


def _match_colours(state: _State) -> _State:
    """Match the reference's colours to the target's."""
    still = np.zeros((*state.frames[0].grey.shape, 2), np.float32)
    tone, _, _ = match_colours(state.frames, state.exposure, state.work_map, still)
    return replace(state, tone=tone, by_run=[recolour(run, tone) for run in state.by_run])


def _refine_exposure(state: _State) -> _State:
    """Choose linear light or coded values, the rolling shutter and the exposure's length."""
    by_run, work_map, frames = state.by_run, state.work_map, state.frames
    exposure = choose_light(evenly_spaced(frames, _TRIAL_FRAMES), state.exposure, work_map)
    exposure = choose_rolling(frames, exposure, work_map)
    for factors in _LENGTH_FACTORS if state.known_length is None else ():
        exposure = choose_length(evenly_spaced(frames, _TRIAL_FRAMES), exposure, work_map, factors)
    by_run = [with_shakes(run, exposure, work_map) for run in by_run]
    return replace(state, by_run=by_run, exposure=exposure)


def _conclude(state: _State, rectified: RectifiedViews | None) -> Registration:
    """Fit the final maps and the parallax field, and return the registration.

    The registration is accepted if the target and the reblurred reference correlate well enough.
    """
    assert state.tone is not None
    exposure = state.exposure
    observed = [observe_all(run, exposure) for run in state.by_run]
    pairs = [pair for run in observed for pair in run]
    fit, field = add_parallax(
        pairs, simplest_map(pairs, refine(pairs, state.work_map, _FINAL_STEPS)), rectified
    )
    correction, residual, correlation = match_colours(state.frames, exposure, fit.matrix, field)
    maps = map_of_each_run(observed, fit, field)
    baseline = baseline_of_runs(state.by_run, maps, field, exposure, rectified)
    reference_exposure = state.reference_exposure
    if reference_exposure is None:
        reference_exposure = find_reference_exposure([run[0].fine.frames for run in state.by_run])
    middles = [float(run[len(run) // 2].target.time) for run in state.runs]
    knots = [
        Knot(time, place.homography_of(own), field, exposure)
        for time, place, own in zip(middles, state.canvases, maps, strict=True)
    ]
    path, half = state.ois_path, len(knots) // 2
    return Registration(
        state.canvases[0].target_size,
        state.canvases[0].reference_size,
        state.interval_s,
        tuple(knots),
        state.tone.then(correction),
        residual,
        correlation,
        accepted=correlation >= _MIN_CORRELATION,
        baseline=baseline,
        ois_path=path and rebase_ois_path(path, knots[half], state.canvases[half]),
        reference_exposure=reference_exposure,
        disparity_reach=None if rectified is None else disparity_reach(rectified),
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
    """Return the registration of a clip: `analyse` on some runs and, under OIS, the shift of every frame.

    runs, prior: as for `analyse`.
    pairs: opens all pairs of the clip, at any size. It is called only if OIS was detected.
    sizes: (width, height) of full target and reference frames; None if they equal those in `runs`.
    analyse: the analysis to run. map_function: as `map`, perhaps with several threads.
    on_progress: called with the number of frames whose shift is known.
    Raises InputError as `analyse` does.
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
    """Return all frames of each run, measured on its canvas, which moves along `ois_path`."""
    return [
        measure_run(run, own, interval_s, ois_path, number=i)
        for i, (run, own) in enumerate(zip(runs, canvases, strict=True))
    ]


def _subsample(whole: Sequence[list[FrameObservation]]) -> list[list[FrameObservation]]:
    """Return a sample of each run's inner frames, about _MEASURED_FRAMES in all."""
    share = max(2, _MEASURED_FRAMES // len(whole))
    return [evenly_spaced(inner(run), share) for run in whole]


def _fit_map_and_exposure(
    by_run: list[list[FrameObservation]],
    canvas: Canvas,
    *,
    per_run_shift: bool = False,
    known: float | None = None,
) -> tuple[list[list[FrameObservation]], Matrix, Exposure]:
    """Return the frames, their common map (reduced target -> canvas) and the exposure.

    If EIS is detected, each frame gets a blur kernel of its own and the map is refined under these.
    """
    trials = evenly_spaced([m for run in by_run for m in run], _TRIAL_FRAMES)
    work_map, exposure = find_exposure(trials, canvas, per_run_shift=per_run_shift, known=known)
    eis_exposure = detect_eis(trials, work_map, exposure)
    if eis_exposure is not None:
        exposure = eis_exposure
        by_run = [with_shakes(run, exposure, work_map) for run in by_run]
        work_map = refine(
            observe_all([m for run in by_run for m in run], exposure), work_map, _EIS_STEPS
        ).matrix
    return by_run, work_map, exposure
