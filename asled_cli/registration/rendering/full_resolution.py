"""Warping of full reference frames onto the target's grid, in its colours: the only step at full resolution.

By OpenCV, on the CPU; `on_device.full_resolution` does the same by torch.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.light import by_table
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.rendering.aligned_frame import Picture


class FullPictures(Protocol[Picture]):
    """Keeps full reference frames and aligns them. Calls may come from several threads."""

    def keep(self, rgb: NDArray[np.uint16]) -> Picture:
        """Return a frame (H', W', 3) as `align` takes it."""
        ...

    def align(self, reference: Picture, knot: Knot, drift: Image | None) -> Picture:
        """Return a kept frame warped onto the target's grid (H, W, 3), in the target's colours.

        drift: (h, w, 2) offset in full reference pixels on the reduced grid, or None.
        """
        ...


class OpenCvPictures:
    """Aligns arrays: a homography per pixel plus smooth offsets from reduced grids, then the tone curves."""

    def __init__(self, registration: Registration) -> None:
        self._size = registration.target_size
        self._tone_table = registration.tone.table()
        self._fixed: tuple[Matrix, Image, Image, Image] | None = (
            None  # the arrays themselves: ids are used again
        )

    def keep(self, rgb: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the frame itself."""
        return rgb

    def align(self, reference: NDArray[np.uint16], knot: Knot, drift: Image | None) -> NDArray[np.uint16]:
        """Return a frame warped onto the target's grid, in the target's colours, see `FullPictures`."""
        return by_table(self._warped(reference, knot, drift), self._tone_table)

    def _warped(self, reference: NDArray[np.uint16], knot: Knot, drift: Image | None) -> NDArray[np.uint16]:
        if drift is None and not knot.field.any():
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            warped = cv2.warpPerspective(
                reference, knot.homography, self._size, flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            return np.asarray(warped, dtype=np.uint16)
        u, v = self._maps(knot)
        if drift is not None:
            full = cv2.resize(drift, self._size, interpolation=cv2.INTER_LINEAR)
            u, v = u + full[..., 0], v + full[..., 1]
        warped = cv2.remap(reference, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, dtype=np.uint16)

    def _maps(self, knot: Knot) -> tuple[Image, Image]:
        """Return the reference position (u, v) of each target pixel, kept until the knot changes."""
        fixed = self._fixed
        if fixed is not None and fixed[0] is knot.homography and fixed[1] is knot.field:
            return fixed[2:]
        x, y = pixel_grid(self._size)
        if knot.field.any():
            scale = self._size[0] / knot.field.shape[1]
            shift = cv2.resize(knot.field, self._size, interpolation=cv2.INTER_LINEAR) * np.float32(scale)
            x, y = x + shift[..., 0], y + shift[..., 1]
        u, v = apply(knot.homography, x, y)
        self._fixed = (knot.homography, knot.field, u, v)
        return u, v
