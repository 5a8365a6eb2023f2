"""Camera motion from frame to frame: shift, roll and zoom of thumbnails.

A robust fit to dense optical flow. Blur and moving objects would bias a plain least-squares fit.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.homography import Image, pixel_grid

LONG_SIDE = 256  # pixels of the thumbnails; hand shake is about 0.1 pixel there
_STRIDE = 4  # pixels between the samples of the flow
_ROUNDS = 4  # of reweighted least squares
_FLAT = 2.0  # gradient, 8-bit codes per pixel; flow is uncertain below it


@dataclass(frozen=True)
class MotionCurve:
    """Camera motion between neighbouring frames.

    times: (N + 1,) float64, of the frames, seconds.
    steps: (N, 4) float64, from each frame to the next: shift x and y as shares of the longer side, roll in
    radians, natural logarithm of the zoom.
    """

    times: NDArray[np.float64]
    steps: NDArray[np.float64]


def small_size(width: int, height: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """Return (width, height) of the thumbnail on which motion is measured, 16 pixels or more a side."""
    factor = max(1.0, max(width, height) / long_side)
    return max(16, round(width / factor)), max(16, round(height / factor))


class CameraMotion:
    """The camera motion of a clip whose thumbnails are given one by one. Holds one picture."""

    def __init__(self) -> None:
        self._flow = DenseFlow("fast")
        self._times: list[float] = []
        self._steps: list[NDArray[np.float64]] = []
        self._last: NDArray[np.uint8] | None = None

    def add(self, time_s: float, picture: NDArray[np.uint8]) -> None:
        """Take the next thumbnail, grey (h, w)."""
        if self._last is not None:
            self._steps.append(_fit(self._last, self._flow.between(self._last, picture)))
        self._times.append(time_s)
        self._last = picture

    @property
    def curve(self) -> MotionCurve:
        """Return the motion so far."""
        return MotionCurve(np.array(self._times), np.array(self._steps).reshape(-1, 4))


def _fit(first: NDArray[np.uint8], flow: Image) -> NDArray[np.float64]:
    """Return shift, roll and zoom (4,) of a flow field (h, w, 2), by reweighted least squares."""
    height, width = first.shape
    gx = cv2.Sobel(first, cv2.CV_32F, 1, 0, scale=1 / 8)[::_STRIDE, ::_STRIDE]
    gy = cv2.Sobel(first, cv2.CV_32F, 0, 1, scale=1 / 8)[::_STRIDE, ::_STRIDE]
    texture = np.minimum(np.hypot(gx, gy) / _FLAT, 1).ravel() + 1e-3
    x, y = (g[::_STRIDE, ::_STRIDE].ravel() - (n - 1) / 2
            for g, n in zip(pixel_grid((width, height)), (width, height), strict=True))  # fmt: skip
    u, v = (flow[::_STRIDE, ::_STRIDE, i].ravel().astype(np.float64) for i in (0, 1))
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([one, none, -y, x], 1), np.stack([none, one, x, y], 1)])
    seen = np.concatenate([u, v])
    found = np.array([np.median(u), np.median(v), 0.0, 0.0])
    for _ in range(_ROUNDS):
        miss = (seen - rows @ found).reshape(2, -1)
        distance = np.hypot(*miss)
        scale = 1.5 * float(np.median(distance)) + 0.02
        weight = np.tile(texture / (1 + (distance / scale) ** 2) ** 2, 2)[:, None]
        found = np.linalg.solve(rows.T @ (weight * rows) + 1e-6 * np.eye(4), (weight * rows).T @ seen)
    return np.asarray(found / np.array([max(width, height), max(width, height), 1.0, 1.0]))
