"""Coarse position and scale of the target in the reference by template matching over a clip."""

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

Size = tuple[int, int]

# Longer side of the reduced reference; so small that blur hardly matters.
_LONG_SIDE = 160
# Relative step between field-of-view ratios.
_RATIO_STEP = 0.02
# Frames whose correlations are summed.
_FRAMES = 9
# Peaks kept of each field-of-view ratio.
_PEAKS = 24
# Shades broader than this (pixels) are left out.
_SHADE_PX = 10.0
# Largest distance of the target's centre from the reference's, as a share of the reference's sides.
_REACH = 0.12
# Largest template, as a share of the scene: of a view as large as the reference the middle is searched.
_MAX_TEMPLATE = 0.8
# Most candidates by score, and as many by least displacement.
_CANDIDATES = 4
# Candidates may score this much less than the best.
_MAX_SCORE_LOSS = 0.25
# Least distance between candidates, pixels of the reduced reference; refining would join nearer ones.
_MIN_DISTANCE_PX = 6.0


@dataclass(frozen=True)
class MatchCandidate:
    """A coarse match of the target in the reference.

    matrix: (3, 3) full target pixel -> full reference pixel, scale and shift only, good to a few pixels.
    score: mean normalised correlation, -1..1, of pictures without their coarsest shades.
    fov_ratio: field-of-view ratio of that scale.
    """

    matrix: Matrix
    score: float
    fov_ratio: float


def locate(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> MatchCandidate:
    """Return the best match of the target in the reference.

    Field-of-view ratios about `prior` are tried. The normalised correlation is summed over frames spread over
    the clip; pairs without a reference are left out.
    Raises InputError if no pair has a reference.
    """
    views, sizes = _reduced(evenly_spaced_pairs(runs, _FRAMES))
    return _search(views, sizes, prior, peaks=1)[0]


def locate_views(
    views: Sequence[tuple[Image, Image]], sizes: tuple[Size, Size], prior: LensPrior
) -> MatchCandidate:
    """Return the match of `locate` from a few lumas of target and reference, (h, w) 0..1, reduced already.

    sizes: (width, height) of the pictures whose pixels the match relates. Both views keep their shape; a
    longer side of 160 pixels is enough, as large as the picture for smaller ones.
    """
    return _search(views, sizes, prior, peaks=1)[0]


def locate_candidates(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> list[MatchCandidate]:
    """Return the match of `locate`, then others that a repeating pattern may make as likely.

    They are distinct and sorted by score: the most likely ones and the least displaced ones.
    Raises InputError if no pair has a reference.
    """
    chosen = evenly_spaced_pairs(runs, _FRAMES)
    target_size, reference_size = ((rgb.shape[1], rgb.shape[0]) for rgb in chosen[0])
    found = _search(*_reduced(chosen), prior, _PEAKS)
    corners = np.array([[x, y, 1] for x in (0, target_size[0]) for y in (0, target_size[1])], np.float64)
    min_distance = _MIN_DISTANCE_PX * max(reference_size) / _LONG_SIDE
    distinct: list[MatchCandidate] = []
    taken = np.empty((0, len(corners), 3))
    for candidate in found:
        if candidate.score < found[0].score - _MAX_SCORE_LOSS:
            break
        own = corners @ candidate.matrix.T
        if (np.abs(taken - own).max(axis=(1, 2), initial=0) > min_distance).all():
            distinct.append(candidate)
            taken = np.concatenate([taken, own[None]])
    centre = centre_crop(prior.fov_ratio, target_size, reference_size)
    others = sorted(
        distinct[_CANDIDATES:], key=lambda candidate: displacement(candidate.matrix, centre, target_size)
    )
    return distinct[:_CANDIDATES] + sorted(others[:_CANDIDATES], key=lambda candidate: -candidate.score)


def _reduced(
    pairs: Sequence[tuple[NDArray[np.uint16], NDArray[np.uint16]]],
) -> tuple[list[tuple[Image, Image]], tuple[Size, Size]]:
    """Return the lumas of target and reference, reduced once to sizes that serve all templates; and sizes."""
    target_size, reference_size = ((rgb.shape[1], rgb.shape[0]) for rgb in pairs[0])
    small = reduced_size(target_size, 2 * _LONG_SIDE), reduced_size(reference_size, _LONG_SIDE)
    views = [(reduced_luma(one, small[0]), reduced_luma(other, small[1])) for one, other in pairs]
    return views, (target_size, reference_size)


def _search(
    pairs: Sequence[tuple[Image, Image]], sizes: tuple[Size, Size], prior: LensPrior, peaks: int
) -> list[MatchCandidate]:
    """Return the best matches, best first: `peaks` of each field-of-view ratio."""
    target_size, reference_size = sizes
    small_size = reduced_size(reference_size, _LONG_SIDE)
    scenes = [_details(reference, small_size) for _, reference in pairs]
    found: list[MatchCandidate] = []
    for ratio in _ratios(prior):
        guess = resize_matrix(reference_size, small_size) @ centre_crop(ratio, target_size, reference_size)
        size = (max(8, round(target_size[0] * guess[0, 0])), max(8, round(target_size[1] * guess[1, 1])))
        left, top = (_cut(own, whole) for own, whole in zip(size, small_size, strict=True))
        views = [_details(target, size)[top : size[1] - top, left : size[0] - left] for target, _ in pairs]
        templates = [np.ascontiguousarray(view) for view in views]
        for score, x, y in _peaks(scenes, templates, peaks, _reach(prior, small_size)):
            small_place = translation(x - left, y - top) @ resize_matrix(target_size, size)
            matrix = simplified(resize_matrix(small_size, reference_size) @ small_place, target_size, 4)
            found.append(MatchCandidate(matrix, score, float(ratio)))
    return sorted(
        found, key=lambda candidate: -candidate.score
    )  # stable: ties go to the ratio nearest to the prior


def _reach(prior: LensPrior, scene_size: tuple[int, int]) -> tuple[float, float]:
    """Return how far the centres of both views may be apart, pixels of the scene (x, y)."""
    shares = (_REACH, _REACH)
    if prior.rectified is not None:
        shares = (min(_REACH, prior.rectified.shift), prior.rectified.across)
    return shares[0] * scene_size[0], shares[1] * scene_size[1]


def _cut(template: int, scene: int) -> int:
    """Return the pixels to cut off a template at either end, so that it can move inside the scene."""
    return max(0, -(-(template - round(_MAX_TEMPLATE * scene)) // 2))


def evenly_spaced_pairs(
    runs: Sequence[Sequence[FramePair]], count: int
) -> list[tuple[NDArray[np.uint16], NDArray[np.uint16]]]:
    """Return the pictures (target, reference) of at most `count` pairs spread over the runs.

    Raises InputError if no pair has a reference.
    """
    pairs = [(p.target.rgb, p.reference.rgb) for run in runs for p in run if p.reference is not None]
    if not pairs:
        raise InputError(
            "No frames of the clips show the same moment.",
            "Are both from one recording, and is the offset between them right?",
        )
    return [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, count).astype(int))]


def displacement(matrix: Matrix, other: Matrix, target_size: tuple[int, int]) -> float:
    """Return the distance between the target's centre under two maps, reference pixels."""
    middle = np.array([(target_size[0] - 1) / 2, (target_size[1] - 1) / 2, 1.0])
    (x, y, z), (u, v, w) = matrix @ middle, other @ middle
    return float(np.hypot(x / z - u / w, y / z - v / w))


def _ratios(prior: LensPrior) -> NDArray[np.float64]:
    """Return the ratios to try, nearest to the prior first, so that ties go to it."""
    steps = np.arange(0, prior.tolerance + 1e-9, _RATIO_STEP)
    return np.asarray(prior.fov_ratio * np.exp(np.stack([steps, -steps], axis=1).ravel()[1:]))


def _peaks(
    scenes: list[Image], templates: list[Image], count: int, reach: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return the highest peaks of the mean correlation, best first: score, x and y of the corner.

    reach: largest distance (x, y) from the middle, pixels.
    """
    surface = sum(
        cv2.matchTemplate(scene, template, cv2.TM_CCOEFF_NORMED)
        for scene, template in zip(scenes, templates, strict=True)
    )
    surface = np.nan_to_num(np.asarray(surface, dtype=np.float32) / len(scenes))
    height, width = surface.shape
    y, x = np.ogrid[:height, :width]
    outside = (np.abs(y - (height - 1) / 2) > reach[1] + 1) | (np.abs(x - (width - 1) / 2) > reach[0] + 1)
    masked = np.where(outside, np.float32(-2.0), surface)
    is_peak = cv2.dilate(masked, np.ones((3, 3), np.uint8)) == masked
    rows, columns = np.nonzero(is_peak & ~outside)
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
    """Return the luma 0..1 of a picture (H, W, 3) uint16 at `size` (width, height)."""
    return luma(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(65535))


def _details(grey: Image, size: tuple[int, int]) -> Image:
    """Return a luma at `size` without its coarse shades, in which any two scenes may agree."""
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return without_shades(small, _SHADE_PX)
