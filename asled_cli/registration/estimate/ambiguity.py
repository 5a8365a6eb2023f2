"""Which of several places is the target's: on windows, fences and tiles a wrong one may correlate better.

At the size at which places are searched, rotation, keystone and blur cost the right place as much as a shift
by one window costs a wrong one. Each place is refined by Gauss-Newton on larger pictures, and they are
compared again: what does not repeat (an edge, the sky, a flower pot) then tells them apart.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, resize_matrix
from asled_cli.imaging.light import without_shades
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.estimate.template_match import (
    Place,
    displacement,
    evenly_spaced_pairs,
    locate_candidates,
    reduced_luma,
)
from asled_cli.registration.geometry.canvas import reduced_size
from asled_cli.registration.geometry.lenses import LensPrior, centre_crop
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.video.frames import FramePair

_LONG_SIDE = 160  # of the reduced target; the reference has the same density at the prior's ratio
_RUNS, _FRAMES_PER_RUN = 4, 2
# Both views are made this soft (pixels of the reduced target), so that blur tells them apart little.
_SOFT_PX, _SHADE_PX = 1.5, 16.0
_STEPS = (8, 4)  # of a similarity, then of a homography
# Places whose pictures correlate this much alike are equally good; the least displaced is taken.
_ALIKE = 0.004
_SAME_SHARE = 0.01  # of the reference's longer side: places that settle this near to each other are one


def choose_match(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Place:
    """Return where the target's picture lies in the reference's, told from places that look alike.

    Costs no more than `locate` where only one place is likely. Raises InputError as `locate`.
    """
    candidates = locate_candidates(runs, prior)
    if len(candidates) == 1:
        return candidates[0]
    seen = [run for run in runs if any(pair.reference is not None for pair in run)]
    chosen = np.unique(np.linspace(0, len(seen) - 1, _RUNS).astype(int))
    pairs = [evenly_spaced_pairs([seen[i]], _FRAMES_PER_RUN) for i in chosen]
    target_size, reference_size = ((rgb.shape[1], rgb.shape[0]) for rgb in pairs[0][0])
    small_target = reduced_size(target_size, _LONG_SIDE)
    small_reference = reduced_size(reference_size, round(_LONG_SIDE * prior.fov_ratio))
    down_t, down_r = resize_matrix(target_size, small_target), resize_matrix(reference_size, small_reference)
    observed = [
        [LumaPair(_view(t, small_target), _view(r, small_reference)) for t, r in run] for run in pairs
    ]
    scores, settled = [], []
    for place in candidates:
        start = np.asarray(down_r @ place.matrix @ np.linalg.inv(down_t), np.float64)
        maps = [_settle(frames, start) for frames in observed]
        scores.append(float(np.mean([correlation(f, m) for f, m in zip(observed, maps, strict=True)])))
        settled.append(np.linalg.inv(down_r) @ np.mean([m / m[2, 2] for m in maps], axis=0) @ down_t)
    centre = centre_crop(prior.fov_ratio, target_size, reference_size)
    alike = [matrix for score, matrix in zip(scores, settled, strict=True) if score > max(scores) - _ALIKE]
    best = min(alike, key=lambda matrix: displacement(matrix, centre, target_size))
    same = _SAME_SHARE * max(reference_size)
    # As it was found: what is refined on small pictures has errors of its own where little is to be seen.
    return next(
        place
        for place, matrix in zip(candidates, settled, strict=True)
        if displacement(matrix, best, target_size) < same
    )


def _settle(frames: Sequence[LumaPair], start: Matrix) -> Matrix:
    """Return the map of one run: over several of them the views may drift by as much as a window."""
    return refine(frames, refine(frames, start, _STEPS[0], free=4).matrix, _STEPS[1]).matrix


def correlation(frames: Sequence[LumaPair], matrix: Matrix) -> float:
    """Return the correlation, -1..1, of the target and the reference pulled along `matrix`; -1 if apart.

    Counts what the views share, without their coarsest shades, in which any two scenes may agree.
    """
    ours, theirs = [], []
    for frame in frames:
        height, width = frame.target.shape
        u, v = apply(matrix, *pixel_grid((width, height)))
        inside = within(frame.reference, u, v)
        if np.count_nonzero(inside) < inside.size / 2:
            return -1.0
        ours.append(without_shades(frame.target, _SHADE_PX)[inside])
        theirs.append(without_shades(sample(frame.reference, u, v), _SHADE_PX)[inside])
    a, b = np.concatenate(ours), np.concatenate(theirs)
    if min(a.std(), b.std()) < 1e-5:
        return -1.0
    return float(np.corrcoef(a, b)[0, 1])


def _view(rgb: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    return np.asarray(cv2.GaussianBlur(reduced_luma(rgb, size), (0, 0), _SOFT_PX), dtype=np.float32)
