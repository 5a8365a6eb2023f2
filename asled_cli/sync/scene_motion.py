"""What moves in the scene, seen by two lenses: brightness of coarse cells of the common view over time.

A walker, a ball or the leaves change the same cells at the same moments in both pictures, whether the camera
moves or stands, and blur takes next to nothing from means of large cells. Cells are much larger than the
errors of a geometry that is only guessed.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, resize_matrix
from asled_cli.sync.correlation import CurveMatch, Curves, match_changes

LONG_SIDE = 128  # pixels of the small pictures that cells are means of
_CELLS = 16  # along the longer side
_PIXELS = 8  # of each cell and way, in which the reference is sampled
# Change of all cells together (8-bit codes per second) below which nothing moves: noise of 3 codes per pixel
# and H.264 of still pictures reach 20 to 60, 11 real clips, some from a tripod, 290 to 3200.
_STILL_PER_S = 120.0
# Unrelated real clips stayed below 0.7, those of one moment reached 4 and more. Stricter than it looks: the
# samples are counted as if there were one cell.
_MIN_SIGNIFICANCE = 3.0


def match_scenes(target: Curves, reference: Curves, near_s: float | None = None) -> CurveMatch | None:
    """Return the lag at which cells of the common view change alike; None where the clips are too short.

    near_s: only lags close to this one.
    """
    return match_changes(
        target,
        reference,
        still_per_s=_STILL_PER_S,
        least_significance=_MIN_SIGNIFICANCE,
        near_s=near_s,
    )


def target_cells(times: NDArray[np.float64], pictures: Sequence[NDArray[np.uint8]]) -> Curves:
    """Return the brightness of the cells of small grey pictures, (h, w) uint8 each, that see less."""
    grid = _grid(pictures[0].shape)
    return _cells(times, [_shrink(picture.astype(np.float32), grid) for picture in pictures])


def reference_cells(
    times: NDArray[np.float64],
    pictures: Sequence[NDArray[np.uint8]],
    place: Matrix,
    target_shape: tuple[int, ...],
) -> Curves:
    """Return the brightness of the target's cells as the reference sees them.

    place: pixel of the small target, of shape (h, w), -> pixel of the small reference.
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
    """(columns, rows) of cells as square as can be."""
    height, width = shape[:2]
    side = max(width, height) / _CELLS
    return max(2, round(width / side)), max(2, round(height / side))


def _shrink(picture: Image, grid: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(picture, grid, interpolation=cv2.INTER_AREA), np.float32)


def _cells(times: NDArray[np.float64], cells: Sequence[Image]) -> Curves:
    """Cells less their mean: what the exposure control of one camera does must not count."""
    values = np.stack(cells).reshape(len(cells), -1).astype(np.float64)
    return Curves(times, values - values.mean(axis=1, keepdims=True))
