"""Linear motion blur kernel of a frame, estimated by comparing the frame with a sharp view of the scene.

It is used for EIS clips, where the motion between frames does not show the blur. The kernel is found by
direct search over blur vectors: (x, y) from one end of the kernel to the other, in pixels.
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

BlurVector = tuple[float, float]

# Kernel lengths (pixels) of the first candidates: short ones at full size, long ones at reduced size.
_SHORT_PX = (1.0, 2.0, 3.0)
_LONG_PX = (2.0, 3.0, 5.0, 7.5, 11.0)
# Reduction of the pictures for the long kernels.
_REDUCTION = 2
# Directions of the first candidates over 180 degrees.
_DIRECTIONS = 8
# Step sizes of the pattern search (pixels) at reduced and at full size, and the most steps of each size.
_COARSE_STEPS = (1.0, 0.5)
_FINE_STEPS = (0.5, 0.25)
_MAX_STEPS = 4
# Sigma of the Gaussian that suppresses noise, pixels.
_SOFT_PX = 0.7
# Keeps the fit of gain and softness regular for a picture without detail.
_MIN_ENERGY = 1e-6
# Differences (0..1) count up to here, since moving objects have another blur.
_MAX_DIFFERENCE = 0.1
# Pixels left out at each edge, where the blur reaches past the picture.
_BORDER = 6


class LinearBlurSearch:
    """Direct search for the linear motion blur kernel that makes a sharp view most similar to a target.

    target: (h, w) luma 0..1. sharp: (h, w) the reference at the middle of the target's exposure, on its grid.
    seen: (h, w), True where the reference shows the scene. linear: blur averages linear light.
    free: target and reference may differ in softness.
    """

    def __init__(
        self, target: Image, sharp: Image, seen: NDArray[np.bool_], *, linear: bool, free: bool
    ) -> None:
        self._target = _Comparison(_smooth(target), seen, free=free)
        self._sharp = to_light(_smooth(sharp), linear)
        self._linear = linear
        reduced = shrink(seen.astype(np.float32), _REDUCTION) > 0.99
        self._small_target = _Comparison(shrink(target, _REDUCTION), reduced, free=True)
        self._small_sharp = to_light(shrink(sharp, _REDUCTION), linear)

    def relative_softness(self, vector: BlurVector) -> float:
        """Return how much softer the target is than the view blurred by `vector`; negative: sharper."""
        return self._target.compare(self._blur(self._sharp, vector))[1]

    def search(self) -> tuple[float, BlurVector]:
        """Return the lowest residual (0..1), and the blur vector (x, y) in pixels that gives it."""
        _, (x, y) = _minimise(self._small, [(0.0, 0.0), *_candidates_of_lengths(_LONG_PX)], _COARSE_STEPS)
        start = [(x * _REDUCTION, y * _REDUCTION)]
        if math.hypot(x, y) <= _LONG_PX[0]:
            start = [(0.0, 0.0), *start, *_candidates_of_lengths(_SHORT_PX)]
        return _minimise(self._full, start, _FINE_STEPS)

    def _full(self, vector: BlurVector) -> float:
        return self._target.compare(self._blur(self._sharp, vector))[0]

    def _small(self, vector: BlurVector) -> float:
        return self._small_target.compare(self._blur(self._small_sharp, vector))[0]

    def _blur(self, light: Image, vector: BlurVector) -> Image:
        blurred = cv2.filter2D(light, -1, linear_kernel(vector), borderType=cv2.BORDER_REPLICATE)
        return from_light(np.asarray(blurred, np.float32), self._linear)


class _Comparison:
    """A picture (h, w) to which views of the same scene are compared where it is `seen`.

    free: fit the softness of the view too, as a factor of its Laplacian.
    """

    def __init__(self, target: Image, seen: NDArray[np.bool_], *, free: bool) -> None:
        self._free = free
        self._seen = seen.copy()
        for side in (self._seen, self._seen.T):
            side[:_BORDER] = side[-_BORDER:] = False
        self._zero_mean = _zero_mean(target[self._seen])

    def compare(self, view: Image) -> tuple[float, float]:
        """Return the mean absolute residual 0..1 and the softness after a fit.

        Gain and bias are fitted, and the softness if `free`.
        """
        if not self._zero_mean.size:
            return 1.0, 0.0
        x, y = _zero_mean(view[self._seen]), _zero_mean(_laplacian(view)[self._seen])
        xx, xy, yy = (float(a @ b) for a, b in ((x, x), (x, y), (y, y)))
        right = np.array([x @ self._zero_mean, y @ self._zero_mean], np.float64)
        if self._free:
            gain, softer = np.linalg.solve(np.array([[xx + _MIN_ENERGY, xy], [xy, yy + _MIN_ENERGY]]), right)
        else:
            gain, softer = right[0] / (xx + _MIN_ENERGY), 0.0
        residual = self._zero_mean - np.float32(gain) * x - np.float32(softer) * y
        return float(np.minimum(np.abs(residual), np.float32(_MAX_DIFFERENCE)).mean()), float(
            softer / max(gain, 1e-3)
        )


def difference(target: Image, view: Image, seen: NDArray[np.bool_]) -> float:
    """Return the mean absolute residual 0..1 of target and view after a fit of gain, bias and softness.

    target, view: (h, w) luma 0..1. seen: (h, w), pixels to compare.
    """
    return _Comparison(_smooth(target), seen, free=True).compare(_smooth(view))[0]


def match_softness(target: Image, relative_softness: float) -> Image:
    """Return a target (h, w) made as soft as the reference, by a factor of its Laplacian."""
    return np.asarray(target - np.float32(relative_softness) * _laplacian(target), np.float32)


def _laplacian(image: Image) -> Image:
    return np.asarray(cv2.Laplacian(image, cv2.CV_32F), np.float32)


def _zero_mean(values: Image) -> Image:
    return values - values.mean() if values.size else values


def _candidates_of_lengths(lengths: Sequence[float]) -> list[BlurVector]:
    turn = math.pi / _DIRECTIONS
    return [(n * math.cos(turn * i), n * math.sin(turn * i)) for n in lengths for i in range(_DIRECTIONS)]


def _minimise(
    residual: Callable[[BlurVector], float], candidates: Sequence[BlurVector], steps: Sequence[float]
) -> tuple[float, BlurVector]:
    """Return the lowest residual and its vector: pattern search from the best of the candidates.

    steps: step sizes in pixels, in order.
    """
    search = min((residual(vector), vector) for vector in candidates)
    for step in steps:
        for _ in range(_MAX_STEPS):
            x, y = search[1]
            around = [(x + step * dx, y + step * dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
            nearest = min((residual(vector), vector) for vector in around)
            if nearest[0] >= search[0]:
                break
            search = nearest
    return search


def _smooth(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SOFT_PX), np.float32)


def find_linear_blur(
    target: Image, reblur: Reblur, u: Image, v: Image, middle: float, exposure: Exposure
) -> BlurVector:
    """Return the velocity (x, y), canvas pixels per interval, of the camera beyond the motion between frames.

    It blurs a sharp view like the target. Both directions of a linear kernel give the same blur; the one
    nearer to the motion between frames is taken.

    target: (h, w) luma 0..1, as soft as the reference. reblur: luma of the reference.
    u, v: (h, w), canvas position of target pixels. middle: of the target's exposure, intervals.
    """
    sharp = sample(reblur.instant(middle), u, v)
    seen = within(reblur.frames[0].image, u, v)
    _, (x, y) = LinearBlurSearch(target, sharp, seen, linear=exposure.linear, free=False).search()
    to_canvas = np.array([[_slope(u, 1), _slope(u, 0)], [_slope(v, 1), _slope(v, 0)]])
    whole = to_canvas @ np.array([x, y]) / exposure.length
    shown = reblur.velocity(middle)
    if whole @ shown < 0:
        whole = -whole
    found = whole - shown
    return float(found[0]), float(found[1])


def _slope(places: Image, axis: int) -> float:
    return float(np.diff(places, axis=axis).mean())


def linear_kernel(vector: BlurVector) -> NDArray[np.float32]:
    """Return the linear motion blur kernel of `vector` (x, y) pixels: odd sides, sum 1."""
    reach = math.ceil(max(abs(vector[0]), abs(vector[1])) / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    count = max(3, math.ceil(4 * math.hypot(*vector)))
    for share in (np.arange(count) + 0.5) / count - 0.5:
        x, y = reach + vector[0] * share, reach + vector[1] * share
        column, row = int(x), int(y)
        right, down = x - column, y - row
        kernel[row : row + 2, column : column + 2] += np.outer([1 - down, down], [1 - right, right])
    return kernel / np.float32(count)
