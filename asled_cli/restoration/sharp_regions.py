"""Keep sharp regions: their colours with any method, and all of them with a network.

Acts by blocks and continuously in its inputs, so that nothing flickers.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import Guide
from asled_cli.registration.rendering.aligned_frame import AlignedFrame

BLOCK = 64  # pixels
# A block's mean may move this far where nothing is blurred; 1 code of 8 bit is 1/255.
_LIMIT = 0.6 / 255
_SHARP = 1.0 / 255  # mean change of luma by the blur, up to which a block counts as sharp
_BLURRED = 3.0 / 255  # the same, from which colours are not limited
_ROUNDS = 3  # of the correction, as one interpolated correction does not meet the mean of every block


def limit_colour_shift(change: NDArray[np.float32], blur: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return `change` (H, W, 3), 1.0 as full scale, without shifts of block means where nothing is blurred.

    blur: (h, w) on any grid of the same picture, how much blur changed the luma, 0..1. Where no block moves
    too far the very same array comes back.
    """
    height, width = change.shape[:2]
    blocks = _blocks(width, height)
    free = _sharpness(blur, blocks)[..., None]
    for _ in range(_ROUNDS):
        mean = cv2.resize(change, blocks, interpolation=cv2.INTER_AREA).reshape(*blocks[::-1], 3)
        excess = (mean - np.clip(mean, -_LIMIT, _LIMIT)) * free
        if not excess.any():
            break
        smooth = cv2.resize(excess, (width, height), interpolation=cv2.INTER_LINEAR)
        change = np.asarray(change - smooth, np.float32)
    return change


def sharp_mask(blur: NDArray[np.float16], width: int, height: int) -> NDArray[np.float32] | None:
    """Return (H, W), 1 where nothing is blurred, faded to 0 where something is; None if that is everywhere.

    blur: as in `limit_colour_shift`. A network removes noise and compression there too, which it should keep.
    """
    sharp = _sharpness(blur, _blocks(width, height))
    if not sharp.any():
        return None
    return np.asarray(cv2.resize(sharp, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def blur_of_motion(blur_px: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return what `sharp_mask` takes for a blur of so many pixels: nothing up to 1 px, all from 2 px on."""
    return np.asarray(_SHARP + (blur_px - 1.0) * (_BLURRED - _SHARP), np.float16).clip(0)


def _blocks(width: int, height: int) -> tuple[int, int]:
    """Return the blocks in a row and in a column."""
    return max(1, round(width / BLOCK)), max(1, round(height / BLOCK))


def _sharpness(blur: NDArray[np.float16], blocks: tuple[int, int]) -> NDArray[np.float32]:
    """Return (rows, columns) of blocks: 1 where nothing is blurred, 0 from _BLURRED on."""
    strength = cv2.resize(blur.astype(np.float32), blocks, interpolation=cv2.INTER_AREA)
    sharp = (np.float32(_BLURRED) - strength) / np.float32(_BLURRED - _SHARP)
    return np.asarray(np.clip(sharp, 0, 1), np.float32)


def limit_colour(aligned: AlignedFrame, change: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Remove colour shifts from the change where nothing is blurred; no reference: no limit."""
    if change is None or aligned.reference is None:
        return change
    return limit_colour_shift(change, aligned.guide[..., Guide.BLUR])
