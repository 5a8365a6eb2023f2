"""The straight way along which a frame was blurred, read from the frame and a sharp view of the same.

Where software has steadied a clip, the motion between its frames does not tell.
"""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import shrink
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.blur.reblur import Reblur, from_light, to_light
from asled_cli.registration.model.exposure import Exposure

Way = tuple[float, float]

# Lengths of ways (pixels) tried on pictures as they are, and on ones reduced by the same factor, in this many
# directions of half a turn; then steps about the best, as long as they help.
_SHORT, _LONG, _REDUCTION, _DIRECTIONS = (1.0, 2.0, 3.0), (2.0, 3.0, 5.0, 7.5, 11.0), 2, 8
_COARSE_STEPS, _FINE_STEPS, _MAX_STEPS = (1.0, 0.5), (0.5, 0.25), 4
# Noise is left out by softness, pixels; a picture's energy below this is none.
_SOFT_PX, _NONE = 0.7, 1e-6
# Differences (0..1) count up to here: what moves by itself is blurred otherwise.
_MAX = 0.1
_BORDER = 6


class LinearBlurSearch:
    """Which straight way of the camera blurs a sharp view most like a target.

    target: (h, w) luma 0..1. sharp: the reference's view at the middle of the target's exposure, on its grid.
    seen: (h, w), where that shows anything. linear: blur averages linear light. free: target and reference
    may differ in softness.
    """

    def __init__(
        self, target: Image, sharp: Image, seen: NDArray[np.bool_], *, linear: bool, free: bool
    ) -> None:
        self._target = _Compared(_soft(target), seen, free=free)
        self._sharp = to_light(_soft(sharp), linear)
        self._linear = linear
        reduced = shrink(seen.astype(np.float32), _REDUCTION) > 0.99
        self._small_target = _Compared(shrink(target, _REDUCTION), reduced, free=True)
        self._small_sharp = to_light(shrink(sharp, _REDUCTION), linear)

    def relative_softness(self, way: Way) -> float:
        """Return the softness that suits the view blurred along a way best."""
        return self._target.compare(self._along(self._sharp, way))[1]

    def best(self) -> tuple[float, Way]:
        """Return the least difference, and the way (x, y) that leaves it, pixels."""
        _, (x, y) = _least(self._small, [(0.0, 0.0), *_spokes(_LONG)], _COARSE_STEPS)
        start = [(x * _REDUCTION, y * _REDUCTION)]
        if math.hypot(x, y) <= _LONG[0]:
            start = [(0.0, 0.0), *start, *_spokes(_SHORT)]
        return _least(self._full, start, _FINE_STEPS)

    def _full(self, way: Way) -> float:
        return self._target.compare(self._along(self._sharp, way))[0]

    def _small(self, way: Way) -> float:
        return self._small_target.compare(self._along(self._small_sharp, way))[0]

    def _along(self, light: Image, way: Way) -> Image:
        blurred = cv2.filter2D(light, -1, line(way), borderType=cv2.BORDER_REPLICATE)
        return from_light(np.asarray(blurred, np.float32), self._linear)


class _Compared:
    """A picture (h, w) that views of the same are compared with, where they are `seen`.

    free: views may be as soft or sharp as suits them.
    """

    def __init__(self, target: Image, seen: NDArray[np.bool_], *, free: bool) -> None:
        self._free = free
        self._seen = seen.copy()
        for side in (self._seen, self._seen.T):
            side[:_BORDER] = side[-_BORDER:] = False
        self._level = _level(target[self._seen])

    def compare(self, view: Image) -> tuple[float, float]:
        """Return the mean difference to a view, 0..1, and its softness, under gain, bias and that if free."""
        if not self._level.size:
            return 1.0, 0.0
        x, y = _level(view[self._seen]), _level(_laplacian(view)[self._seen])
        xx, xy, yy = (float(a @ b) for a, b in ((x, x), (x, y), (y, y)))
        right = np.array([x @ self._level, y @ self._level], np.float64)
        if self._free:
            gain, softer = np.linalg.solve(np.array([[xx + _NONE, xy], [xy, yy + _NONE]]), right)
        else:
            gain, softer = right[0] / (xx + _NONE), 0.0
        left = self._level - np.float32(gain) * x - np.float32(softer) * y
        return float(np.minimum(np.abs(left), np.float32(_MAX)).mean()), float(softer / max(gain, 1e-3))


def difference(target: Image, view: Image, seen: NDArray[np.bool_]) -> float:
    """Return the mean difference of a target and a view on its grid where it is `seen`, 0..1.

    Under the gain, bias and softness that suit it best.
    """
    return _Compared(_soft(target), seen, free=True).compare(_soft(view))[0]


def matched(target: Image, relative_softness: float) -> Image:
    """Return a target as soft as the reference is."""
    return np.asarray(target - np.float32(relative_softness) * _laplacian(target), np.float32)


def _laplacian(image: Image) -> Image:
    return np.asarray(cv2.Laplacian(image, cv2.CV_32F), np.float32)


def _level(values: Image) -> Image:
    return values - values.mean() if values.size else values


def _spokes(lengths: Sequence[float]) -> list[Way]:
    turn = math.pi / _DIRECTIONS
    return [(n * math.cos(turn * i), n * math.sin(turn * i)) for n in lengths for i in range(_DIRECTIONS)]


def _least(left: Callable[[Way], float], tried: Sequence[Way], steps: Sequence[float]) -> tuple[float, Way]:
    """Return the least of `left` and its way: the best of those tried, improved by steps."""
    best = min((left(way), way) for way in tried)
    for step in steps:
        for _ in range(_MAX_STEPS):
            x, y = best[1]
            around = [(x + step * dx, y + step * dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
            nearest = min((left(way), way) for way in around)
            if nearest[0] >= best[0]:
                break
            best = nearest
    return best


def _soft(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SOFT_PX), np.float32)


def find_linear_blur(
    target: Image, reblur: Reblur, u: Image, v: Image, middle: float, exposure: Exposure
) -> Way:
    """Return the way (canvas pixels per interval) that blurs a view like the target, beyond its own motion.

    target: (h, w) luma 0..1, as soft as the reference. reblur: luma of the reference. u, v: (h, w), where
    target pixels lie on its canvas. middle: of the target's exposure, intervals. Both directions of a line
    blur alike: the one nearer to the motion counts.
    """
    sharp = sample(reblur.instant(middle), u, v)
    seen = within(reblur.frames[0].image, u, v)
    _, (x, y) = LinearBlurSearch(target, sharp, seen, linear=exposure.linear, free=False).best()
    to_canvas = np.array([[_slope(u, 1), _slope(u, 0)], [_slope(v, 1), _slope(v, 0)]])
    whole = to_canvas @ np.array([x, y]) / exposure.length
    shown = reblur.velocity(middle)
    if whole @ shown < 0:
        whole = -whole
    found = whole - shown
    return float(found[0]), float(found[1])


def _slope(places: Image, axis: int) -> float:
    return float(np.diff(places, axis=axis).mean())


def line(way: Way) -> NDArray[np.float32]:
    """Return the kernel, of odd sides and sum 1, of a blur along a straight `way` (x, y) in pixels."""
    reach = math.ceil(max(abs(way[0]), abs(way[1])) / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    count = max(3, math.ceil(4 * math.hypot(*way)))
    for share in (np.arange(count) + 0.5) / count - 0.5:
        x, y = reach + way[0] * share, reach + way[1] * share
        column, row = int(x), int(y)
        right, down = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - down, down], [1 - right, right])
    return kernel / np.float32(count)
