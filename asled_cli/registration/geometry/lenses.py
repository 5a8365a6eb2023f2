"""Prior knowledge about two lenses: the ratio of their fields of view."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS

Matrix = NDArray[np.float64]

# 26 mm (main) against 13 mm (ultra-wide), 35 mm equivalents: the pair of most phones.
COMMON_FOV_RATIO = 2.0


@dataclass(frozen=True)
class LensPrior:
    """Expected field-of-view ratio and its tolerance.

    fov_ratio: focal length of the target lens over that of the reference lens (tangent ratio).
    tolerance: relative half-width of the search around it. source: origin of the value, for reports.
    """

    fov_ratio: float = COMMON_FOV_RATIO
    tolerance: float = 0.30
    source: str = "common phone lenses"

    def __post_init__(self) -> None:
        low, high = FOV_RATIO_LIMITS
        if not low <= self.fov_ratio <= high:
            raise UsageError(
                f"A field-of-view ratio of {self.fov_ratio:g} is outside {low:g} to {high:g}.",
                "Pass the wide lens's focal length divided by the ultra-wide's, such as --fov-ratio 2.0.",
            )


def centre_crop(fov_ratio: float, target_size: tuple[int, int], reference_size: tuple[int, int]) -> Matrix:
    """Return the (3, 3) map target pixel -> reference pixel of two concentric lenses (AsLeD-Net, 3.1).

    Sizes are (width, height). Pixel centres lie at whole numbers. The target's width spans
    1 / fov_ratio of the reference's width; pixels are square in both.
    """
    scale = reference_size[0] / target_size[0] / fov_ratio
    if (target_size[0] > target_size[1]) != (reference_size[0] > reference_size[1]):
        scale = max(reference_size) / max(target_size) / fov_ratio
    shift = [(r - 1) / 2 - scale * (t - 1) / 2 for r, t in zip(reference_size, target_size, strict=True)]
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], dtype=np.float64)
