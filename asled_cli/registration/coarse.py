"""Coarse place and size of the target's picture inside the reference's, by template matching over a clip."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.homography import Image, Matrix, resize_matrix
from asled_cli.registration.lenses import LensPrior, centre_crop
from asled_cli.registration.reblur import luma
from asled_cli.video.frames import FramePair

_LONG_SIDE = 160  # of the reduced reference; small enough that blur hardly matters
_RATIO_STEP = 0.02
_FRAMES = 9
# How far the target's centre may lie from the reference's, as a share of the reference's sides.
_REACH = 0.12


def locate(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Matrix:
    """Return the map full target pixel -> full reference pixel: scale and shift only, good to a few pixels.

    All pairs must have a reference. Tries field-of-view ratios about `prior`, sums the normalised
    correlation over frames spread through the clip, and takes the best.
    """
    pairs = [p for run in runs for p in run]
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _FRAMES).astype(int))]
    targets = [p.target.rgb for p in chosen]
    references = [p.reference.rgb for p in chosen if p.reference is not None]
    target_size = (targets[0].shape[1], targets[0].shape[0])
    reference_size = (references[0].shape[1], references[0].shape[0])
    factor = max(reference_size) / _LONG_SIDE
    small_size = (round(reference_size[0] / factor), round(reference_size[1] / factor))
    scenes = [_grey(r, small_size) for r in references]
    best: tuple[float, Matrix] = (-np.inf, centre_crop(prior.fov_ratio, target_size, reference_size))
    for ratio in _ratios(prior):
        guess = resize_matrix(reference_size, small_size) @ centre_crop(ratio, target_size, reference_size)
        size = (max(8, round(target_size[0] * guess[0, 0])), max(8, round(target_size[1] * guess[1, 1])))
        if size[0] > small_size[0] or size[1] > small_size[1]:
            continue
        templates = [_grey(t, size) for t in targets]
        score, x, y = _best_place(scenes, templates)
        if score > best[0]:
            place = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ resize_matrix(target_size, size)
            best = (score, resize_matrix(small_size, reference_size) @ place)
    return best[1]


def _ratios(prior: LensPrior) -> NDArray[np.float64]:
    """Return the ratios to try, those nearest to the prior first, so that ties go to it."""
    steps = np.arange(0, prior.tolerance + 1e-9, _RATIO_STEP)
    return np.asarray(prior.fov_ratio * np.exp(np.stack([steps, -steps], axis=1).ravel()[1:]))


def _best_place(scenes: list[Image], templates: list[Image]) -> tuple[float, float, float]:
    """Return the highest mean correlation and its sub-pixel place (x, y of the template's corner)."""
    surface = sum(
        cv2.matchTemplate(scene, template, cv2.TM_CCOEFF_NORMED)
        for scene, template in zip(scenes, templates, strict=True)
    )
    surface = np.nan_to_num(np.asarray(surface, dtype=np.float64) / len(scenes))
    height, width = surface.shape
    reach_y, reach_x = _REACH * scenes[0].shape[0], _REACH * scenes[0].shape[1]
    y, x = np.ogrid[:height, :width]
    far = (np.abs(y - (height - 1) / 2) > reach_y + 1) | (np.abs(x - (width - 1) / 2) > reach_x + 1)
    masked = np.where(far, -2.0, surface)
    row, column = np.unravel_index(int(np.argmax(masked)), masked.shape)
    return float(surface[row, column]), _peak(surface[row], int(column)), _peak(surface[:, column], int(row))


def _peak(line: NDArray[Any], i: int) -> float:
    if i in (0, len(line) - 1):
        return float(i)
    a, b, c = line[i - 1], line[i], line[i + 1]
    bend = a - 2 * b + c
    return float(i + np.clip((a - c) / (2 * bend), -0.5, 0.5)) if bend < 0 else float(i)


def _grey(rgb: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(65535)
    return luma(small)
