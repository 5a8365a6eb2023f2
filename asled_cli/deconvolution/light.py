"""Coded frames as linear luma and tint, and back: inversion needs light, and little detail of its colour."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import linear_to_srgb, srgb_to_linear

WORK_WIDTH = 640  # pixels across at which motion is measured
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709, of linear light
_SPLIT = np.stack([_LUMA, [1, 0, 0] - _LUMA, [0, 0, 1] - _LUMA]).astype(np.float32)
_CODES = np.arange(65536, dtype=np.float32) / 65535
_LIGHT, _CODED = srgb_to_linear(_CODES), linear_to_srgb(_CODES)


def to_light(rgb: NDArray[np.uint16]) -> Image:
    """Return (H, W, 3) float32 linear light 0..1 of coded RGB 0..65535, by table."""
    return np.asarray(_LIGHT[rgb], np.float32)


def as_coded(rgb: NDArray[np.uint16]) -> Image:
    """Return coded values 0..1 of coded RGB 0..65535."""
    return rgb.astype(np.float32) / np.float32(65535)


def to_coded(light: Image) -> Image:
    """Return coded values 0..1 of linear light, clipped, by a table that is exact to 1/10000 of white."""
    codes = np.clip(light * np.float32(65535) + np.float32(0.5), 0, 65535).astype(np.uint16)
    return np.asarray(_CODED[codes], np.float32)


def split(light: Image) -> tuple[Image, Image]:
    """Return luma (H, W), and red and blue less luma at half size (H', W', 2), of light (H, W, 3)."""
    height, width = light.shape[:2]
    luma, red, blue = cv2.split(cv2.transform(light, _SPLIT))
    tint = cv2.merge([red, blue])
    if height % 2 or width % 2:
        tint = cv2.copyMakeBorder(tint, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = cv2.resize(tint, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(luma, np.float32), np.asarray(half, np.float32)


def join(luma: Image, tint: Image) -> Image:
    """Return light (H, W, 3) from luma (H, W) and tint at half size (H', W', 2)."""
    height, width = luma.shape
    full = cv2.resize(tint, (2 * tint.shape[1], 2 * tint.shape[0]), interpolation=cv2.INTER_LINEAR)
    red, blue = full[:height, :width, 0], full[:height, :width, 1]
    green = (_LUMA[0] * red + _LUMA[2] * blue) / -_LUMA[1]
    return np.asarray(cv2.merge([luma + red, luma + green, luma + blue]), np.float32)


def work_luma(rgb: NDArray[np.uint16]) -> Image:
    """Return linear luma (h, w) of a frame at the size at which motion is measured."""
    return reduce_luma(split(to_light(rgb))[0])


def reduce_luma(luma: Image) -> Image:
    """Return luma (H, W) at the size at which motion is measured."""
    size = working_size((luma.shape[1], luma.shape[0]))
    if size == (luma.shape[1], luma.shape[0]):
        return luma
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) at which motion is measured, of frames of `size`."""
    width, height = size
    return size if width <= WORK_WIDTH else (WORK_WIDTH, round(height * WORK_WIDTH / width))
