"""Focus of a lens before a layered scene: every layer is spread by the circle of confusion of its depth.

Depth is given as nearness, 0 far away to 1 for the nearest layer, in proportion to 1 / distance. In a thin
lens the circle of confusion is proportional to the difference of nearness to the plane in focus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.camera.aperture import SIGMA_PER_CIRCLE, Aperture, spread
from asled_cli.lab.camera.defocus import MAX_SIGMA

_CLIPPED = 0.9  # linear light from which a pixel counts as clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """Focus of the wide lens, and of the ultra lens, whose depth of field is deeper."""

    circle_px: float
    """Diameter of the circle of confusion of the wide lens for a difference of nearness of 1, wide pixels."""
    nearness: float = 1.0
    """Nearness of the plane in focus, 0 to 1."""
    aperture: Aperture = "disc"
    """Shape of the point spread."""
    ultra_share: float = 0.25
    """Circle of the ultra lens over that of the wide lens, on the wide lens's pixels."""
    slope: float = 0.0
    """Nearness of the far layer at the lower border of the photo: of a ground; 0 for a wall."""
    highlights: float = 1.0
    """Brightness of clipped pixels of the photo over full scale. They shine as discs when out of focus."""
    levels: int = 12
    """Circles that are computed on a slope; the rows between them are interpolated."""


def defocus_map(
    focus: Focus, rows: NDArray[np.float32], nearer: Sequence[tuple[float, NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """Return (H, W), how far each pixel's own content is out of focus: 255 for a Gaussian of 7 px.

    rows: (H, W) place on the far layer, 0 at its upper border, 1 at its lower one. nearer: nearness and cover
    (255 = all) of the layers before it, far ones first.
    """
    nearness = focus.slope * np.clip(rows, 0.0, 1.0)
    for near, cover in nearer:
        nearness = np.where(cover >= 128, np.float32(near), nearness)
    sigma = SIGMA_PER_CIRCLE * focus.circle_px * np.abs(focus.nearness - nearness)
    return np.asarray(np.rint(np.minimum(sigma / MAX_SIGMA, 1.0) * 255.0), np.uint8)


def boost_highlights(light: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return linear light (h, w, 3) in which pixels with all channels near full scale shine `factor` times.

    After clipping to 1, a pixel has at most 1 - 0.9 more than before.
    """
    if factor <= 1.0:
        return light
    over = np.clip((light.min(axis=2, keepdims=True) - _CLIPPED) / (1.0 - _CLIPPED), 0.0, 1.0)
    return np.asarray(light * (1.0 + (factor - 1.0) * over), np.float32)


def far_out_of_focus(light: NDArray[np.float32], focus: Focus, share: float) -> NDArray[np.float32]:
    """Return the far layer (h, w, 3) as a lens sees it whose circle is `share` of the wide lens's.

    On a slope, rows between two levels are a mean of both: the circle changes slowly from row to row.
    """
    if not focus.slope:
        return spread(light, focus.nearness * focus.circle_px * share, focus.aperture)
    rows = np.linspace(0.0, focus.levels - 1.0, light.shape[0])
    result = np.zeros_like(light)
    for level, nearness in enumerate(np.linspace(0.0, focus.slope, focus.levels)):
        weight = np.maximum(1.0 - np.abs(rows - level), 0.0).astype(np.float32)
        seen = np.flatnonzero(weight)
        circle = float(focus.nearness - nearness) * focus.circle_px * share
        top, bottom = _with_margin(seen, circle, len(light))
        blurred = spread(np.ascontiguousarray(light[top:bottom]), circle, focus.aperture)
        result[seen] += weight[seen, None, None] * blurred[seen - top]
    return result


def _with_margin(rows: NDArray[np.intp], circle: float, height: int) -> tuple[int, int]:
    """Return the first row and the row past the last one that light of `rows` comes from."""
    reach = math.ceil(abs(circle)) + 1
    return max(int(rows[0]) - reach, 0), min(int(rows[-1]) + reach + 1, height)


def near_out_of_focus(
    light: NDArray[np.float32], nearness: float, focus: Focus, share: float, margin: int
) -> NDArray[np.float32]:
    """Return a near layer, (h, w, 4) premultiplied, with `margin` pixels more on every side.

    share: as in `far_out_of_focus`.
    """
    roomy = cv2.copyMakeBorder(light, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    return spread(
        np.asarray(roomy, np.float32), (focus.nearness - nearness) * focus.circle_px * share, focus.aperture
    )


def margin_px(nearness: float, focus: Focus) -> int:
    """Return the pixels by which the larger of both circles reaches past a near layer."""
    circle = abs(focus.nearness - nearness) * focus.circle_px * max(1.0, focus.ultra_share)
    return math.ceil(circle) + 1  # a Gaussian of the same circle reaches its whole diameter
