"""Disparity of near objects with sharp edges, per frame, along the baseline between the lenses.

The parallax field of the analysis is smooth and static; near objects are neither. For each frame, trial
shifts of the reblurred reference are compared with the target. Each difference is averaged by a guided
filter, with the equally shifted sharp reference as guide. A pixel leaves the common map only for a clearly
better shift. Everything is computed at half the reduced size.

Sources: cost-volume filtering (Hosni et al., TPAMI 2013), guided filter (He et al., ECCV 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma, shrink
from asled_cli.imaging.warp import sample
from asled_cli.registration.blur.reference_motion import halved_positions
from asled_cli.runtime.stages import map_in_threads

Direction = tuple[float, float]

# Largest shift tried, as a share of the picture's longer side, where nothing is known of the lenses.
REACH_SHARE = 0.036
# Distance between trial shifts, pixels; a parabola gives the fraction.
_STEP_PX = 1.0
# Radius of the guided filter, pixels.
_RADIUS = 4
# Variance of luma (0..1) from which on edges separate the windows of the guided filter.
_EDGE_VARIANCE = 1e-3
# Differences (0..1) count up to here, since what is hidden in one view may differ by any amount.
_MAX_DIFFERENCE = 0.08
_MEAN_OF_THREE = np.full((1, 3), 1 / 3, np.float32)
# A shift is accepted if it lowers the difference to this share, and by this much more (0..1).
_MAX_COST_RATIO = 0.8
_MIN_COST_DROP = 0.004
# Of equally good shifts the smaller one is taken: cost per square root of a pixel.
_SHIFT_COST = 0.002
# Directions tried over 180 degrees.
_DIRECTIONS = 8
# Gain in mean difference (0..1) that a baseline must reach. Two synthetic clips with depth gained 1.8e-3 and
# 2.7e-3, eight without at most 6e-5.
_MIN_GAIN = 3e-4
# A first look tries every other shift. Six clips without depth gained 0.6 to 0.9 of what all shifts do; a
# baseline gains more than this share of _MIN_GAIN then.
_FIRST_STEPS, _FIRST_SHARE = 2, 0.5
# The gain must also exceed the median of all directions by this factor.
_ALONG_OVER_ACROSS = 1.5


@dataclass(frozen=True)
class HalfViews:
    """A frame at half the reduced size.

    target: (h, w, 3). blurred: (h', w', 3), the reblurred reference on its canvas. sharp: (h', w'), luma of
    the sharp reference. u, v: (h, w), canvas position of the target's pixels.
    """

    target: Image
    blurred: Image
    sharp: Image
    u: Image
    v: Image

    @classmethod
    def of(cls, target: Image, blurred: Image, sharp: Image, u: Image, v: Image) -> "HalfViews":
        """Return the views of a frame given at the full reduced size, `sharp` in colour."""
        small = shrink(target, 2)
        u, v = halved_positions(u, v, (small.shape[1], small.shape[0]))
        return cls(small, shrink(blurred, 2), shrink(luma(sharp), 2), u, v)


def find_baseline(
    frames: Sequence[HalfViews], *, along_rows: bool = False, reach: float = REACH_SHARE
) -> Direction | None:
    """Return the direction (x, y) on the canvas in which near objects are displaced; None if none are.

    All disparities of a clip are along one line, the baseline between the lenses. That direction must explain
    far more than the others. along_rows: it is known to be that of the rows, as in rectified views.
    reach: largest disparity, share of the picture's longer side.
    """

    def gains(angle: float, views: Sequence[HalfViews], steps: int = 1) -> list[float]:
        return map_in_threads(lambda own: _mean_gain(own, _direction(angle), reach, steps), views)

    def explained(angle: float) -> float:
        # The median: single frames at the ends of a run are reblurred wrongly.
        return float(np.median(gains(angle, frames)))

    if along_rows:
        along, across = explained(0.0), explained(np.pi / 2)
        return None if along < max(_MIN_GAIN, _ALONG_OVER_ACROSS * across) else (1.0, 0.0)
    step = np.pi / _DIRECTIONS
    half = len(frames) // 2 + 1
    seen = (gain for i in range(_DIRECTIONS) for gain in gains(step * i, frames[:half], _FIRST_STEPS))
    if max(seen) < _FIRST_SHARE * _MIN_GAIN:
        return None
    first = {step * i: gains(step * i, frames[:half]) for i in range(_DIRECTIONS)}
    if max(map(max, first.values())) < _MIN_GAIN:
        return None  # the other frames cannot lift any median
    around = {angle: float(np.median(some + gains(angle, frames[half:]))) for angle, some in first.items()}
    best = max(around, key=lambda angle: around[angle])
    if around[best] < max(_MIN_GAIN, _ALONG_OVER_ACROSS * float(np.median(list(around.values())))):
        return None
    near = {best: around[best]}
    near |= {best + share * step: explained(best + share * step) for share in (-0.5, -0.25, 0.25, 0.5)}
    return _direction(max(near, key=lambda angle: near[angle]))


def _direction(angle: float) -> Direction:
    return float(np.cos(angle)), float(np.sin(angle))


def solve_disparity(views: HalfViews, direction: Direction, reach: float = REACH_SHARE) -> Image:
    """Return (h, w), the disparity of each target pixel in canvas pixels along `direction`.

    direction: (x, y) of length 1. reach: largest disparity, share of the picture's longer side.
    The disparity is 0 wherever the common map is nearly as good.
    """
    shift, _ = _best_shift(views, direction, reach)
    return np.asarray(cv2.GaussianBlur(cv2.medianBlur(shift, 5), (0, 0), 1.0), dtype=np.float32)


def _mean_gain(views: HalfViews, direction: Direction, reach: float, steps: int) -> float:
    """Return by how much shifts along `direction` lower the mean difference of the views (0..1)."""
    _, lowered = _best_shift(views, direction, reach, steps)
    return float(lowered.mean())


def _best_shift(views: HalfViews, direction: Direction, reach: float, steps: int = 1) -> tuple[Image, Image]:
    """Return the shift of each pixel and by how much it lowers the difference; both 0 if not accepted.

    steps: of _STEP_PX between two shifts that are tried.
    """
    step = steps * _STEP_PX
    count = max(1, int(reach * max(views.target.shape[:2]) / step)) + (steps > 1)  # the last is never chosen
    shifts = np.arange(-count, count + 1, dtype=np.float32) * np.float32(step)
    costs = np.stack([_cost(views, direction, float(shift)) for shift in shifts])
    chosen = (costs + np.float32(_SHIFT_COST) * np.sqrt(np.abs(shifts))[:, None, None]).argmin(axis=0)
    chosen = chosen.clip(1, 2 * count - 1)
    before, best, after = (np.take_along_axis(costs, (chosen + i)[None], axis=0)[0] for i in (-1, 0, 1))
    unmoved = costs[count]
    accepted = best < unmoved * np.float32(_MAX_COST_RATIO) - np.float32(_MIN_COST_DROP)
    # Minimum of the parabola through the best trial and its neighbours.
    curvature = before - 2 * best + after
    subpixel = np.clip((before - after) / np.maximum(2 * curvature, np.float32(1e-6)), -0.5, 0.5)
    shift = shifts[chosen] + subpixel * np.float32(step)
    return np.where(accepted, shift, 0).astype(np.float32), np.where(accepted, unmoved - best, 0)


def _cost(views: HalfViews, direction: Direction, shift: float) -> Image:
    """Return the difference (h, w) of target and shifted reference, averaged by the guided filter."""
    u = views.u + np.float32(shift * direction[0])
    v = views.v + np.float32(shift * direction[1])
    difference = cv2.transform(cv2.absdiff(views.target, sample(views.blurred, u, v)), _MEAN_OF_THREE)
    return _guided_filter(np.minimum(difference, np.float32(_MAX_DIFFERENCE)), sample(views.sharp, u, v))


def _guided_filter(picture: NDArray[np.floating], guide: Image) -> Image:
    """Return the guided filter of `picture` (h, w) under `guide` (h, w)."""
    mean, mean_guide = _box(picture), _box(guide)
    variance = _box(guide * guide) - mean_guide * mean_guide
    slope = (_box(guide * picture) - mean_guide * mean) / (variance + np.float32(_EDGE_VARIANCE))
    return _box(slope) * guide + _box(mean - slope * mean_guide)


def _box(picture: NDArray[np.floating]) -> Image:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(picture, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)
