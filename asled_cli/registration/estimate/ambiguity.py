"""Resolve ambiguous matches: on windows, fences and tiles a wrong match may correlate best.

Templates are matched on small pictures. There, rotation, keystone and blur cost the right match as much as a
shift by one window costs a wrong one. Each candidate is refined by Gauss-Newton on larger pictures, and the
candidates are compared again. Details that do not repeat then decide.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, resize_matrix
from asled_cli.imaging.light import without_shades
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.estimate.template_match import (
    MatchCandidate,
    displacement,
    evenly_spaced_pairs,
    locate_candidates,
    reduced_luma,
)
from asled_cli.registration.geometry.canvas import reduced_size
from asled_cli.registration.geometry.lenses import LensPrior, centre_crop
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.video.frames import FramePair

# Longer side of the reduced target; the reference has the same density at the prior's ratio.
_LONG_SIDE = 160
# Runs compared, and frames of each. Details that do not repeat show in any frame.
_RUNS = 4
_FRAMES_PER_RUN = 2
# Sigma of the Gaussian on both views, pixels of the reduced target, so that their blur differs less.
_SOFT_PX = 1.5
# Shades broader than this (pixels) are left out; any two scenes may agree in them.
_SHADE_PX = 16.0
# Gauss-Newton steps of a similarity, then of a homography.
_STEPS = (8, 4)
# Candidates whose correlation differs by less than this are equally good; the least displaced is chosen.
_SCORE_TOLERANCE = 0.004
# Candidates that converge to within this share of the reference's longer side are one.
_SAME_DISTANCE_SHARE = 0.01


def choose_match(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> MatchCandidate:
    """Return the match of the target in the reference, resolved among ambiguous candidates.

    If there is one likely candidate, it costs no more than `locate`.
    runs: of frame pairs. prior: expected field-of-view ratio.
    Raises InputError as `locate` does.
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
    scores, refined = [], []
    for candidate in candidates:
        start = np.asarray(down_r @ candidate.matrix @ np.linalg.inv(down_t), np.float64)
        maps = [_refine_candidate(frames, start) for frames in observed]
        scores.append(float(np.mean([correlation(f, m) for f, m in zip(observed, maps, strict=True)])))
        refined.append(np.linalg.inv(down_r) @ np.mean([m / m[2, 2] for m in maps], axis=0) @ down_t)
    centre = centre_crop(prior.fov_ratio, target_size, reference_size)
    equally_good = [
        matrix
        for score, matrix in zip(scores, refined, strict=True)
        if score > max(scores) - _SCORE_TOLERANCE
    ]
    best = min(equally_good, key=lambda matrix: displacement(matrix, centre, target_size))
    max_distance = _SAME_DISTANCE_SHARE * max(reference_size)
    # The unrefined candidate: maps refined on small pictures have errors of their own where detail is rare.
    return next(
        candidate
        for candidate, matrix in zip(candidates, refined, strict=True)
        if displacement(matrix, best, target_size) < max_distance
    )


def _refine_candidate(frames: Sequence[LumaPair], start: Matrix) -> Matrix:
    """Return the map of one run, refined by Gauss-Newton; between runs the views may drift."""
    return refine(frames, refine(frames, start, _STEPS[0], free=4).matrix, _STEPS[1]).matrix


def correlation(frames: Sequence[LumaPair], matrix: Matrix) -> float:
    """Return the correlation, -1..1, of the target and the warped reference; -1 if they hardly overlap.

    frames: at any size. matrix: (3, 3), target pixel -> reference pixel.
    Coarse shades are left out, since any two scenes may agree in them.
    """
    targets, references = [], []
    for frame in frames:
        height, width = frame.target.shape
        u, v = apply(matrix, *pixel_grid((width, height)))
        inside = within(frame.reference, u, v)
        if np.count_nonzero(inside) < inside.size / 2:
            return -1.0
        targets.append(without_shades(frame.target, _SHADE_PX)[inside])
        references.append(without_shades(sample(frame.reference, u, v), _SHADE_PX)[inside])
    a, b = np.concatenate(targets), np.concatenate(references)
    if min(a.std(), b.std()) < 1e-5:
        return -1.0
    return float(np.corrcoef(a, b)[0, 1])


def _view(rgb: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    return np.asarray(cv2.GaussianBlur(reduced_luma(rgb, size), (0, 0), _SOFT_PX), dtype=np.float32)
