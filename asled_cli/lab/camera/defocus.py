"""Synthetic defocus of a photo with depth: layers from back to front, each with the blur of its depth.

Thin lens: a point at depth x, with the focus at S, spreads over a circle of c = alpha |x - S| / x pixels,
a disc of that diameter or a Gaussian of sigma = c / 4. Colours are linear light. Behind near layers the
background is continued, so that no dark seams show through their soft edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.lab.camera.aperture import SIGMA_PER_CIRCLE, Aperture, Half, spread

MAX_SIGMA = 7.0  # px; a label of 1
MAX_LEVELS = 350
LEAST = 1e-6
MIN_SHARE = 0.01  # of a layer around a pixel, for the layer to continue there behind a nearer one


@dataclass(frozen=True, slots=True)
class Lens:
    """alpha: pixels of the circle at infinite depth. focus: depth that is sharp, in units of the map.

    aperture, half: as in `aperture_kernel`.
    """

    alpha: float
    focus: float
    aperture: Aperture = "gaussian"
    half: Half = "whole"

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.focus <= 0:
            raise UsageError(
                f"alpha is {self.alpha} and focus {self.focus}, expected 0 or more and a depth above 0."
            )


def circle_px(depth: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """Return the diameter of the circle of confusion in pixels, in the shape of `depth` (above 0).

    It is negative for things nearer than the focus.
    """
    return np.asarray(lens.alpha * (depth - lens.focus) / depth, np.float32)


def defocus_label(depth: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """Return the blur of each pixel's own content, sigma / 7 px, 0..1."""
    sigma = SIGMA_PER_CIRCLE * np.abs(circle_px(depth, lens))
    return np.asarray(np.minimum(sigma / MAX_SIGMA, 1), np.float32)


def defocus(
    picture: NDArray[np.float32], depth: NDArray[np.float32], lens: Lens, levels: int = 24
) -> NDArray[np.float32]:
    """Return the picture out of focus, (H, W, 3) linear light.

    picture: (H, W, 3). depth: (H, W) above 0. levels: layers, equally spaced in 1 / depth; a map of fewer
    values has a layer for each. Raises UsageError if the shapes or the levels do not fit.
    """
    if depth.shape != picture.shape[:2] or not bool((depth > 0).all()):
        raise UsageError(f"depth is {depth.shape}, expected {picture.shape[:2]} with values above 0.")
    if not 1 <= levels <= MAX_LEVELS:
        raise UsageError(f"levels is {levels}, expected 1 to {MAX_LEVELS}.")
    index, depths = split_depth(depth, levels)
    circles = circle_px(np.array(depths, np.float32), lens).tolist()
    result = np.zeros_like(picture)
    cover = np.zeros((*depth.shape, 1), np.float32)
    for number, circle in enumerate(circles):  # back to front
        reach = max((abs(nearer) / 2 for nearer in circles[number + 1 :]), default=0.0)
        light, own = _extended(picture, index == number, index > number, reach)
        both = spread(np.concatenate((light * own, own), axis=2), circle, lens.aperture, lens.half)
        result = both[..., :3] + result * (1 - both[..., 3:])
        cover = both[..., 3:] + cover * (1 - both[..., 3:])
    return np.asarray(result / np.maximum(cover, LEAST), np.float32)


def split_depth(depth: NDArray[np.float32], levels: int) -> tuple[NDArray[np.int64], Sequence[float]]:
    """Return the layer of each pixel, the farthest first, and the depth of each layer."""
    values = np.unique(depth)[::-1]
    if len(values) <= levels:
        return np.searchsorted(-values, -depth), [float(v) for v in values]
    inverse = 1 / depth
    low, high = float(inverse.min()), float(inverse.max())
    step = (high - low) / levels
    index = np.minimum((inverse - low) / step, levels - 1).astype(np.int64)
    return index, [1 / (low + (n + 0.5) * step) for n in range(levels)]


def _extended(
    picture: NDArray[np.float32], own: NDArray[np.bool_], nearer: NDArray[np.bool_], reach: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the picture and the mask (H, W, 1) of a layer, continued smoothly behind nearer ones.

    reach: pixels, as far as the soft edges of nearer layers let it show.
    """
    weight = own.astype(np.float32)[..., None]
    if reach < 1 or not nearer.any() or not own.any():
        return picture, weight
    circle = reach / SIGMA_PER_CIRCLE / 2  # a Gaussian of half the reach
    near = spread(weight * picture, circle, "gaussian")
    share = spread(weight, circle, "gaussian")
    behind = (share[..., 0] > MIN_SHARE) & nearer
    light = picture.copy()
    light[behind] = (near / np.maximum(share, LEAST))[behind]
    return light, (own | behind).astype(np.float32)[..., None]
