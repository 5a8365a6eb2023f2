"""Depth with edges: how far the reference shows each pixel aside, along the line on which the lenses lie.

The parallax field of the analysis is smooth and stands still; things close by are neither. Here, for each
frame, trial shifts of the reblurred reference are compared with the target, each difference averaged within
what the equally shifted sharp reference shows as one thing (cost-volume filtering: Hosni et al., TPAMI 2013,
with the guided filter of He et al., ECCV 2010), and a pixel leaves the common map only for a clearly better
shift. All at half the reduced size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma, shrink
from asled_cli.imaging.warp import sample
from asled_cli.registration.blur.reference_motion import halved_places

Direction = tuple[float, float]

# Largest shift tried, as a share of the picture's longer side, and the distance between trials, pixels.
_REACH_SHARE, _STEP_PX = 0.036, 1.0
# Radius of the guided filter, pixels, and the variance of luma (0..1) from which on edges part its windows.
_RADIUS, _EDGE_VARIANCE = 4, 1e-3
# Differences (0..1) count up to here: what is hidden in one view may differ by anything.
_MAX = 0.08
_MEAN_OF_THREE = np.full((1, 3), 1 / 3, np.float32)
# A shift is believed where it lowers the difference to this share, and by this much more.
_SHARE, _MIN = 0.8, 0.004
# Between equally good shifts the smaller one: cost of one pixel's square root.
_SMALL = 0.002
# Directions tried over half a turn; the mean difference they must save, 0..1, and against the median of all
# (two synthetic clips with depth saved 1.8e-3 and 2.7e-3, eight without at most 6e-5).
_DIRECTIONS, _MIN_GAIN, _ALONG_OVER_ACROSS = 8, 3e-4, 1.5


@dataclass(frozen=True)
class HalfViews:
    """A frame at half the reduced size: target (h, w, 3); on the canvas the reference, blurred as the target
    is (h', w', 3), and the luma of the sharp one (h', w'); u, v (h, w): where target pixels lie on it."""

    target: Image
    blurred: Image
    sharp: Image
    u: Image
    v: Image

    @classmethod
    def of(cls, target: Image, blurred: Image, sharp: Image, u: Image, v: Image) -> "HalfViews":
        """Return the views of a frame that is given at the full reduced size, `sharp` in colour."""
        small = shrink(target, 2)
        u, v = halved_places(u, v, (small.shape[1], small.shape[0]))
        return cls(small, shrink(blurred, 2), shrink(luma(sharp), 2), u, v)


def find_baseline(frames: Sequence[HalfViews]) -> Direction | None:
    """Return the direction on the canvas along which close things lie aside; None where none do.

    The lenses of a phone lie apart along one line, so all disparities of a clip do: of all directions, one
    explains far more than those across it.
    """

    def explained(angle: float) -> float:
        # The median: at the ends of a stretch single frames are reblurred wrongly.
        return float(np.median([_gain(views, _direction(angle)) for views in frames]))

    step = np.pi / _DIRECTIONS
    around = {angle: explained(angle) for angle in (step * i for i in range(_DIRECTIONS))}
    best = max(around, key=lambda angle: around[angle])
    if around[best] < max(_MIN_GAIN, _ALONG_OVER_ACROSS * float(np.median(list(around.values())))):
        return None
    near = {best: around[best]}
    near |= {best + share * step: explained(best + share * step) for share in (-0.5, -0.25, 0.25, 0.5)}
    return _direction(max(near, key=lambda angle: near[angle]))


def _direction(angle: float) -> Direction:
    return float(np.cos(angle)), float(np.sin(angle))


def solve_disparity(views: HalfViews, direction: Direction) -> Image:
    """Return (h, w): by how many canvas pixels along `direction` (x, y of length 1) each target pixel's place
    on the canvas is to be moved; 0 wherever the common map is nearly as good."""
    shift, _ = _best_shift(views, direction)
    return np.asarray(cv2.GaussianBlur(cv2.medianBlur(shift, 5), (0, 0), 1.0), dtype=np.float32)


def _gain(views: HalfViews, direction: Direction) -> float:
    """Return by how much shifts along `direction` lower the mean difference of the views (0..1)."""
    _, lowered = _best_shift(views, direction)
    return float(lowered.mean())


def _best_shift(views: HalfViews, direction: Direction) -> tuple[Image, Image]:
    """Return the shift of each pixel, and by how much it lowers the difference, both 0 where not believed."""
    reach = _REACH_SHARE * max(views.target.shape[:2])
    count = max(1, int(reach / _STEP_PX))
    shifts = np.arange(-count, count + 1, dtype=np.float32) * np.float32(_STEP_PX)
    costs = np.stack([_cost(views, direction, float(shift)) for shift in shifts])
    chosen = (costs + np.float32(_SMALL) * np.sqrt(np.abs(shifts))[:, None, None]).argmin(axis=0)
    chosen = chosen.clip(1, 2 * count - 1)
    before, best, after = (np.take_along_axis(costs, (chosen + i)[None], axis=0)[0] for i in (-1, 0, 1))
    unmoved = costs[count]
    believed = best < unmoved * np.float32(_SHARE) - np.float32(_MIN)
    # The lowest point of the parabola through the best trial and those beside it.
    bend = before - 2 * best + after
    beyond = np.clip((before - after) / np.maximum(2 * bend, np.float32(1e-6)), -0.5, 0.5)
    shift = shifts[chosen] + beyond * np.float32(_STEP_PX)
    return np.where(believed, shift, 0).astype(np.float32), np.where(believed, unmoved - best, 0)


def _cost(views: HalfViews, direction: Direction, shift: float) -> Image:
    """Return the difference (h, w) of target and shifted reference, averaged within what the latter shows."""
    u = views.u + np.float32(shift * direction[0])
    v = views.v + np.float32(shift * direction[1])
    difference = cv2.transform(cv2.absdiff(views.target, sample(views.blurred, u, v)), _MEAN_OF_THREE)
    return _guided(np.minimum(difference, np.float32(_MAX)), sample(views.sharp, u, v))


def _guided(picture: NDArray[np.floating], guide: Image) -> Image:
    """The guided filter: the window-wise linear function of `guide` (h, w) nearest to `picture` (h, w)."""
    mean, mean_guide = _box(picture), _box(guide)
    variance = _box(guide * guide) - mean_guide * mean_guide
    slope = (_box(guide * picture) - mean_guide * mean) / (variance + np.float32(_EDGE_VARIANCE))
    return _box(slope) * guide + _box(mean - slope * mean_guide)


def _box(picture: NDArray[np.floating]) -> Image:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(picture, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)
