"""Homographies between pictures: build, apply, simplify, interpolate.

A map is a (3, 3) float64 matrix that takes pixel (x, y, 1) of one picture to another.
Pixel centres have whole coordinates: resizing by s moves pixel x to (x + 0.5) * s - 0.5.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Image = NDArray[np.float32]


def resize_matrix(old: tuple[int, int], new: tuple[int, int]) -> Matrix:
    """Return the map from pixels of a picture of size `old` (width, height) to its copy resized to `new`."""
    sx, sy = new[0] / old[0], new[1] / old[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], dtype=np.float64)


def reducing(size: tuple[int, int], factor: int) -> Matrix:
    """Return the map from pixels of a picture of `size` (width, height) to those `factor` times as large."""
    return resize_matrix(size, (size[0] // factor, size[1] // factor))


def translation(x: float, y: float) -> Matrix:
    """Return the map that adds (x, y) pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=np.float64)


def pixel_grid(size: tuple[int, int]) -> tuple[Image, Image]:
    """Return x and y, each (H, W) float32, of every pixel of a picture of `size` (width, height)."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    return x, y


def apply(matrix: Matrix, x: Image, y: Image) -> tuple[Image, Image]:
    """Return the points (x, y), any shape, mapped by `matrix`, pixels."""
    m = (matrix / matrix[2, 2]).astype(np.float32)
    u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
    if m[2, 0] == 0 and m[2, 1] == 0:
        return u, v
    w = m[2, 0] * x + m[2, 1] * y + 1
    return u / w, v / w


def interpolate(first: Matrix, second: Matrix, fraction: float) -> Matrix:
    """Return the linear interpolation of two similar maps. fraction: 0 (first) to 1 (second)."""
    a, b = first / first[2, 2], second / second[2, 2]
    return np.asarray(a + fraction * (b - a), dtype=np.float64)


def simplified(matrix: Matrix, size: tuple[int, int], free: int) -> Matrix:
    """Return the affine map or similarity that equals `matrix` at the centre of a picture.

    size: (width, height) of the source picture. free: parameters, 6 (affine) or 4 (similarity).
    """
    m = matrix / matrix[2, 2]
    centre = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    x, y, w = m @ np.append(centre, 1.0)
    mapped = np.array([x, y]) / w
    jacobian = (m[:2, :2] - np.outer(mapped, m[2, :2])) / w
    if free == 4:
        scale, sine = (jacobian[0, 0] + jacobian[1, 1]) / 2, (jacobian[1, 0] - jacobian[0, 1]) / 2
        jacobian = np.array([[scale, -sine], [sine, scale]])
    result = np.eye(3)
    result[:2, :2], result[:2, 2] = jacobian, mapped - jacobian @ centre
    return result


def local_scale(matrix: Matrix, size: tuple[int, int]) -> float:
    """Return the scale of `matrix` at the centre of a picture. size: (width, height)."""
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    points = np.array([[x, y], [x + 1, y], [x, y + 1]], dtype=np.float32)
    u, v = apply(matrix, points[:, 0], points[:, 1])
    area = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
    return float(np.sqrt(abs(area)))
