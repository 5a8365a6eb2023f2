"""Synthetic defocus of a photo with depth: layers from back to front, each with the blur of its depth.

Thin lens: a point at depth x, with the focus at S, spreads over a circle of c = alpha |x - S| / x pixels,
taken as a Gaussian of sigma = c / 4. Colours are linear light. Behind near layers the background is filled
in, so that no dark seams show through their soft edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError

SIGMA_PER_CIRCLE = 0.25
MAX_SIGMA = 7.0  # px; a label of 1
MAX_LEVELS = 350
FILL_SIGMA = 3.0  # px, of the smooth filling behind near layers
LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Lens:
    """alpha: pixels of the circle at infinite depth. focus: depth that is sharp, in units of the map."""

    alpha: float
    focus: float

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.focus <= 0:
            raise UsageError(
                f"alpha is {self.alpha} and focus {self.focus}, expected 0 or more and a depth above 0."
            )


def circle_px(depth: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """Return the diameter of the circle of confusion in pixels, in the shape of `depth` (above 0)."""
    return np.asarray(lens.alpha * np.abs(depth - lens.focus) / depth, np.float32)


def defocus_label(depth: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """Return the blur of each pixel's own content, sigma / 7 px, 0..1."""
    sigma = SIGMA_PER_CIRCLE * circle_px(depth, lens)
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
    sigmas = (SIGMA_PER_CIRCLE * circle_px(np.array(depths, np.float32), lens)).tolist()
    result = np.zeros_like(picture)
    cover = np.zeros((*depth.shape, 1), np.float32)
    for number, sigma in enumerate(sigmas):  # back to front
        own = (index == number).astype(np.float32)[..., None]
        behind = index <= number
        shown = picture if behind.all() else _filled(picture, behind)
        mask = _blurred(own, sigma)
        colour = _blurred(shown * own, sigma)
        result = colour + result * (1 - mask)
        cover = mask + cover * (1 - mask)
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


def _blurred(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the picture through a Gaussian, border mirrored; as it is for no blur."""
    if sigma < 0.05:  # less than 1e-80 of a pixel's light reaches the next one
        return picture
    size = 2 * int(np.ceil(4 * sigma)) + 1
    found = cv2.GaussianBlur(picture, (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(found.reshape(picture.shape), np.float32)


def _filled(picture: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the picture with what is not `known` filled from around, smoothly."""
    weight = known.astype(np.float32)[..., None]
    filled, sigma = picture * weight, FILL_SIGMA
    while not known.all() and sigma < 4 * max(known.shape):
        near = _blurred(weight * picture, sigma)
        share = _blurred(weight, sigma)
        reached = (share[..., 0] > 0.01) & ~known
        filled[reached] = (near / np.maximum(share, LEAST))[reached]
        known, sigma = known | reached, 2 * sigma
    return filled
