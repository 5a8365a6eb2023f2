"""Warping of full reference frames onto the target's grid, in its colours: `FullPictures` by torch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.imaging.homography import Image, Matrix
from asled_cli.imaging.on_device.codes import Codes, by_table, to_codes, upload, values
from asled_cli.imaging.on_device.resizing import enlarged
from asled_cli.imaging.on_device.sampling import pixel_grid, sample
from asled_cli.registration.model.registration import Knot, Registration


class DevicePictures:
    """Aligns frames that it has copied to a device. Maps are made there, from the reduced grids."""

    def __init__(self, registration: Registration, device: torch.device) -> None:
        self._size = registration.target_size
        self._device = device
        self._tone_table = upload(registration.tone.table(), device)
        self._fixed: tuple[Matrix, Image, Tensor, Tensor] | None = None  # of the last knot

    def keep(self, rgb: NDArray[np.uint16]) -> Codes:
        """Return a frame (H', W', 3) on the device."""
        return upload(rgb, self._device)

    def align(self, reference: Codes, knot: Knot, drift: Image | None) -> Codes:
        """Return a frame warped onto the target's grid, in the target's colours, see `FullPictures`."""
        u, v = self._maps(knot)
        if drift is not None:
            offset = enlarged(upload(drift, self._device), self._size)
            u, v = u + offset[..., 0], v + offset[..., 1]
        warped = sample(values(reference), u, v, cubic=True)
        return by_table(to_codes(warped), self._tone_table)

    def _maps(self, knot: Knot) -> tuple[Tensor, Tensor]:
        """Return the reference position (u, v) of each target pixel, kept until the knot changes."""
        fixed = self._fixed
        if fixed is not None and fixed[0] is knot.homography and fixed[1] is knot.field:
            return fixed[2:]
        x, y = pixel_grid(self._size[1], self._size[0], self._device)
        if knot.field.any():
            scale = self._size[0] / knot.field.shape[1]
            shift = enlarged(upload(knot.field, self._device), self._size) * scale
            x, y = x + shift[..., 0], y + shift[..., 1]
        u, v = _mapped(knot.homography, x, y)
        self._fixed = (knot.homography, knot.field, u, v)
        return u, v


def _mapped(matrix: Matrix, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (x, y) mapped by `matrix` (3, 3), pixels."""
    (a, b, c), (d, e, f), (g, h, _) = (matrix / matrix[2, 2]).tolist()
    w = g * x + h * y + 1
    return (a * x + b * y + c) / w, (d * x + e * y + f) / w
