"""Invert around a frame that is restored already, as far as its reference could.

Instead of the sharp frame X, the correction of a restored one is sought: X = X0 + W (Y - H X0). Frequencies
that no blur has let through stay as restored, and what is restored wrongly the recorded frames correct.
"""

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.light import join, split, to_coded, to_light
from asled_cli.deconvolution.wiener import Base, Inversion
from asled_cli.imaging.homography import Image

# Times the noise over signal of an unknown frame: less is unknown of a restored one.
_FIRMNESS = 4.0
_WHITE = np.float32(65535)


def base_of(rgb: NDArray[np.uint16], change: NDArray[np.float32] | None) -> Base | None:
    """Return a frame with its change, (H, W, 3) coded RGB with 1.0 as full scale, to invert around."""
    if change is None:
        return None
    codes = np.asarray(_restored(rgb, change) * _WHITE + np.float32(0.5), np.uint16)
    return Base(*split(to_light(codes)), _FIRMNESS)


def change_by(
    rgb: NDArray[np.uint16], change: NDArray[np.float32] | None, inversion: Inversion, trust: Image
) -> NDArray[np.float32]:
    """Return the change to a frame, (H, W, 3) coded RGB with 1.0 as full scale, by an inversion around it.

    change: by which the frame is restored already. trust: (H, W) 0..1, share of the correction to apply.
    """
    assert inversion.tint is not None
    sharp = to_coded(to_light(rgb) + join(inversion.luma, inversion.tint))
    recorded = rgb.astype(np.float32) / _WHITE
    if change is None:
        return np.asarray((sharp - recorded) * trust[..., None], np.float32)
    return np.asarray(change + (sharp - _restored(rgb, change)) * trust[..., None], np.float32)


def _restored(rgb: NDArray[np.uint16], change: NDArray[np.float32]) -> Image:
    return np.asarray(np.clip(rgb / _WHITE + change, 0, 1), np.float32)
