"""Point spread of a lens out of focus: a Gaussian, or the disc of an open aperture, whole or one half of it.

The picture is convolved with it in linear light, where a bright point becomes a disc of full brightness. The
two halves are the views of a dual-pixel sensor: their shift grows with the signed circle of confusion.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Aperture = Literal["gaussian", "disc"]
Half = Literal["whole", "left", "right"]

SIGMA_PER_CIRCLE = 0.25
_MIN_SIGMA = 0.05  # px: less than 1e-80 of a pixel's light reaches the next one
_SUBPIXELS = 16  # per pixel and axis, in which the area of a disc is counted


def aperture_kernel(
    circle_px: float, aperture: Aperture = "disc", half: Half = "whole"
) -> NDArray[np.float32]:
    """Return the (k, k) point spread of sum 1 for a circle of confusion; k is odd, (1, 1) for no blur.

    circle_px: diameter, pixels. Above 0 for things behind the focus; below 0, the point spread is mirrored.
    """
    size = abs(circle_px)
    kernel = _disc(size) if aperture == "disc" else _gaussian(SIGMA_PER_CIRCLE * size)
    if half != "whole":
        middle, shares = kernel.shape[1] // 2, np.ones(kernel.shape[1])
        shares[middle], shares[middle + 1 :] = 0.5, 0.0
        kernel = kernel * (shares if (half == "left") == (circle_px >= 0) else shares[::-1])
    return np.asarray(kernel / kernel.sum(), np.float32)


def spread(
    picture: NDArray[np.float32], circle_px: float, aperture: Aperture = "disc", half: Half = "whole"
) -> NDArray[np.float32]:
    """Return the picture (H, W, C) convolved with the point spread, border mirrored; as it is for no blur."""
    kernel = aperture_kernel(circle_px, aperture, half)
    if kernel.size == 1:
        return picture
    turned = np.ascontiguousarray(kernel[::-1, ::-1])  # OpenCV correlates
    if aperture == "gaussian" and half == "whole":
        line = np.sqrt(np.diag(kernel))
        found = cv2.sepFilter2D(picture, -1, line, line, borderType=cv2.BORDER_REFLECT)
    else:
        found = cv2.filter2D(picture, -1, turned, borderType=cv2.BORDER_REFLECT)
    return np.asarray(found.reshape(picture.shape), np.float32)


def _disc(diameter: float) -> NDArray[np.float64]:
    """Return the area of the disc in each pixel; a disc within one pixel gives (1, 1)."""
    radius = diameter / 2
    reach = max(int(np.ceil(radius - 0.5)), 0)
    steps = (np.arange((2 * reach + 1) * _SUBPIXELS) + 0.5) / _SUBPIXELS - reach - 0.5
    inside = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.float64)
    if not reach:
        return np.ones((1, 1))
    cells = inside.reshape(2 * reach + 1, _SUBPIXELS, 2 * reach + 1, _SUBPIXELS)
    return np.asarray(cells.sum((1, 3)))


def _gaussian(sigma: float) -> NDArray[np.float64]:
    if sigma < _MIN_SIGMA:
        return np.ones((1, 1))
    reach = int(np.ceil(4 * sigma))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(np.outer(line, line))
