"""The final maps: the simplest that fits, a parallax field if it helps, and one map per run."""

from dataclasses import replace

import numpy as np

from asled_cli.imaging.homography import Image, Matrix, simplified
from asled_cli.registration.estimate.exposure import (
    mean_residual,
)
from asled_cli.registration.estimate.parallax import solve_parallax
from asled_cli.registration.geometry.lenses import RectifiedViews
from asled_cli.registration.geometry.solver import Fit, LumaPair, refine

# A parallax field is accepted if it lowers the residual by this share.
_MIN_FIELD_GAIN = 0.02
# So is a map of a run's own.
_MIN_DRIFT_GAIN = 0.03
# So are shear and keystone. Half a pixel of keystone lowered the residual by 1.6 % or more, none at all by
# 0.2 % or less.
_MIN_MAP_GAIN = 0.005


def simplest_map(observations: list[LumaPair], homography: Fit) -> Fit:
    """Return the similarity, else the affine map, that fits nearly as well as `homography`, else that.

    Shear and keystone without evidence come from errors of blur and motion. They are small where there is
    texture, but grow to pixels where there is none, such as in a sky.
    """
    height, width = observations[0].target.shape
    bound = mean_residual(observations, homography.matrix) * (1 + _MIN_MAP_GAIN)
    for free in (4, 6):
        fit = refine(observations, simplified(homography.matrix, (width, height), free), 3, free=free)
        if mean_residual(observations, fit.matrix) <= bound:
            return fit
    return homography


def map_of_each_run(observed: list[list[LumaPair]], fit: Fit, field: Image) -> list[Matrix]:
    """Return one map per run: the clip's, or the run's own if that fits its frames clearly better.

    observed: frames of each run. fit: of the clip. field: (h, w, 2) parallax.
    """
    if len(observed) == 1:
        return [fit.matrix]
    maps = []
    for run in observed:
        frames = [replace(frame, shift=field) for frame in run]
        own = refine(frames, fit.matrix, 2, free=fit.free).matrix
        better = mean_residual(frames, own) < mean_residual(frames, fit.matrix) * (1 - _MIN_DRIFT_GAIN)
        maps.append(own if better else fit.matrix)
    return maps


def add_parallax(
    observations: list[LumaPair], fit: Fit, rectified: RectifiedViews | None = None
) -> tuple[Fit, Image]:
    """Return the map refined under a parallax field (h, w, 2), and the field; zeros if it hardly helps.

    rectified: bounds of two rectified views.
    """
    field = solve_parallax(observations, fit.matrix, fit.gain, fit.bias, rectified=rectified)
    shifted = [replace(o, shift=field) for o in observations]
    refined = refine(shifted, fit.matrix, 1, free=fit.free)
    if mean_residual(shifted, refined.matrix) < mean_residual(observations, fit.matrix) * (
        1 - _MIN_FIELD_GAIN
    ):
        return refined, field
    return fit, np.zeros_like(field)
