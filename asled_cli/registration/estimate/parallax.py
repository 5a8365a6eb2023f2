"""Static parallax: a smooth, time-constant displacement field added to the clip's homography.

Method: Lucas-Kanade with a wide Gaussian window, over all frames at once. Fields per frame, or sharper ones,
follow noise and lose more than they gain.
"""

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from asled_cli.imaging.homography import Image, Matrix, apply
from asled_cli.imaging.warp import sample_slopes, with_slopes
from asled_cli.registration.geometry.lenses import RectifiedViews
from asled_cli.registration.geometry.solver import LumaPair, compared_pixels, robust_weight
from asled_cli.runtime.stages import map_in_threads

# Sigma of the window, as a share of the picture's longer side (40 px at 640).
WINDOW_SHARE = 1 / 16
# Iterations of Lucas-Kanade.
_ROUNDS = 4
# Largest displacement, as a share of the longer side.
_LIMIT_SHARE = 1 / 20
# Gradient energy (luma 0..1 per pixel, squared) below which a window's displacement stays near zero.
_MIN_ENERGY = 2e-6


def solve_parallax(
    frames: Sequence[LumaPair],
    matrix: Matrix,
    gain: float,
    bias: float,
    *,
    window_share: float = WINDOW_SHARE,
    rectified: RectifiedViews | None = None,
) -> Image:
    """Return (H, W, 2) float32: pixels to add to a target pixel before `matrix`.

    The field starts at zero and stays within 1/20 of the longer side, or within the bounds of `rectified`.
    frames: all of the clip. matrix: target pixel -> reference pixel. gain, bias: of the reference's luma.
    window_share: sigma of the window as a share of the longer side.
    """
    height, width = frames[0].target.shape
    rows, columns = compared_pixels((width, height))
    sigma = max(width, height) * window_share
    limit = np.full(2, max(width, height) * _LIMIT_SHARE)
    if rectified is not None:
        limit = np.minimum(limit, np.array([width * rectified.parallax, height * rectified.across]))
    field = np.zeros((height, width, 2), np.float32)
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    prepared = map_in_threads(lambda f: (f.target[rows, columns], with_slopes(f.reference)), frames)
    for _ in range(_ROUNDS):
        u, v = apply(matrix, x + field[rows, columns, 0], y + field[rows, columns, 1])
        parts = map_in_threads(partial(_normal_equations, (u, v), matrix, gain, bias), prepared)
        moved = _solve_windows(sum(parts[1:], start=parts[0]), sigma * rows.shape[1] / width)
        field += cv2.resize(moved, (width, height), interpolation=cv2.INTER_CUBIC)
        field = np.clip(field, -limit, limit).astype(np.float32)
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), sigma / 2), dtype=np.float32)
    return field


def _normal_equations(
    places: tuple[Image, Image], matrix: Matrix, gain: float, bias: float, frame: tuple[Image, Image]
) -> Image:
    """Return (h, w, 5), the products gxx, gxy, gyy, gx e, gy e of one frame under Tukey biweights.

    places: (u, v), where the target's pixels are in the reference. frame: target (h, w), and reference with
    its derivatives by `with_slopes`.
    """
    target, reference = frame
    warped, gu, gv, inside = sample_slopes(reference, *places)
    error = target - (np.float32(gain) * warped + np.float32(bias))
    weight = robust_weight(error, inside)
    linear = (matrix / matrix[2, 2])[:2, :2].astype(np.float32) * np.float32(gain)
    gx = gu * linear[0, 0] + gv * linear[1, 0]
    gy = gu * linear[0, 1] + gv * linear[1, 1]
    products = [gx * gx, gx * gy, gy * gy, gx * error, gy * error]
    return np.asarray(cv2.merge([weight * product for product in products]), dtype=np.float32)


def _solve_windows(sums: Image, sigma: float) -> Image:
    """Return (H, W, 2), the solution of the 2 x 2 system of every window; `sums` from `_normal_equations`."""
    smooth = wide_blur(sums, sigma)
    floor = np.float32(_MIN_ENERGY) + np.float32(0.02) * np.mean(smooth[..., 0] + smooth[..., 2])
    xx, xy, yy = smooth[..., 0] + floor, smooth[..., 1], smooth[..., 2] + floor
    bx, by = smooth[..., 3], smooth[..., 4]
    determinant = xx * yy - xy * xy
    return np.stack([(yy * bx - xy * by) / determinant, (xx * by - xy * bx) / determinant], axis=-1)


def wide_blur(image: Image, sigma: float) -> Image:
    """Return `image` under a wide Gaussian, computed at a reduced size since the result is smooth."""
    height, width = image.shape[:2]
    factor = max(1, int(sigma / 4))
    small_size = (max(1, round(width / factor)), max(1, round(height / factor)))
    channels = [np.ascontiguousarray(image[..., i]) for i in range(image.shape[2])]
    small = [cv2.resize(c, small_size, interpolation=cv2.INTER_AREA) for c in channels]
    blurred = [cv2.GaussianBlur(c, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE) for c in small]
    return np.stack(
        [cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in blurred], axis=-1
    ).astype(np.float32)
