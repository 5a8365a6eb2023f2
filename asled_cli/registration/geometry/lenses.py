"""Prior knowledge about two lenses: the ratio of their fields of view, and bounds of rectified views."""

from dataclasses import dataclass
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS
from asled_cli.video.frames import StereoInfo

Matrix = NDArray[np.float64]

# 26 mm (main) against 13 mm (ultra-wide), 35 mm equivalents: the pair of most phones.
COMMON_FOV_RATIO = 2.0

NEAREST_M = 0.3  # metres; nearer objects are out of focus, and phones warn of them while recording
_USUAL_PARALLAX = 0.05  # share of the width, where a file states no baseline or no field of view
_USUAL_SHIFT = 0.03  # share of the width; iPhone 15 Pro: 36 of 1920 px between the principal points
_ACROSS = 0.02  # share of the height; phones stay within 1.5 of 2000 lines


@dataclass(frozen=True)
class RectifiedViews:
    """Two views of one scale whose points are displaced along the rows only, as spatial video has them.

    shift: largest displacement of any point, share of the width. across: the same along the columns, share of
    the height. parallax: largest displacement of near objects against far ones, share of the width.
    """

    shift: float
    parallax: float
    across: float = _ACROSS

    @classmethod
    def of(cls, stereo: StereoInfo) -> "RectifiedViews":
        """Return the bounds that follow from what a spatial clip says about its lenses: f * B / d_min."""
        parallax = _USUAL_PARALLAX
        if stereo.baseline_mm and stereo.fov_deg and stereo.fov_deg < 170:
            focal = 0.5 / tan(radians(stereo.fov_deg) / 2)  # widths
            parallax = focal * stereo.baseline_mm / 1000 / NEAREST_M
        shift = max(abs(stereo.disparity_shift or 0.0), _USUAL_SHIFT)
        return cls(shift + parallax, parallax)


@dataclass(frozen=True)
class LensPrior:
    """Expected field-of-view ratio and its tolerance.

    fov_ratio: focal length of the target lens over that of the reference lens (tangent ratio).
    tolerance: relative half-width of the search around it. source: origin of the value, for reports.
    rectified: what is known of two views of one scale; None for any two lenses.
    exposures_s: exposure times of target and reference, seconds, where a file states them.
    """

    fov_ratio: float = COMMON_FOV_RATIO
    tolerance: float = 0.30
    source: str = "common phone lenses"
    rectified: RectifiedViews | None = None
    exposures_s: tuple[float, float] | None = None

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
