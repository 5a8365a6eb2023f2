"""Rolling shutter: a frame whose rows are exposed one after the other by a moving camera.

A view is given by two homographies, `ends` (2, 3, 3): frame pixel to scene point at the time of the first row
and of the last row. Rows between them mix the two points linearly. This is exact for shifts and accurate to a
hundredth of a pixel for the few milliradians that a hand rotates within one frame.
"""

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix, pixel_grid

Coordinates = tuple[NDArray[np.float32], NDArray[np.float32]]
_SOLVER_STEPS = 4  # each shrinks the error by the rows' motion over the frame's height: < 0.1 per step


def project(matrix: Matrix, points: Coordinates) -> Coordinates:
    """Apply a (3, 3) homography to points of any shape.

    As `imaging.homography.apply`, but with other rounding where the last entry is not 1: the bytes of
    published synthetic sets depend on it.
    """
    m = matrix.astype(np.float32)
    x, y = points
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth


def to_scene(ends: Matrix, pixels: Coordinates, height: int) -> Coordinates:
    """Return the scene points that frame `pixels` see."""
    return _mix(
        project(ends[0], pixels), project(ends[1], pixels), pixels[1] / np.float32(max(height - 1, 1))
    )


def frame_to_scene(ends: Matrix, size: tuple[int, int]) -> Coordinates:
    """Return the scene points of all pixels of a frame of `size` = (width, height); each (H, W)."""
    if (ends[:, 2] != (0.0, 0.0, 1.0)).any():
        return to_scene(ends, pixel_grid(size), size[1])
    # Affine ends: within a row the points lie evenly, so two numbers a row say it all.
    across, down = np.arange(size[0], dtype=np.float32), np.arange(size[1])[:, None]
    late = down / max(size[1] - 1, 1)
    weight = late[..., None, None]
    rows = (1.0 - weight) * ends[0] + weight * ends[1]  # (H, 1, 3, 3)
    steps = rows[..., :2, 0].astype(np.float32)
    starts = (rows[..., :2, 1] * down[..., None] + rows[..., :2, 2]).astype(np.float32)
    return steps[..., 0] * across + starts[..., 0], steps[..., 1] * across + starts[..., 1]


def to_frame(ends: Matrix, points: Coordinates, height: int) -> Coordinates:
    """Return the frame pixels that see the scene `points`: the inverse of `to_scene`, solved for the row."""
    first, last = project(np.linalg.inv(ends[0]), points), project(np.linalg.inv(ends[1]), points)
    pixels = _mix(first, last, np.full_like(first[1], 0.5))
    for _ in range(_SOLVER_STEPS):
        pixels = _mix(first, last, pixels[1] / np.float32(max(height - 1, 1)))
    return pixels


def _mix(first: Coordinates, last: Coordinates, late: NDArray[np.float32]) -> Coordinates:
    return first[0] + late * (last[0] - first[0]), first[1] + late * (last[1] - first[1])
