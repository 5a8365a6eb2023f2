"""The exposure of a clip, measured on a few stretches of it: first by spectra, then by inversion itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.align_neighbours import align_alike
from asled_cli.deconvolution.camera_path import chain, fit_path
from asled_cli.deconvolution.exposure import ExposureFit, find_exposure
from asled_cli.deconvolution.single_lens import find_map, work_luma
from asled_cli.deconvolution.views import Planes, blur_length, views
from asled_cli.deconvolution.wiener import invert
from asled_cli.imaging.homography import Image, Matrix

_RADIUS = 2
_FACTORS = (0.8, 0.9, 1.0, 1.12, 1.25)
_MAX_TARGETS = 4
_SHORTEST = 5  # frames
# Share of the plain difference that inversion must explain. Planes under shake reach 0.46 to 0.86, the
# poorest that gained 0.12 (0.6 dB); videos whose motion is no homography 0.005 and 0.09, and lost up to
# 0.43 dB.
_BELIEVED = 0.11


@dataclass(frozen=True)
class Run:
    """Consecutive frames of one scene, (H, W) float32 linear luma, and the maps from each to the next."""

    frames: Sequence[Image]
    maps: Sequence[Matrix]


def clip_exposure(stretches: Iterable[Sequence[NDArray[np.uint16]]]) -> ExposureFit:
    """Return the exposure of a clip in frame intervals, and how well inversion with it explains its frames.

    stretches: consecutive frames each, (H, W, 3) coded RGB 0..65535; nine or more say most. An exposure of
    0.0: nothing that inversion could undo, or frames that do not tell.
    """
    runs = [run for frames in stretches for run in split_at_cuts([work_luma(f) for f in frames])]
    found = find_exposure([(run.frames, run.maps) for run in runs])
    if found.exposure == 0:
        return found
    for _ in range(2):
        runs = [Run(run.frames, align_alike(run.frames, run.maps, found.exposure)) for run in runs]
        found = refine_by_inversion(runs, found.exposure)
        if found.exposure == 0:
            break
    return found if found.explained >= _BELIEVED else ExposureFit(0.0, found.explained)


def split_at_cuts(frames: Sequence[Image]) -> list[Run]:
    """Return the scenes among consecutive frames that are long enough to be inverted."""
    runs, first = [], 0
    maps: list[Matrix] = []
    for k in range(1, len(frames) + 1):
        found = find_map(frames[k - 1], frames[k]) if k < len(frames) else None
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
    left = plain = 0.0
    for number, t in targets:
        run = runs[number]
        low, high = max(0, t - _RADIUS - 3), min(len(run.frames), t + _RADIUS + 4)
        maps, frames = run.maps[low : high - 1], run.frames
        size = frames[0].shape[1], frames[0].shape[0]
        path = fit_path(chain(maps, t - low), low, t, exposure, size)
        near = {k: Planes(run.frames[k]) for k in range(t - _RADIUS, t + _RADIUS + 1)}
        inversion = invert(views(near, t, path, exposure), _RADIUS)
        left += float(np.square(inversion.residual).mean())
        plain += float(np.square(inversion.plain).mean())
    return 1 - left / max(plain, 1e-12)
