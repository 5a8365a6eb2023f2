"""Coded 8-bit values and linear light: the sRGB curve (IEC 61966-2-1) both ways."""

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(coded: NDArray[np.floating]) -> NDArray[np.float32]:
    """Coded 0..1 to linear light 0..1, any shape, float32."""
    coded = coded.astype(np.float32)
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear light to coded 0..1, any shape, float32; values outside 0..1 are clipped."""
    light = np.clip(light, 0.0, 1.0).astype(np.float32)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


_LINEAR_OF_BYTE = srgb_to_linear(np.arange(256) / 255.0)


def bytes_to_linear(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Coded 8-bit values to linear light 0..1, float32, by table."""
    return _LINEAR_OF_BYTE[image]


def to_bytes(coded: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Coded 0..1 to uint8, rounded to nearest and clipped."""
    return np.asarray(np.clip(np.rint(coded * 255.0), 0, 255), np.uint8)
