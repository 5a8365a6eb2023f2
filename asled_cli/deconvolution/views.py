"""The frames around a target frame, warped to its pixels, with the blur each of them has there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.align_neighbours import blurred
from asled_cli.deconvolution.camera_path import CameraPath, apply_to_points
from asled_cli.deconvolution.wiener import View
from asled_cli.imaging.homography import Image, Matrix, resize_matrix, translation
from asled_cli.runtime.stages import map_in_threads

_SPACING_PX, _FEWEST, _MOST = 2.0, 5, 31  # instants of an exposure
_APPLIED = 16
_EDGE_PX = 2  # pixels along a frame's border that no interpolation reaches cleanly


@dataclass(frozen=True)
class PathBlur:
    """A `Blur` by one homography per instant.

    maps: target pixel -> where each instant of the exposure samples the sharp frame. size: (width, height).
    """

    maps: Sequence[Matrix]
    size: tuple[int, int]

    def moves(self, points: NDArray[np.float64], around_px: int) -> NDArray[np.float64]:
        """Return (N, U, 2): how far from each of `points` (N, 2) each instant samples the sharp frame."""
        return np.stack([apply_to_points(m, points) - points for m in self.maps], 1)

    def applied(self, picture: Image) -> Image:
        """Return a picture of any size, (h, w, C), blurred by at most _APPLIED of the instants."""
        down = resize_matrix(self.size, (picture.shape[1], picture.shape[0]))
        up = np.linalg.inv(down)
        some = self.maps[:: -(-len(self.maps) // _APPLIED)]
        return blurred(picture, [np.asarray(down @ matrix @ up, np.float64) for matrix in some])


@dataclass(frozen=True)
class Planes:
    """One frame in linear light: luma (H, W), and tint at half size or None, as in `View`."""

    luma: Image
    tint: Image | None = None


def blur_length(path: CameraPath, time: float, exposure: float) -> float:
    """Return how far the middle of a frame's picture moves during its exposure, pixels of the path's size."""
    middle = np.array([[path.size[0] / 2, path.size[1] / 2]])
    seen = [apply_to_points(m, middle) for m in path.instants(time, exposure, 7)]
    return sum(float(np.hypot(*(b - a)[0])) for a, b in pairwise(seen)) * 7 / 6


def instants_of(length_px: float) -> int:
    """Return how many instants of an exposure stand for a blur of a length in pixels."""
    return int(np.clip(np.ceil(length_px / _SPACING_PX), _FEWEST, _MOST))


def views(
    frames: Mapping[int, Planes],
    target: int,
    path: CameraPath,
    exposure: float,
    shifts: Mapping[int, NDArray[np.float64]] | None = None,
) -> list[View]:
    """Return the frames, by their times, as views of the sharp frame at time `target`, in their order.

    path: of any size with the frames' aspect ratio; exposure in frame intervals. shifts: (x, y), pixels of
    the path's size by which each view is moved from where the path has it.
    """
    height, width = frames[target].luma.shape
    down = resize_matrix((width, height), path.size)
    up = np.linalg.inv(down)

    def view(time: int) -> View:
        count = instants_of(blur_length(path, time, exposure) * width / path.size[0])
        pose = path.pose(time)
        back = np.linalg.inv(pose) @ down
        moves = [up @ m @ back for m in path.instants(time, exposure, count)]
        there = np.eye(3) if shifts is None else translation(*shifts[time])
        return _view(frames[time], frames[target], up @ there @ pose @ down, moves)

    return map_in_threads(view, list(frames))


def _view(frame: Planes, target: Planes, pose: Matrix, moves: list[Matrix]) -> View:
    """Return a frame warped by `pose`; where it shows nothing, the target stands in."""
    size = frame.luma.shape[1], frame.luma.shape[0]
    luma, tint = _warped(frame.luma, target.luma, pose), None
    if frame.tint is not None and target.tint is not None:
        half = frame.tint.shape[1], frame.tint.shape[0]
        down = resize_matrix((2 * half[0], 2 * half[1]), half)
        tint = _warped(frame.tint, target.tint, down @ pose @ np.linalg.inv(down))
    return View(luma, tint, _cover(pose, size), PathBlur(moves, size))


def _warped(plane: Image, base: Image, pose: Matrix) -> Image:
    size = plane.shape[1], plane.shape[0]
    warped = cv2.warpPerspective(
        plane, pose, size, base.copy(), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
    )
    return np.asarray(warped, np.float32)


def _cover(pose: Matrix, size: tuple[int, int]) -> Image:
    """Return (H, W) 0..1: where a frame warped by `pose` shows the scene."""
    cells = (size[0] + 7) // 8, (size[1] + 7) // 8
    x, y = np.meshgrid(*((np.arange(count) + 0.5) * 8 for count in cells))
    points = np.asarray(np.stack([x.ravel(), y.ravel()], 1), np.float64)
    at = apply_to_points(np.asarray(np.linalg.inv(pose), np.float64), points)
    inside = ((at >= _EDGE_PX) & (at <= np.array(size, np.float64) - 1 - _EDGE_PX)).all(1)
    grid = inside.reshape(cells[1], cells[0]).astype(np.float32)
    return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR), np.float32)
