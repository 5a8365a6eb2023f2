"""Light and luma: the sRGB transfer curve and its inverse (IEC 61966-2-1), luma of RGB, reduction."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image

# Weights of red, green and blue. OpenCV's conversion and most published metrics use BT.601.
LUMA_BT601 = np.array([0.299, 0.587, 0.114])
_LARGE_TABLES = int(cv2.__version__.split(".")[0]) >= 5  # of 65536 codes: three times as fast
LUMA_BT709 = np.array([0.2126, 0.7152, 0.0722])


def srgb_to_linear(coded: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return linear light 0..1, float32, of coded values 0..1, any shape."""
    coded = coded.astype(np.float32)
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return coded values 0..1, float32, of linear light, any shape; light outside 0..1 is clipped."""
    light = np.clip(light, 0.0, 1.0).astype(np.float32)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


_LINEAR_OF_BYTE = srgb_to_linear(np.arange(256) / 255.0)


def bytes_to_linear(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return linear light 0..1, float32, of coded 8-bit values, any shape, by table."""
    return _LINEAR_OF_BYTE[image]


def to_bytes(coded: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return coded values 0..1, any shape, as uint8, rounded and clipped."""
    return np.asarray(np.clip(np.rint(coded * 255.0), 0, 255), np.uint8)


def by_table(picture: NDArray[np.uint16], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return a picture (H, W, 3) with the codes of each channel replaced. table: (3, 65536)."""
    if _LARGE_TABLES:
        columns = np.ascontiguousarray(table.T)[None]  # (1, 65536, 3)
        return np.asarray(cv2.LUT(np.ascontiguousarray(picture), columns), np.uint16)
    return np.stack([table[c][picture[..., c]] for c in range(3)], axis=-1)


def luma_codes(image: Image) -> NDArray[np.uint8]:
    """Return (H, W) uint8 luma of an (H, W, 3) RGB or (H, W) grey picture 0..1, for optical flow."""
    grey = luma(image) if image.ndim == 3 else image
    return np.asarray(np.clip(grey * 255 + 0.5, 0, 255), dtype=np.uint8)


def luma(rgb: Image) -> Image:
    """Return (H, W) float32 luma (BT.709) of an (H, W, 3) RGB picture, in its range."""
    return np.asarray(rgb @ LUMA_BT709.astype(np.float32), dtype=np.float32)


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) uint8 luma (BT.601) of an (H, W, 3) 8-bit RGB picture."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def without_shades(grey: Image, sigma_px: float) -> Image:
    """Return luma (H, W) minus its Gaussian blur of `sigma_px`: broad shading says little about a scene."""
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), sigma_px), dtype=np.float32)


def shrink(image: Image | NDArray[np.uint8], factor: int) -> Image:
    """Return `image` (H, W[, C]) reduced by a whole `factor` by area averaging, at least 1 x 1, float32."""
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
