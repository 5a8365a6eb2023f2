"""Views whose blur was found from the frames alone instead of the camera's path."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import CameraPath, apply_to_points
from asled_cli.deconvolution.free.blur_fit import find_blurs, length
from asled_cli.deconvolution.free.detail_tiles import band_of
from asled_cli.deconvolution.free.motion_model import INSTANTS, basis
from asled_cli.deconvolution.views import PathBlur
from asled_cli.deconvolution.wiener import View
from asled_cli.imaging.homography import Image, Matrix, resize_matrix, translation

_COUNT = 15  # instants of an exposure
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
    band, centres = band_of(
        [_reduced(v.luma, path.size) for v in found], [_reduced(v.cover, path.size) for v in found], target
    )
    turns = np.stack([_turn(path, time, exposure, centres, INSTANTS) for time in times])
    shifts = find_blurs(band, turns, exposure)
    shifts[:, 0] -= shifts[target, 0]
    middle_shift = (
        basis(INSTANTS)[INSTANTS // 2, 1:] @ shifts[target, 1:]
    )  # the sharp frame: its middle instant
    size = found[0].luma.shape[1], found[0].luma.shape[0]
    down = resize_matrix(size, path.size)
    up = np.linalg.inv(down)
    views = []
    for view, time, shift in zip(found, times, shifts, strict=True):
        moved = _moved(view, shift[0] * (size[0] / path.size[0]))
        maps, middle = _maps(path, time, exposure, _COUNT), _middle(path)
        along = np.stack([apply_to_points(m, middle)[0] - middle[0] for m in maps])
        own = basis(_COUNT)[:, 1:] @ shift[1:] - along - middle_shift
        steps = [up @ translation(*o) @ m @ down for o, m in zip(own, maps, strict=True)]
        views.append(replace(moved, blur=PathBlur(steps, size)))
    return FreeViews(views, [length(shift) for shift in shifts], float(np.hypot(*middle_shift)))


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
    middle = _middle(path)
    maps = _maps(path, time, exposure, count)
    return np.stack(
        [apply_to_points(m, points) - points - apply_to_points(m, middle) + middle for m in maps], 1
    )


def _reduced(plane: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
