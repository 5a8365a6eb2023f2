"""Views whose blur was found from the frames, instead of the camera's path or near it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import CameraPath, apply_to_points
from asled_cli.deconvolution.free.blur_fit import find_blurs, find_rest, length, length_of
from asled_cli.deconvolution.free.detail_tiles import band_of
from asled_cli.deconvolution.free.motion_model import INSTANTS, Shifts, basis, motion_near
from asled_cli.deconvolution.views import PathBlur, Planes, instants_of, views
from asled_cli.deconvolution.wiener import View
from asled_cli.imaging.homography import Image, Matrix, resize_matrix, translation

_STAYS_PX = 0.02


@dataclass(frozen=True)
class FreeViews:
    """Views with blurs of their own.

    lengths: of the blurs, in pixels of the path's size. middle_px: from the target's middle instant to its
    mean, in the same pixels.
    """

    views: list[View]
    lengths: list[float]
    middle_px: float


def free_views(
    found: Sequence[View], times: Sequence[int], target: int, path: CameraPath, exposure: float
) -> FreeViews:
    """Return the views with blurs of their own.

    found: the frames at `times` as views of found[target]. The path gives the turn within the exposures.
    """
    lumas = [_reduced(view.luma, path.size) for view in found]
    covers = [_reduced(view.cover, path.size) for view in found]
    band, centres = band_of(lumas, covers, target)
    turns = np.stack([_turn(path, time, exposure, centres, INSTANTS) for time in times])
    shifts = find_blurs(band, turns, exposure)
    shifts[:, 0] -= shifts[target, 0]
    lengths = [length(shift) for shift in shifts]
    motion = _Motion(path, exposure, shifts, target, lengths, along=False)
    scale = found[0].luma.shape[1] / path.size[0]
    moved = [_moved(view, shift[0] * scale) for view, shift in zip(found, shifts, strict=True)]
    return FreeViews(motion.of(moved, times), lengths, motion.middle_px)


def views_near_path(
    frames: Mapping[int, Planes],
    target: int,
    path: CameraPath,
    exposure: float,
    *,
    reduced: Mapping[int, Image],
) -> FreeViews:
    """Return views along a path with what their frames tell of the motion between its poses.

    Arguments as of `views`. reduced: luma of the frames in the path's size. A hand shakes at up to 12 Hz:
    frames are too few to tell all of it, above all at the ends of a scene.
    """
    times, place = list(frames), list(frames).index(target)
    small = views({k: Planes(luma) for k, luma in reduced.items()}, target, path, exposure)
    band, centres = band_of([view.luma for view in small], [view.cover for view in small], place)
    moves = np.stack([_moves(path, time, exposure, centres, INSTANTS) for time in times])
    shifts = find_rest(band, moves, motion_near(path, times, exposure))
    shifts[:, 0] -= shifts[place, 0]
    along = (_along(path, time, exposure, INSTANTS) for time in times)
    lengths = [length_of(way + basis(INSTANTS) @ shift) for way, shift in zip(along, shifts, strict=True)]
    motion = _Motion(path, exposure, shifts, place, lengths, along=True)
    moved = views(frames, target, path, exposure, {k: s[0] for k, s in zip(times, shifts, strict=True)})
    return FreeViews(motion.of(moved, times), lengths, motion.middle_px)


@dataclass(frozen=True)
class _Motion:
    """Motion of frames: `shifts` (K, 3, 2) with the path's turn, `along` it or not; pixels of its size."""

    path: CameraPath
    exposure: float
    shifts: Shifts
    target: int
    lengths: Sequence[float]
    along: bool

    @property
    def middle_px(self) -> float:
        """How far the target's middle instant is from its mean."""
        return float(np.hypot(*self._middle_shift))

    @property
    def _middle_shift(self) -> NDArray[np.float64]:
        return np.asarray(basis(INSTANTS)[INSTANTS // 2, 1:] @ self.shifts[self.target, 1:])

    def of(self, found: Sequence[View], times: Sequence[int]) -> list[View]:
        """Return views of the frames at `times`, moved to where this motion has them, with its blurs."""
        size = found[0].luma.shape[1], found[0].luma.shape[0]
        scale, down = size[0] / self.path.size[0], resize_matrix(size, self.path.size)
        up, middle = np.linalg.inv(down), self._middle_shift  # the sharp frame: the target's middle instant
        blurred = []
        for view, time, shift, px in zip(found, times, self.shifts, self.lengths, strict=True):
            count = instants_of(px * scale)
            own = basis(count)[:, 1:] @ shift[1:] - middle
            if not self.along:
                own -= _along(self.path, time, self.exposure, count)
            maps = _maps(self.path, time, self.exposure, count)
            steps = [up @ translation(*o) @ m @ down for o, m in zip(own, maps, strict=True)]
            blurred.append(replace(view, blur=PathBlur(steps, size)))
        return blurred


def _moved(view: View, by: NDArray[np.float64]) -> View:
    """Return a view moved by (x, y) pixels: its frame was registered that far off."""
    if np.abs(by).max() < _STAYS_PX:
        return view
    tint = None if view.tint is None else _shifted(view.tint, by / 2)
    return replace(view, luma=_shifted(view.luma, by), tint=tint, cover=_shifted(view.cover, by))


def _shifted(plane: Image, by: NDArray[np.float64]) -> Image:
    size = plane.shape[1], plane.shape[0]
    matrix = translation(*by)[:2]
    moved = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _maps(path: CameraPath, time: int, exposure: float, count: int) -> list[Matrix]:
    back = np.linalg.inv(path.pose(time))
    return [m @ back for m in path.instants(time, exposure, count)]


def _middle(path: CameraPath) -> NDArray[np.float64]:
    return np.array([[(path.size[0] - 1) / 2, (path.size[1] - 1) / 2]])


def _turn(
    path: CameraPath, time: int, exposure: float, points: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return (N, U, 2): how the path moves points over an exposure, less the picture's middle."""
    return _moves(path, time, exposure, points, count) - _moves(path, time, exposure, _middle(path), count)


def _moves(
    path: CameraPath, time: int, exposure: float, points: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return (N, U, 2): how the path moves points over an exposure."""
    return np.stack([apply_to_points(m, points) - points for m in _maps(path, time, exposure, count)], 1)


def _along(path: CameraPath, time: int, exposure: float, count: int) -> NDArray[np.float64]:
    """Return (U, 2): how the path moves the picture's middle over an exposure."""
    return np.asarray(_moves(path, time, exposure, _middle(path), count)[0])


def _reduced(plane: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
