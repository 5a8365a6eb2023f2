"""Coarse place and size of the target's picture inside the reference's, by template matching over a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.homography import Image, Matrix, resize_matrix, simplified, translation
from asled_cli.imaging.light import luma, without_shades
from asled_cli.registration.geometry.canvas import reduced_size
from asled_cli.registration.geometry.lenses import LensPrior, centre_crop
from asled_cli.video.frames import FramePair

_LONG_SIDE = 160  # of the reduced reference; small enough that blur hardly matters
_RATIO_STEP = 0.02
_FRAMES = 9
_PEAKS = 24  # of one view ratio
_SHADE_PX = 10.0  # shades broader than this are left out
# How far the target's centre may lie from the reference's, as a share of the reference's sides.
_REACH = 0.12
# So many of the likeliest places are kept, and as many of those least displaced, whose score comes this near
# to the best one's, and so far apart (pixels of the reduced reference) that refining would not join them.
_RIVALS, _RIVAL_SCORE, _RIVAL_PX = 4, 0.25, 6.0


@dataclass(frozen=True)
class Place:
    """Where the target's picture lies in the reference's, roughly.

    matrix: full target pixel -> full reference pixel, scale and shift only, good to a few pixels. score: mean
    normalised correlation there, -1..1, of pictures without their coarsest shades. fov_ratio: at that scale.
    """

    matrix: Matrix
    score: float
    fov_ratio: float


def locate(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Place:
    """Find the target in the reference; pairs without a reference are left out.

    Tries field-of-view ratios about `prior`, sums the normalised correlation over frames spread through the
    clip, and takes the best. Raises InputError where no pair has a reference.
    """
    return _search(evenly_spaced_pairs(runs, _FRAMES), prior, peaks=1)[0]


def locate_candidates(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> list[Place]:
    """Return the place that `locate` takes, then others that a repeating pattern may make as likely.

    Best first, each well away from the others: the likeliest ones and those least displaced. Raises
    InputError where no pair has a reference.
    """
    chosen = evenly_spaced_pairs(runs, _FRAMES)
    target_size, reference_size = ((rgb.shape[1], rgb.shape[0]) for rgb in chosen[0])
    found = _search(chosen, prior, _PEAKS)
    corners = np.array([[x, y, 1] for x in (0, target_size[0]) for y in (0, target_size[1])], np.float64)
    least = _RIVAL_PX * max(reference_size) / _LONG_SIDE
    apart: list[Place] = []
    taken = np.empty((0, len(corners), 3))
    for place in found:
        if place.score < found[0].score - _RIVAL_SCORE:
            break
        own = corners @ place.matrix.T
        if (np.abs(taken - own).max(axis=(1, 2), initial=0) > least).all():
            apart.append(place)
            taken = np.concatenate([taken, own[None]])
    centre = centre_crop(prior.fov_ratio, target_size, reference_size)
    others = sorted(apart[_RIVALS:], key=lambda place: displacement(place.matrix, centre, target_size))
    return apart[:_RIVALS] + sorted(others[:_RIVALS], key=lambda place: -place.score)


def _search(
    chosen: Sequence[tuple[NDArray[np.uint16], NDArray[np.uint16]]], prior: LensPrior, peaks: int
) -> list[Place]:
    """Return the best places of the targets in their references, `peaks` of each view ratio, best first."""
    target_size, reference_size = ((rgb.shape[1], rgb.shape[0]) for rgb in chosen[0])
    small_size = reduced_size(reference_size, _LONG_SIDE)
    scenes = [_details(reduced_luma(reference, small_size), small_size) for _, reference in chosen]
    # Once to a size that serves all templates: each of them would reduce the whole picture again.
    ready = [reduced_luma(target, reduced_size(target_size, 2 * _LONG_SIDE)) for target, _ in chosen]
    found: list[Place] = []
    for ratio in _ratios(prior):
        guess = resize_matrix(reference_size, small_size) @ centre_crop(ratio, target_size, reference_size)
        size = (max(8, round(target_size[0] * guess[0, 0])), max(8, round(target_size[1] * guess[1, 1])))
        if size[0] > small_size[0] or size[1] > small_size[1]:
            continue
        for score, x, y in _peaks(scenes, [_details(target, size) for target in ready], peaks):
            small_place = translation(x, y) @ resize_matrix(target_size, size)
            matrix = simplified(resize_matrix(small_size, reference_size) @ small_place, target_size, 4)
            found.append(Place(matrix, score, float(ratio)))
    if not found:
        centre = centre_crop(prior.fov_ratio, target_size, reference_size)
        return [Place(centre, -np.inf, prior.fov_ratio)]
    return sorted(found, key=lambda place: -place.score)  # stable: ties go to the ratio nearest to the prior


def evenly_spaced_pairs(
    runs: Sequence[Sequence[FramePair]], count: int
) -> list[tuple[NDArray[np.uint16], NDArray[np.uint16]]]:
    """Return the pictures of at most `count` pairs spread over the runs, (target, reference) each.

    Raises InputError where no pair has a reference.
    """
    pairs = [(p.target.rgb, p.reference.rgb) for run in runs for p in run if p.reference is not None]
    if not pairs:
        raise InputError(
            "No frames of the clips show the same moment.",
            "Are both from one recording, and is the offset between them right?",
        )
    return [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, count).astype(int))]


def displacement(matrix: Matrix, other: Matrix, target_size: tuple[int, int]) -> float:
    """Return how far apart two maps take the target's centre, reference pixels."""
    middle = np.array([(target_size[0] - 1) / 2, (target_size[1] - 1) / 2, 1.0])
    (x, y, z), (u, v, w) = matrix @ middle, other @ middle
    return float(np.hypot(x / z - u / w, y / z - v / w))


def _ratios(prior: LensPrior) -> NDArray[np.float64]:
    """Return the ratios to try, those nearest to the prior first, so that ties go to it."""
    steps = np.arange(0, prior.tolerance + 1e-9, _RATIO_STEP)
    return np.asarray(prior.fov_ratio * np.exp(np.stack([steps, -steps], axis=1).ravel()[1:]))


def _peaks(scenes: list[Image], templates: list[Image], count: int) -> list[tuple[float, float, float]]:
    """Return the highest peaks of the mean correlation, best first: score, and x and y of the corner."""
    surface = sum(
        cv2.matchTemplate(scene, template, cv2.TM_CCOEFF_NORMED)
        for scene, template in zip(scenes, templates, strict=True)
    )
    surface = np.nan_to_num(np.asarray(surface, dtype=np.float32) / len(scenes))
    height, width = surface.shape
    reach_y, reach_x = _REACH * scenes[0].shape[0], _REACH * scenes[0].shape[1]
    y, x = np.ogrid[:height, :width]
    far = (np.abs(y - (height - 1) / 2) > reach_y + 1) | (np.abs(x - (width - 1) / 2) > reach_x + 1)
    masked = np.where(far, np.float32(-2.0), surface)
    highest = cv2.dilate(masked, np.ones((3, 3), np.uint8)) == masked
    rows, columns = np.nonzero(highest & ~far)
    best = np.argsort(-masked[rows, columns], kind="stable")[:count]
    return [
        (float(masked[i, j]), _peak(surface[i], int(j)), _peak(surface[:, j], int(i)))
        for i, j in zip(rows[best], columns[best], strict=True)
    ]


def _peak(line: NDArray[Any], i: int) -> float:
    if i in (0, len(line) - 1):
        return float(i)
    a, b, c = line[i - 1], line[i], line[i + 1]
    bend = a - 2 * b + c
    return float(i + np.clip((a - c) / (2 * bend), -0.5, 0.5)) if bend < 0 else float(i)


def reduced_luma(rgb: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    """Return the luma 0..1 of a picture at `size`."""
    return luma(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(65535))


def _details(grey: Image, size: tuple[int, int]) -> Image:
    """Return a luma at `size`, less its coarse shades, in which any two scenes may agree."""
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return without_shades(small, _SHADE_PX)
