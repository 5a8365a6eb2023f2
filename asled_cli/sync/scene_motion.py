"""Scene motion seen by two lenses: mean brightness of coarse cells of the common view over time.

A moving object changes the same cells of both pictures at the same time, with a moving or fixed camera.
Blur hardly changes the mean of a large cell. Cells are much larger than the error of a guessed geometry.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, resize_matrix
from asled_cli.sync.correlation import CurveMatch, Curves, match_changes

LONG_SIDE = 128  # pixels of the thumbnails
_CELLS = 16  # along the longer side
_PIXELS = 8  # samples of the reference per cell and direction
# Change of all cells together, 8-bit codes per second, below which nothing moves. Measured: 20 to 60 for
# noise of 3 codes per pixel and compressed still pictures; 290 to 3200 for 11 real clips.
_STILL_PER_S = 120.0
# Standard errors, counted as if there were one cell. Measured: below 0.7 for unrelated clips, 4 and more for
# clips of one recording.
_MIN_SIGNIFICANCE = 3.0


def match_scenes(target: Curves, reference: Curves, near_s: float | None = None) -> CurveMatch | None:
    """Return the lag with the highest correlation of cell changes, None if a clip is too short.

    near_s: only lags within NEAR_S of it are searched, seconds.
    """
    return match_changes(
        target,
        reference,
        still_per_s=_STILL_PER_S,
        min_significance=_MIN_SIGNIFICANCE,
        near_s=near_s,
    )


def target_cells(times: NDArray[np.float64], pictures: Sequence[NDArray[np.uint8]]) -> Curves:
    """Return the cell brightness of the target.

    times: (N,) seconds. pictures: N thumbnails, (h, w) uint8.
    """
    grid = _grid(pictures[0].shape)
    return _cells(times, [_shrink(picture.astype(np.float32), grid) for picture in pictures])


def reference_cells(
    times: NDArray[np.float64],
    pictures: Sequence[NDArray[np.uint8]],
    place: Matrix,
    target_shape: tuple[int, ...],
) -> Curves:
    """Return the brightness of the target's cells in the reference's thumbnails.

    times: (N,) seconds. pictures: N, (h, w) uint8. place: (3, 3) map from target to reference pixels of the
    thumbnails. target_shape: (h, w) of the target's thumbnails.
    """
    grid = _grid(target_shape)
    fine = (grid[0] * _PIXELS, grid[1] * _PIXELS)
    matrix = place @ resize_matrix(fine, (target_shape[1], target_shape[0]))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cells = []
    for picture in pictures:
        seen = cv2.warpPerspective(
            picture.astype(np.float32), matrix, fine, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        cells.append(_shrink(np.asarray(seen, np.float32), grid))
    return _cells(times, cells)


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (columns, rows) of nearly square cells."""
    height, width = shape[:2]
    side = max(width, height) / _CELLS
    return max(2, round(width / side)), max(2, round(height / side))


def _shrink(picture: Image, grid: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(picture, grid, interpolation=cv2.INTER_AREA), np.float32)


def _cells(times: NDArray[np.float64], cells: Sequence[Image]) -> Curves:
    """Return the cells minus their mean, which removes exposure changes of one camera."""
    values = np.stack(cells).reshape(len(cells), -1).astype(np.float64)
    return Curves(times, values - values.mean(axis=1, keepdims=True))
