"""Maps between neighbouring blurred frames of one clip: coarse to fine, then with both blurred alike.

Two frames with unlike blur do not look alike even when aligned. Once their blur is known, each is blurred
with the other's (both then show the scene under both blurs), and the map is refined on those.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import apply_to_points, chain, fit_path
from asled_cli.imaging.homography import Image, Matrix, resize_matrix
from asled_cli.runtime.stages import map_in_threads

_CUT_CORRELATION = 0.3
_SHIFT_REDUCTION = 4
_SHIFT_OVERLAP = 0.3  # share of both pictures that a shift must leave in common
_LEVELS = ((4, 12, 4), (2, 8, 8), (1, 6, 8))  # reduction, steps, free parameters
_LAST = ((1, 3, 8),)
_SOFT_PX = 1.0
_HIGHPASS_PX = 8.0
# Only the pixels with the steepest edges are compared: a sky would pass for the usual, edges for outliers.
_STEEPEST, _MAX_PIXELS = 0.25, 30000
_ROW = 128  # points that are sampled in one row
_SPACING_PX = 1.5  # between two instants of a blur
_TUKEY = 4.685  # R. A. Maronna et al., "Robust Statistics" (2006): 95 % efficient


def align(first: Image, second: Image, start: Matrix | None = None) -> Matrix:
    """Return the homography from pixels of `first` to those of `second`, both (H, W) float32 luma 0..1.

    start: near enough for a few steps at full size; None looks for it from coarse to fine.
    """
    size = first.shape[1], first.shape[0]
    matrix = _whole_shift(first, second) if start is None else start
    for reduction, steps, free in _LEVELS if start is None else _LAST:
        small = size[0] // reduction, size[1] // reduction
        down = resize_matrix(size, small)
        seen = [_filtered(cv2.resize(f, small, interpolation=cv2.INTER_AREA)) for f in (first, second)]
        found = _gauss_newton(seen[0], seen[1], down @ matrix @ np.linalg.inv(down), steps, free)
        matrix = np.linalg.inv(down) @ found @ down
    return np.asarray(matrix / matrix[2, 2])


def find_map(first: Image, second: Image) -> Matrix | None:
    """Return the map from pixels of a frame to those of the next, None where the scene is another one."""
    matrix = align(first, second)
    size = first.shape[1], first.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(second, matrix, size, flags=flags, borderValue=-1)
    inside = moved >= 0
    if inside.mean() < 0.25:
        return None
    a, b = first[inside], moved[inside]
    spread = float(a.std() * b.std())
    alike = float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-9 else 1.0
    return matrix if alike >= _CUT_CORRELATION else None


def align_alike(
    frames: Sequence[Image], maps: Sequence[Matrix], exposure: float, *, around: int = 4
) -> list[Matrix]:
    """Return `maps` (frame k -> k + 1) refined on frames that are blurred alike.

    frames: (H, W) float32 luma 0..1 in linear light. around: pairs to either side that shape the path.
    """

    def refined(k: int) -> Matrix:
        low, high = max(0, k - around), min(len(maps), k + around + 1)
        return align_pair_alike(frames[k], frames[k + 1], maps[low:high], k - low, exposure)

    return map_in_threads(refined, range(len(maps)))


def align_pair_alike(first: Image, second: Image, maps: Sequence[Matrix], k: int, exposure: float) -> Matrix:
    """Return maps[k], which leads from `first` to `second`, refined on the two blurred alike.

    maps: between the neighbouring frames around the two. exposure: frame intervals.
    """
    size = first.shape[1], first.shape[0]
    one, two = (frame_blur(maps, frame, exposure, size) for frame in (k, k + 1))
    there, back = maps[k], np.linalg.inv(maps[k])
    first = blurred(first, [back @ m @ there for m in two])
    second = blurred(second, [there @ m @ back for m in one])
    return align(first, second, there)


def frame_blur(maps: Sequence[Matrix], frame: int, exposure: float, size: tuple[int, int]) -> list[Matrix]:
    """Return the maps by which the scene moves within frame `frame`, in its pixels, about their mean.

    maps: between the neighbouring frames of a window.
    """
    path = fit_path(chain(maps, frame), 0, frame, exposure, size)
    corners = np.array([[0.0, 0.0], [size[0] - 1.0, size[1] - 1.0]])
    seen = [apply_to_points(m, corners) for m in path.blur(frame, exposure, 5)]
    length = sum(float(np.hypot(*(b - a).T).max()) for a, b in pairwise(seen)) * 5 / 4
    return path.blur(frame, exposure, int(np.clip(np.ceil(length / _SPACING_PX), 3, 31)) | 1)


def blurred(frame: Image, maps: Sequence[Matrix]) -> Image:
    """Return the mean of a picture warped by `maps` (from its pixels to where they are sampled)."""
    size = frame.shape[1], frame.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    total = np.zeros_like(frame)
    for m in maps:
        total += cv2.warpPerspective(frame, m, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(total / np.float32(len(maps)))


def _whole_shift(first: Image, second: Image) -> Matrix:
    """Return the shift of the whole picture by phase correlation of reduced pictures, or none."""
    size = first.shape[1] // _SHIFT_REDUCTION, first.shape[0] // _SHIFT_REDUCTION
    a, b = (_equalised(cv2.resize(f, size, interpolation=cv2.INTER_AREA)) for f in (first, second))
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(a.copy(), b.copy(), window)  # it writes into them
    best, most = (0.0, 0.0), -np.inf
    for x, y in ((0.0, 0.0), shift):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(b, np.array([[1, 0, x], [0, 1, y]]), size, flags=flags, borderValue=0)
        shared = (1 - abs(x) / size[0]) * (1 - abs(y) / size[1])
        if shared >= _SHIFT_OVERLAP and float((a * moved).sum()) / shared > most:
            best, most = (x, y), float((a * moved).sum()) / shared
    return np.array([[1, 0, _SHIFT_REDUCTION * best[0]], [0, 1, _SHIFT_REDUCTION * best[1]], [0, 0, 1.0]])


def _equalised(image: NDArray[Any]) -> Image:
    detail = image - cv2.GaussianBlur(image, (0, 0), 4.0)
    return np.asarray(detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4.0)) + 0.02), np.float32)


def _filtered(image: NDArray[Any]) -> Image:
    """Return a picture without noise and broad shades."""
    return np.asarray(
        cv2.GaussianBlur(image, (0, 0), _SOFT_PX) - cv2.GaussianBlur(image, (0, 0), _HIGHPASS_PX), np.float32
    )


def _gauss_newton(first: Image, second: Image, start: Matrix, steps: int, free: int) -> Matrix:
    """Return the map that makes `second` look like `first` on its edges; inverse compositional, robust.

    S. Baker and I. Matthews, "Lucas-Kanade 20 years on" (2004), section 3.2; weights by Tukey.
    """
    height, width = first.shape
    norm, centre = max(width, height) / 2, ((width - 1) / 2, (height - 1) / 2)
    centred = np.array([[norm, 0, centre[0]], [0, norm, centre[1]], [0, 0, 1.0]])
    x, y, values, columns = _edges(first, norm, centre, free)
    if values.size < 100:
        return start
    matrix = start @ centred
    points = np.stack([x, y, np.ones_like(x)])
    for _ in range(steps):
        u, v, w = (matrix @ points).astype(np.float32)
        u, v = u / w, v / w
        inside = (u >= 1) & (v >= 1) & (u <= width - 2) & (v <= height - 2)
        if inside.sum() < 100:
            return start
        seen = _sampled(second, u, v)
        error = seen - values
        spread = 1.4826 * float(np.median(np.abs(error[inside]))) + 1e-6
        weight = np.square(np.maximum(1 - np.square(error / np.float32(_TUKEY * spread)), 0)) * inside
        weighted = columns * weight
        step = np.linalg.lstsq(weighted @ columns.T, weighted @ error, rcond=1e-9)[0]
        matrix = matrix @ np.linalg.inv(_update(step, free))
    return np.asarray(matrix @ np.linalg.inv(centred))


def _sampled(image: Image, u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `image` at points (N,); OpenCV is many times slower on a single column."""
    rows = np.concatenate([u, np.zeros(-len(u) % _ROW, np.float32)]).reshape(-1, _ROW)
    columns = np.concatenate([v, np.zeros(-len(v) % _ROW, np.float32)]).reshape(-1, _ROW)
    seen = cv2.remap(image, rows, columns, cv2.INTER_CUBIC)
    return np.asarray(seen.ravel()[: len(u)], np.float32)


def _edges(
    image: Image, norm: float, centre: tuple[float, float], free: int
) -> tuple[Image, Image, Image, NDArray[np.float32]]:
    """Return centred x, y and values (N,) of the steepest pixels, and (free + 2, N) derivatives there."""
    gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    steep = np.square(gx) + np.square(gy)
    steep[[0, -1]] = steep[:, [0, -1]] = 0
    count = min(int(_STEEPEST * image.size), _MAX_PIXELS)
    at = np.argpartition(steep.ravel(), -count)[-count:]
    at = at[steep.ravel()[at] > 1e-10]
    row, column = np.divmod(at, image.shape[1])
    x = ((column - centre[0]) / norm).astype(np.float32)
    y = ((row - centre[1]) / norm).astype(np.float32)
    gx, gy = gx.ravel()[at] * np.float32(norm), gy.ravel()[at] * np.float32(norm)
    values = image.ravel()[at]
    along = gx * x + gy * y
    moves = [gx, gy, along, gy * x - gx * y]
    if free == 8:
        moves = [gx, gy, gx * x, gx * y, gy * x, gy * y, -along * x, -along * y]
    return x, y, values, np.stack([*moves, values, np.ones_like(values)])


def _update(step: NDArray[np.floating], free: int) -> Matrix:
    if free == 4:
        x, y, zoom, turn = step[:4]
        return np.array([[1 + zoom, -turn, x], [turn, 1 + zoom, y], [0, 0, 1]])
    x, y, xx, xy, yx, yy, px, py = step[:8]
    return np.array([[1 + xx, xy, x], [yx, 1 + yy, y], [px, py, 1]])
