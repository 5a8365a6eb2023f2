"""The exposure of a clip, measured on a few stretches of it: first by spectra, then by inversion itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.align_neighbours import align_alike, find_map
from asled_cli.deconvolution.blended.blend_count import find_blend
from asled_cli.deconvolution.camera_path import CameraPath, chain, fit_path
from asled_cli.deconvolution.confidence import PATH_EXPLAINS, explained, free_share
from asled_cli.deconvolution.exposure import LONGEST, ExposureFit, find_exposure
from asled_cli.deconvolution.free.free_views import free_views
from asled_cli.deconvolution.light import work_luma
from asled_cli.deconvolution.scene.evidence import coded_luma, scene_exposure, split_scenes
from asled_cli.deconvolution.views import Planes, blur_length, views
from asled_cli.deconvolution.wiener import invert, tile_side
from asled_cli.imaging.homography import Image, Matrix
from asled_cli.runtime.stages import map_in_threads

T = TypeVar("T")
_CAMERA = 11  # frames of a stretch
_RADIUS = 2
_FACTORS = (0.8, 0.9, 1.0, 1.12, 1.25)
# The search is repeated while the best trial is the first or the last one: coding noise can halve the start.
_MAX_ROUNDS = 6
_MAX_TARGETS = 4
_SHORTEST = 5  # frames
_MAX_ALONE, _EVERY = 6, 2  # frames that are asked for blurs of their own, and from one to the next at least
NOMINAL = 0.8  # exposure that stands for an unknown one; blurs of their own do not depend on it
# Share that such blurs must explain of one of the frames. Five stabilised clips: 0.73 to 0.9.
_ACCEPTED_ALONE = 0.6


@dataclass(frozen=True)
class Run:
    """Consecutive frames of one scene, (H, W) float32 linear luma, and the maps from each to the next."""

    frames: Sequence[Image]
    maps: Sequence[Matrix]


def clip_exposure(stretches: Iterable[Sequence[NDArray[np.uint16]]]) -> ExposureFit:
    """Return the exposure of a clip in frame intervals, and how well inversion with it explains its frames.

    stretches: consecutive frames each, (H, W, 3) coded RGB 0..65535; fourteen say most. An exposure of
    0.0: nothing that inversion could undo, or frames that do not tell.
    """
    held = [[(work_luma(f), coded_luma(f)) for f in frames] for frames in stretches]
    runs = [run for frames in held for run in split_at_cuts([light for light, _ in _middle(frames)])]
    found = _exposure_of_path(runs)
    if found.exposure > 0:
        return found
    alone = _best_without_path(runs)
    if alone >= _ACCEPTED_ALONE:
        return ExposureFit(NOMINAL, alone, along_path=False)
    scenes = split_scenes([coded for _, coded in frames] for frames in held)
    blend = find_blend(scenes)
    if blend.exposure > 0:
        return blend
    of_scene = scene_exposure([_middle(frames) for frames in scenes])
    return of_scene if of_scene.exposure > 0 else found


def _middle(frames: Sequence[T]) -> Sequence[T]:
    """Return the frames in the middle of a stretch: a camera's motion needs fewer than blended frames."""
    first = max(0, len(frames) - _CAMERA + 1) // 2
    return frames[first : first + _CAMERA]


def _exposure_of_path(runs: Sequence[Run]) -> ExposureFit:
    """Return the exposure over which the camera's path explains the blur; 0.0 if there is none."""
    found = find_exposure([(run.frames, run.maps) for run in runs])
    for number in range(_MAX_ROUNDS):
        start = found.exposure
        if start == 0:
            return found
        runs = [Run(run.frames, align_alike(run.frames, run.maps, start)) for run in runs]
        found = refine_by_inversion(runs, start)
        if number > 0 and start * _FACTORS[0] < found.exposure < start * _FACTORS[-1]:
            break
    accepted = (
        found.explained >= PATH_EXPLAINS and found.exposure <= LONGEST
    )  # longer ones predict each other under a wrong path too
    return found if accepted else ExposureFit(0.0, found.explained)


def _best_without_path(runs: Sequence[Run]) -> float:
    """Return the largest share that blurs found without the path explain of one of a few frames."""
    targets = [(run, t) for run in runs for t in range(_RADIUS, len(run.frames) - _RADIUS, _EVERY)]
    best = 0.0
    for run, t in targets[:: -(-len(targets) // _MAX_ALONE)] if targets else []:
        path, near = _around(run, t, NOMINAL)
        free = free_views(views(near, t, path, NOMINAL), list(near), _RADIUS, path, NOMINAL)
        side = tile_side(max(free.lengths))
        if side is not None:
            inversion = invert(free.views, _RADIUS, side=side)
            if free_share(inversion, free.lengths[_RADIUS], free.middle_px) > 0:
                best = max(best, explained(inversion))
    return best


def split_at_cuts(frames: Sequence[Image]) -> list[Run]:
    """Return the scenes among consecutive frames that are long enough to be inverted."""
    runs, first = [], 0
    maps: list[Matrix] = []
    steps = map_in_threads(lambda pair: find_map(*pair), list(pairwise(frames)))
    for k, found in enumerate([*steps, None], start=1):
        if found is not None:
            maps.append(found)
            continue
        if k - first >= _SHORTEST:
            runs.append(Run(frames[first:k], maps))
        first, maps = k, []
    return runs


def refine_by_inversion(runs: Sequence[Run], exposure: float) -> ExposureFit:
    """Return the exposure near `exposure` under which other frames predict each target frame best."""
    trials = [exposure * factor for factor in _FACTORS]
    targets = _targets(runs, exposure)
    if not targets:
        return ExposureFit(0.0, 0.0)
    explained = np.array([_explained(runs, targets, trial) for trial in trials])
    best = int(np.argmax(explained))
    if 0 < best < len(trials) - 1:
        a, b, _ = np.polyfit(trials[best - 1 : best + 2], explained[best - 1 : best + 2], 2)
        return ExposureFit(float(-b / (2 * a)), float(explained[best]))
    return ExposureFit(trials[best], float(explained[best]))


def _targets(runs: Sequence[Run], exposure: float) -> list[tuple[int, int]]:
    """Return (run, frame) of the frames that are blurred most, away from the ends."""
    found = []
    for number, run in enumerate(runs):
        size = run.frames[0].shape[1], run.frames[0].shape[0]
        for t in range(_RADIUS, len(run.frames) - _RADIUS):
            path = fit_path(chain(run.maps, t), 0, t, exposure, size)
            found.append((blur_length(path, t, exposure), (number, t)))
    longest = sorted(found, key=lambda item: -item[0])[: 2 * _MAX_TARGETS : 2]
    return [target for _, target in longest]


def _explained(runs: Sequence[Run], targets: Sequence[tuple[int, int]], exposure: float) -> float:
    def residuals(target: tuple[int, int]) -> tuple[float, float]:
        number, t = target
        path, near = _around(runs[number], t, exposure)
        inversion = invert(views(near, t, path, exposure), _RADIUS)
        return float(np.square(inversion.residual).mean()), float(np.square(inversion.plain).mean())

    left, plain = np.sum(map_in_threads(residuals, targets), axis=0).tolist()
    return float(1 - left / max(plain, 1e-12))


def _around(run: Run, t: int, exposure: float) -> tuple[CameraPath, dict[int, Planes]]:
    """Return the camera's path around frame `t` of a run, and the frames that explain it."""
    low, high = max(0, t - _RADIUS - 3), min(len(run.frames), t + _RADIUS + 4)
    size = run.frames[0].shape[1], run.frames[0].shape[0]
    path = fit_path(chain(run.maps[low : high - 1], t - low), low, t, exposure, size)
    return path, {k: Planes(run.frames[k]) for k in range(t - _RADIUS, t + _RADIUS + 1)}
