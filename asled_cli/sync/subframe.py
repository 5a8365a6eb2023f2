"""Sub-frame time offset and geometry, solved together on thumbnails (Gauss-Newton over many times).

Solved one after the other, an error of one biases the other: if the camera moves towards the scene, a
field-of-view ratio wrong by 1 % shifts the offset by many milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.warp import sample, sample_with_gradient
from asled_cli.registration.geometry.solver import robust_weight

_MOMENTS = 48  # times at which the clips are compared, at most
_MIN_MOMENTS = 8  # fewer do not determine time and geometry
_ROUNDS = 6  # of Gauss-Newton
_SOFT_PX = 1.0  # sigma of the Gaussian over the reference, pixels
_PIXEL_SIGMA = 0.53  # sigma of the softness by sampling, pixels; see registration/geometry/canvas.py
_SPREAD = 1.0  # sigma of the Gaussian over time, frame intervals of the slower clip
_REACH = 3.0  # half width of that Gaussian, sigmas
_SIMILARITY = 4  # parameters of a similarity


@dataclass(frozen=True)
class SmallClip:
    """Thumbnails of a clip. times: (N,) seconds, increasing. pictures: N grey ones, (h, w) uint8."""

    times: NDArray[np.float64]
    pictures: Sequence[NDArray[np.uint8]]

    @cached_property
    def interval_s(self) -> float:
        """Median time from picture to picture, seconds."""
        return float(np.median(np.diff(self.times)))

    def at(self, time_s: float, spread_s: float, soft_px: float) -> tuple[Image, Image] | None:
        """Return the picture (0..1) at a time and its change per second; None outside of the clip.

        spread_s: sigma of the temporal Gaussian, seconds. soft_px: sigma of the spatial one, pixels.
        Linear interpolation would be sharp at frame times and soft between, which would bias the offset.
        """
        if not self.times[0] <= time_s <= self.times[-1]:
            return None
        reach = _REACH * spread_s
        low, high = np.searchsorted(self.times, [time_s - reach, time_s + reach])
        apart = (self.times[low:high] - time_s) / spread_s
        weights = np.exp(-0.5 * apart**2)
        weights /= weights.sum()
        slopes = weights * (apart - weights @ apart) / spread_s
        pictures = np.stack(self.pictures[low:high]).astype(np.float32)
        mean, change = (np.tensordot(w.astype(np.float32), pictures, 1) for w in (weights, slopes))
        return _soft(mean, soft_px), _soft(change, soft_px)


def solve_clock(
    target: SmallClip, reference: SmallClip, offset_s: float, place: Matrix
) -> tuple[float, Matrix] | None:
    """Return the refined offset, seconds, and similarity, (3, 3) from target to reference pixels.

    offset_s: seconds by which the reference started after the target, correct to about a frame. place: first
    guess of the similarity. None if the clips overlap too little, or if the offset moves by over a frame.
    """
    interval = max(target.interval_s, reference.interval_s)
    spread = _SPREAD * interval
    first = max(target.times[0], reference.times[0] + offset_s)
    last = min(target.times[-1], reference.times[-1] + offset_s)
    shared = np.flatnonzero((target.times >= first + interval) & (target.times <= last - interval))
    if len(shared) < _MIN_MOMENTS:
        return None
    chosen = shared[np.unique(np.linspace(0, len(shared) - 1, _MOMENTS).astype(int))]
    # Both must be equally soft in the scene: a sharper view would be fitted as larger, which biases the time.
    coarse = 1 / float(np.sqrt(abs(np.linalg.det(place[:2, :2] / place[2, 2]))))
    soft_px = float(np.hypot(_SOFT_PX * coarse, _PIXEL_SIGMA * np.sqrt(max(coarse**2 - 1, 0))))
    times = [float(target.times[i]) for i in chosen]
    targets = [(time, seen[0]) for time in times if (seen := target.at(time, spread, soft_px)) is not None]
    found, matrix = offset_s, place / place[2, 2]
    gain, bias = 1.0, 0.0
    for _ in range(_ROUNDS):
        step = _step(targets, reference, found, spread, matrix, gain, bias)
        if step is None:
            return None
        matrix = matrix + np.array([[step[0], -step[1], step[2]], [step[1], step[0], step[3]], [0, 0, 0]])
        # A positive step means that the reference started earlier.
        found -= float(np.clip(step[4], -interval / 2, interval / 2))
        gain, bias = gain + step[5], bias + step[6]
    return (found, matrix) if abs(found - offset_s) < interval else None


def _step(
    targets: Sequence[tuple[float, Image]],
    reference: SmallClip,
    offset_s: float,
    spread_s: float,
    matrix: Matrix,
    gain: float,
    bias: float,
) -> NDArray[np.float64] | None:
    """Return one Gauss-Newton step (7,): scale, rotation, shift x and y, time, gain, bias; None: singular."""
    count = _SIMILARITY + 3
    a, b = np.zeros((count, count)), np.zeros(count)
    height, width = targets[0][1].shape
    x, y = pixel_grid((width, height))
    u, v = apply(matrix, x, y)
    for time, picture in targets:
        seen = reference.at(time - offset_s, spread_s, _SOFT_PX)
        if seen is None:
            continue
        warped, gx, gy, inside = sample_with_gradient(seen[0], u, v)
        change = sample(seen[1], u, v)
        error = picture - (np.float32(gain) * warped + np.float32(bias))
        weight = np.sqrt(robust_weight(error, inside)).ravel()
        gx, gy, change = (np.float32(gain) * part for part in (gx, gy, change))
        columns = [gx * x + gy * y, gy * x - gx * y, gx, gy, change, warped, np.ones_like(warped)]
        rows = np.stack([column.ravel() for column in columns]) * weight
        a += rows @ rows.T
        b += rows @ (error.ravel() * weight)
    if not np.isfinite(a).all() or np.trace(a) <= 0:
        return None
    a[np.diag_indices_from(a)] *= 1 + 1e-4
    return np.asarray(np.linalg.solve(a + 1e-9 * np.eye(count), b))


def _soft(picture: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture * np.float32(1 / 255), (0, 0), sigma), np.float32)
