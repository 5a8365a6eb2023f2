"""No-reference sharpness of an image."""

import cv2
import numpy as np

from asled_cli.imaging.light import LUMA_BT601
from asled_cli.metrics.psnr_ssim import Picture

_NOISE_SIGMA = 1.0  # pixels; lets edges pass and most of the noise not


def sharpness(picture: Picture) -> float:
    """Return the Tenengrad sharpness: RMS gradient of the slightly smoothed luma, 8-bit steps per pixel.

    Compare only images of one scene and size. Coarse noise counts as detail.
    """
    luma = cv2.GaussianBlur(picture @ LUMA_BT601, (0, 0), _NOISE_SIGMA)
    across = cv2.Sobel(luma, cv2.CV_64F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(luma, cv2.CV_64F, 0, 1, scale=1 / 8)
    return 255.0 * float(np.sqrt(np.mean(across * across + down * down)))
