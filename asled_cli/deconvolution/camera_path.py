"""The camera's path through a window of frames, continuous in time, from the maps between neighbours.

A pose is a (3, 3) map from pixels of a frame to pixels of the window's target frame. Poses are fitted in the
positions of four corners, in which a homography between neighbours is nearly linear. What a registration of
blurred frames finds is the mean pose over an exposure, not the pose in its middle: the path is the smooth
curve whose means over the exposures are the poses that were found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix

# Usual error of a pose, and third difference of a path that shakes at up to 12 Hz; pixels of 640 across.
_POSE_ERROR_PX, _BEND_PX = 0.1, 20.0
_SMOOTHNESS = (_POSE_ERROR_PX / _BEND_PX) ** 2  # weight of the squared third difference
_MEAN_INSTANTS = 9
_MARGIN = 3  # knots beyond the first and last exposure, where only smoothness holds the path


@dataclass(frozen=True)
class CameraPath:
    """Positions of a frame's corners over time, in pixels of the target frame.

    knots: (K, 4, 2) corner positions at whole frame times `first`, `first` + 1, ... size: (width, height).
    target: frame time whose mid-exposure pixels are the coordinates.
    """

    knots: NDArray[np.float64]
    first: int
    size: tuple[int, int]
    target: int

    def pose(self, time: float) -> Matrix:
        """Return the map from pixels of a frame taken at `time` to pixels of the sharp target frame."""
        return np.asarray(np.linalg.inv(self._raw(self.target)) @ self._raw(time))

    def instants(self, time: float, exposure: float, count: int) -> list[Matrix]:
        """Return the poses at `count` instants spread evenly over the exposure of the frame at `time`."""
        home = np.linalg.inv(self._raw(self.target))
        return [home @ self._raw(time + u) for u in exposure_instants(exposure, count)]

    def blur(self, time: float, exposure: float, count: int) -> list[Matrix]:
        """Return the maps by which the scene moves within a frame, in its pixels, about their mean."""
        corners = np.stack([self._corners_at(time + u) for u in exposure_instants(exposure, count)])
        home = np.linalg.inv(_from_corners(corners.mean(0), self.size))
        return [home @ _from_corners(corner, self.size) for corner in corners]

    def knot_precision(self, exposure: float) -> NDArray[np.float64]:
        """Return (K, K), the inverse of the knots' covariance in one coordinate, 1 / pixels squared.

        exposure: of the frames whose poses the path was fitted to, frame intervals.
        """
        count = len(self.knots)
        means, _ = mean_weights(count - 2 * _margin(exposure), exposure)
        return _normal_matrix(means, _SMOOTHNESS) / _POSE_ERROR_PX**2

    def _corners_at(self, time: float) -> NDArray[np.float64]:
        weights = spline_weights(np.array([time - self.first]), len(self.knots))[0]
        return np.asarray(np.tensordot(weights, self.knots, 1))

    def _raw(self, time: float) -> Matrix:
        return _from_corners(self._corners_at(time), self.size)


def exposure_instants(exposure: float, count: int) -> NDArray[np.float64]:
    """Return the middles of `count` equal parts of an exposure centred at 0, frame intervals."""
    return np.asarray(((np.arange(count) + 0.5) / count - 0.5) * exposure)


def fit_path(
    poses: Sequence[Matrix], first: int, target: int, exposure: float, size: tuple[int, int]
) -> CameraPath:
    """Return the smooth path whose means over the exposures are `poses` of the frames from `first` on.

    poses: from pixels of each frame to those of any one frame. exposure: frame intervals.
    """
    seen = np.stack([_corners(pose, size) for pose in poses]).reshape(len(poses), 8)
    knots, margin = smooth_knots(seen, exposure, _SMOOTHNESS)
    return CameraPath(knots.reshape(len(knots), 4, 2), first - margin, size, target)


def smooth_knots(
    seen: NDArray[np.floating], exposure: float, smoothness: float
) -> tuple[NDArray[np.float64], int]:
    """Return the knots (K, D) of the smooth curve whose means over exposures are the rows of `seen` (T, D).

    exposure: frame intervals, at whole times. smoothness: weight of the squared third difference. Second: how
    many knots lie before the first row's time.
    """
    means, margin = mean_weights(len(seen), exposure)
    centre = seen.mean(0)  # where nothing else holds a knot
    away = np.linalg.solve(_normal_matrix(means, smoothness), means.T @ (seen - centre))
    return np.asarray(centre + away), margin


def _normal_matrix(means: NDArray[np.float64], smoothness: float) -> NDArray[np.float64]:
    count = means.shape[1]
    third = np.diff(np.eye(count), 3, axis=0)
    return np.asarray(means.T @ means + smoothness * third.T @ third + 1e-9 * np.eye(count))


def _margin(exposure: float) -> int:
    """Return how many knots of a path lie before the first frame's time, and as many after the last one's."""
    return _MARGIN + max(1, ceil(exposure / 2))


def mean_weights(frames: int, exposure: float) -> tuple[NDArray[np.float64], int]:
    """Return (frames, K): the weights of a spline's knots in its means over the frames' exposures.

    Second: how many knots lie before the first frame's time, and as many after the last one's.
    """
    margin = _margin(exposure)
    count = frames + 2 * margin
    times = np.arange(frames)[:, None] + exposure_instants(exposure, _MEAN_INSTANTS) + margin
    return spline_weights(times.ravel(), count).reshape(frames, _MEAN_INSTANTS, count).mean(1), margin


def chain(maps: Sequence[Matrix], home: int) -> list[Matrix]:
    """Return the maps from each of len(maps) + 1 frames to frame `home`; maps[k]: frame k -> frame k + 1."""
    poses: list[Matrix] = [np.eye(3)] * (len(maps) + 1)
    for k in range(home, len(maps)):
        poses[k + 1] = poses[k] @ np.linalg.inv(maps[k])
    for k in range(home - 1, -1, -1):
        poses[k] = poses[k + 1] @ maps[k]
    return poses


def spline_weights(times: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return (len(times), count): the weight of each of `count` knots, at times 0, 1, ..., of a B-spline.

    Quintic, by the recursion of C. de Boor, "A Practical Guide to Splines" (1978), on whole knots: below half
    the frame rate it follows a shake better than splines of lower order. Times must be 2 within the ends.
    """
    distance = np.abs(times[:, None] - np.arange(count, dtype=np.float64))
    weights = np.zeros_like(distance)
    for k, binomial in enumerate((1, -6, 15, -20, 15, -6, 1)):
        weights += binomial * np.maximum(3 - k + distance, 0) ** 5 / 120
    return np.where(distance < 3, weights, 0.0)


def _frame_corners(size: tuple[int, int]) -> NDArray[np.float64]:
    right, bottom = size[0] - 1.0, size[1] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


def _corners(pose: Matrix, size: tuple[int, int]) -> NDArray[np.float64]:
    return apply_to_points(pose, _frame_corners(size))


def _from_corners(corners: NDArray[np.float64], size: tuple[int, int]) -> Matrix:
    found = cv2.getPerspectiveTransform(_frame_corners(size).astype(np.float32), corners.astype(np.float32))
    return np.asarray(found, np.float64)


def apply_to_points(matrix: Matrix, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return where `matrix` takes points (N, 2)."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:])
