"""Frames as a player shows them: upright, with square pixels, and for a page within the range of a screen."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.light import linear_to_srgb, to_bytes
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.frames import TRANSFER_HLG, TRANSFER_PQ, Clip

Picture = NDArray[np.uint8]
WHITE_NITS = 203.0  # HDR reference white (ITU-R BT.2408)
PEAK = 1000.0 / WHITE_NITS  # times reference white that tone mapping still tells apart
BT2020 = 9  # H.273 table 2
# Linear BT.2020 to BT.709 (ITU-R BT.2087), rows of output.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def upright(picture: NDArray[Any], clip: Clip) -> NDArray[Any]:
    """Return a view of (H, W[, C]) as players turn and mirror it, by the clip's display matrix.

    The matrix (a b u c d v x y w) maps x to a x + c y and y to b x + d y. Turns by other angles than 90
    degrees are left out.
    """
    if clip.display_matrix is None:
        return picture
    a, b, _, c, d, *_ = clip.display_matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def shown_size(clip: Clip) -> tuple[int, int]:
    """Return (width, height) of the upright frames with square pixels."""
    width, height = clip.seen_size
    width = max(1, round(width * float(clip.sample_aspect_ratio or 1)))
    turned = upright(np.empty((height, width), np.uint8), clip).shape
    return turned[1], turned[0]


def fitted(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return `size` (width, height) reduced to fit into `box`, both sides even; never enlarged."""
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    return max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2)


def resized(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return (H, W[, C]) at `size` (width, height): averaged where it shrinks, else interpolated."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = picture.shape[1] >= size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how))


def to_screen(rgb: NDArray[np.uint16], clip: Clip) -> Picture:
    """Return (H, W, 3) uint8 sRGB of coded RGB; HDR is tone mapped (extended Reinhard), SDR kept."""
    if not clip.is_hdr:
        return to_8_bit(rgb)
    coded = rgb.astype(np.float32) / np.float32(65535)
    light = _from_pq(coded) if clip.color.transfer == TRANSFER_PQ else _from_hlg(coded)
    if clip.color.primaries == BT2020:
        light = np.maximum(light @ _TO_BT709.T, 0)
    return to_bytes(linear_to_srgb(light * (1 + light / PEAK**2) / (1 + light)))


def white_code(clip: Clip) -> int:
    """Return the code, 0..65535, at which HDR reference white, or white of SDR, is written."""
    share = {TRANSFER_PQ: 0.58, TRANSFER_HLG: 0.75}.get(clip.color.transfer, 1.0)
    return round(65535 * share)


def _from_pq(coded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return light in units of reference white (SMPTE ST 2084)."""
    power = coded ** (1 / 78.84375)
    light = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return np.asarray(light ** (1 / 0.1593017578125) * (10000 / WHITE_NITS), np.float32)


def _from_hlg(coded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return light in units of reference white, on a display of 1000 cd/m2 (ARIB STD-B67, gamma 1.2)."""
    scene = np.where(
        coded <= 0.5, coded**2 / 3, (np.exp((coded - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    luma = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return np.asarray(scene * np.maximum(luma, 1e-6)[..., None] ** 0.2 * PEAK, np.float32)
