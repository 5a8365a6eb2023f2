"""Slow drift between the views within a clip: one canvas per run of frames.

Stabilisation crops, focus and temperature shift and zoom one view against the other. With that motion
removed, exposure, parallax and colour are solved for all runs together. Each run keeps its own geometry.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asled_cli.imaging.homography import Matrix, reducing
from asled_cli.imaging.light import shrink
from asled_cli.registration.estimate.exposure import mean_residual
from asled_cli.registration.estimate.observations import FrameObservation, observe_all
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.registration.model.exposure import Exposure

# Runs get canvases of their own if a corner moves this far, reduced pixels,
_MIN_MOVE_PX = 0.4
# and if the residual of one run falls by this share.
_MIN_GAIN = 0.03
# Reduction of the coarse level, which finds drifts of twenty reduced pixels.
_COARSE = 4
# Gauss-Newton steps at either level.
_COARSE_STEPS = 8
_FINE_STEPS = 5


def follow_drift(
    by_run: Sequence[Sequence[FrameObservation]],
    canvases: Sequence[Canvas],
    work_map: Matrix,
    exposure: Exposure,
) -> list[Canvas] | None:
    """Return a canvas for each run, placed by the run's own map; None if one canvas serves all.

    by_run: the frames of each run. work_map: the common map, reduced target pixel -> canvas pixel.
    """
    if len(by_run) < 2:
        return None
    maps, gains = [], []
    for run in by_run:
        frames = observe_all(run, exposure)
        own = _own_map(frames, work_map)
        before, after = mean_residual(frames, work_map), mean_residual(frames, own)
        maps.append(own if after < before else work_map)
        gains.append(1 - min(after, before) / max(before, 1e-9))
    corners = np.array([_corners(canvas, own) for canvas, own in zip(canvases, maps, strict=True)])
    if np.ptp(corners, axis=0).max() < _MIN_MOVE_PX or max(gains) < _MIN_GAIN:
        return None
    return [
        replace(canvas, homography=canvas.homography_of(own))
        for canvas, own in zip(canvases, maps, strict=True)
    ]


def _own_map(frames: Sequence[LumaPair], start: Matrix) -> Matrix:
    """Return the similarity of one run by Gauss-Newton, coarse to fine, starting from the common map."""
    pictures = frames[0].target, frames[0].reference
    down_t, down_c = (reducing((image.shape[1], image.shape[0]), _COARSE) for image in pictures)
    small = [LumaPair(shrink(f.target, _COARSE), shrink(f.reference, _COARSE)) for f in frames]
    coarse = refine(small, down_c @ start @ np.linalg.inv(down_t), _COARSE_STEPS, free=4)
    found = np.asarray(np.linalg.inv(down_c) @ coarse.matrix @ down_t, np.float64)
    return refine(frames, found, _FINE_STEPS, free=4).matrix


def _corners(canvas: Canvas, work_map: Matrix) -> Matrix:
    width, height = canvas.work_size
    points = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    moved = points @ work_map.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)
