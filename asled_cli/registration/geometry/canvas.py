"""The reduced pictures on which two views are compared: sizes, margins, and the maps to full pixels."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.homography import Image, Matrix, resize_matrix, translation
from asled_cli.imaging.light import by_table
from asled_cli.video.frames import Frame, FramePair

# Longer side of the reduced target; a larger one costs time and makes one homography no more precise.
WORK_LONG_SIDE = 640
# Margin of the reference canvas on each side, as a share of the target, for motion during the exposure.
_MARGIN_SHARE = 0.08
# Shorter side of any reduced picture, so that a narrow one keeps some detail.
MIN_SIDE = 16
# Softness of a picture by its pixel size, as sigma of a Gaussian in pixels (fitted to synthetic clips).
_PIXEL_SIGMA = 0.53


def reduced_size(size: tuple[int, int], long_side: int = WORK_LONG_SIDE) -> tuple[int, int]:
    """Return (width, height) reduced to a longer side of `long_side`, but at least MIN_SIDE each."""
    factor = max(1.0, min(max(size) / long_side, min(size) / MIN_SIDE))
    return round(size[0] / factor), round(size[1] / factor)


def check_large_enough(name: str, size: tuple[int, int]) -> None:
    """Raise InputError if a picture of `size` (width, height) is too small to be matched."""
    if min(size) < MIN_SIDE:
        raise InputError(
            f"{name} has frames of {size[0]}x{size[1]} pixels, expected {MIN_SIDE} or more on each side: "
            "smaller views cannot be registered.",
            "Name the clips as the camera recorded them.",
        )


def reduced_sizes(
    target_size: tuple[int, int], reference_size: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the sizes (width, height) of target and reference after `reduce_for_analysis`."""
    return reduced_size(target_size), reduced_size(reference_size, 2 * WORK_LONG_SIDE)


def reduce_for_analysis(pair: FramePair, long_side: int = WORK_LONG_SIDE) -> FramePair:
    """Return the pair with its pictures reduced for the analysis, without decoded planes.

    long_side: at most, of the target. The reference keeps twice that size, since the target shows about half
    of its width and height.
    """

    def reduced(frame: Frame, longest: int) -> Frame:
        size = reduced_size((frame.rgb.shape[1], frame.rgb.shape[0]), longest)
        rgb = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA)
        return replace(frame, rgb=np.asarray(rgb, dtype=np.uint16), source=None)

    reference = None if pair.reference is None else reduced(pair.reference, 2 * long_side)
    return FramePair(reduced(pair.target, long_side), reference, pair.lag_s)


@dataclass(frozen=True)
class Canvas:
    """Two pixel grids of one density: the reduced target, and the reference placed on it with a margin.

    target_size, reference_size: (width, height) in full pixels.
    homography: (3, 3) full target pixel -> full reference pixel, as good as known.
    The canvas is fixed; better maps are expressed on it by `onto`.
    """

    target_size: tuple[int, int]
    reference_size: tuple[int, int]
    homography: Matrix

    def moved(self, shift: tuple[float, float]) -> "Canvas":
        """Return the canvas of a target whose view has shifted by (x, y) full target pixels."""
        return replace(self, homography=self.homography @ translation(*shift))

    @cached_property
    def work_size(self) -> tuple[int, int]:
        """Return (width, height) of the reduced target."""
        return reduced_size(self.target_size)

    @cached_property
    def margin(self) -> int:
        return max(8, round(min(max(self.work_size), WORK_LONG_SIDE) * _MARGIN_SHARE))

    @cached_property
    def canvas_size(self) -> tuple[int, int]:
        """Return (width, height) of the reference canvas."""
        return self.work_size[0] + 2 * self.margin, self.work_size[1] + 2 * self.margin

    @cached_property
    def work_to_full(self) -> Matrix:
        return resize_matrix(self.work_size, self.target_size)

    @cached_property
    def to_reference(self) -> Matrix:
        """Return (3, 3): canvas pixel -> full reference pixel."""
        return self.homography @ self.work_to_full @ translation(-self.margin, -self.margin)

    @cached_property
    def density(self) -> float:
        """Return full reference pixels per canvas pixel, each way."""
        matrix = self.to_reference
        return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2] / matrix[2, 2]))))

    def onto(self, homography: Matrix) -> Matrix:
        """Return (3, 3), reduced target pixel -> canvas pixel, of a full-size `homography`."""
        return np.asarray(np.linalg.inv(self.to_reference) @ homography @ self.work_to_full)

    def homography_of(self, work_map: Matrix) -> Matrix:
        """Return the full-size homography of `work_map` (reduced target pixel -> canvas pixel)."""
        full = self.to_reference @ work_map @ np.linalg.inv(self.work_to_full)
        return np.asarray(full / full[2, 2])

    def reduce_target(self, rgb: NDArray[np.uint16]) -> Image:
        """Return (h, w, 3) float32 0..1 of a full target frame (H, W, 3) uint16."""
        small = cv2.resize(rgb, self.work_size, interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) * np.float32(1 / 65535)

    def soften(self, reduced: Image) -> Image:
        """Return a reduced target (h, w, 3) as soft as an enlarged reference is on its canvas.

        Without this, lost detail passes for blur and a short exposure for none.
        """
        if self.density > 0.95:
            return reduced
        sigma = _PIXEL_SIGMA * float(np.sqrt(self.density**-2 - 1))
        return np.asarray(cv2.GaussianBlur(reduced, (0, 0), sigma), dtype=np.float32)

    def place_reference(self, rgb: NDArray[np.uint16], table: NDArray[np.uint16] | None = None) -> Image:
        """Return the canvas (h', w', 3) float32 0..1 of a full reference frame (H, W, 3) uint16.

        table: (3, 65536) uint16, tone curves of the three channels, or None.
        """
        matrix, small = self.to_reference, np.asarray(rgb)
        if self.density > 1.2:
            size = (
                max(1, round(rgb.shape[1] / self.density)),
                max(1, round(rgb.shape[0] / self.density)),
            )
            small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint16)
            matrix = resize_matrix((rgb.shape[1], rgb.shape[0]), size) @ matrix
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        placed = cv2.warpPerspective(
            small, matrix, self.canvas_size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        if table is not None:
            placed = by_table(np.asarray(placed, np.uint16), table)
        return placed.astype(np.float32) * np.float32(1 / 65535)
