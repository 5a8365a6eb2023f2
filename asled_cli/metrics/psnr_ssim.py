"""PSNR and SSIM in the variants that published scores use.

Images are (H, W, 3) float64 RGB, 0..1, gamma as coded. All computation is in double precision.
"""

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float64]
Window = Literal["gaussian-11", "uniform-7", "gaussian-11-3d"]

IDENTICAL_DB = 100.0  # PSNR of equal images instead of infinity, so that means stay finite
# Wang et al., Image Quality Assessment (2004), section III-B.
_K1 = 0.01
_K2 = 0.03
_GAUSSIAN = cv2.getGaussianKernel(11, 1.5)  # (11, 1) float64, sum 1
_UNIFORM = np.full((7, 1), 1.0 / 7.0)  # scikit-image's default window
_SAMPLE = 49 / 48  # unbiased covariance of a 7x7 window, as scikit-image's default


def psnr(result: Picture, truth: Picture) -> float:
    """Return 10 log10(1 / mean squared error) in dB over all pixels and channels, at most IDENTICAL_DB."""
    return psnr_of_error(float(np.mean(np.square(result - truth))))


def psnr_of_error(error: float) -> float:
    """Return the PSNR in dB of a mean squared error on the scale 0..1."""
    return min(IDENTICAL_DB, 10.0 * math.log10(1.0 / error)) if error > 0.0 else IDENTICAL_DB


def ssim(result: Picture, truth: Picture, window: Window = "gaussian-11") -> float:
    """Return the mean structural similarity (Wang et al. 2004, equation 13): -1..1, 1 for equal images.

    Raises ValueError if an image is smaller than the window.
    """
    return float(ssim_map(result, truth, window).mean())


def ssim_map(result: Picture, truth: Picture, window: Window = "gaussian-11") -> Picture:
    """Return the structural similarity per pixel and channel, (h, w, 3).

    gaussian-11: 11x11 Gaussian, sigma 1.5, each channel alone, population covariance, valid region only:
    h = H - 10 (the authors' MATLAB code; BasicSR). uniform-7: 7x7 mean, each channel alone, sample
    covariance, h = H - 6 (scikit-image's defaults; RefVSR). gaussian-11-3d: an 11x11x11 Gaussian over rows,
    columns and channels, borders repeated, h = H (NAFNet's default).
    """
    if min(result.shape[:2]) < border_of(window) * 2 + 1:
        raise ValueError(f"a picture of {result.shape[:2]} pixels is smaller than the window of SSIM.")
    mean_r, mean_t = _blur(result, window), _blur(truth, window)
    unbiased = _SAMPLE if window == "uniform-7" else 1.0
    spread_r = unbiased * (_blur(result * result, window) - mean_r * mean_r)
    spread_t = unbiased * (_blur(truth * truth, window) - mean_t * mean_t)
    common = unbiased * (_blur(result * truth, window) - mean_r * mean_t)
    c1, c2 = _K1**2, _K2**2
    similarity = (2.0 * mean_r * mean_t + c1) * (2.0 * common + c2)
    similarity /= (mean_r * mean_r + mean_t * mean_t + c1) * (spread_r + spread_t + c2)
    edge = border_of(window)
    return similarity[edge : similarity.shape[0] - edge, edge : similarity.shape[1] - edge]


def border_of(window: Window) -> int:
    """Return the number of pixels on each side of an image for which `ssim_map` has no value."""
    return {"gaussian-11": 5, "uniform-7": 3, "gaussian-11-3d": 0}[window]


def _blur(picture: Picture, window: Window) -> Picture:
    kernel = _UNIFORM if window == "uniform-7" else _GAUSSIAN
    blurred = cv2.sepFilter2D(picture, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    if window == "gaussian-11-3d":
        blurred = blurred @ _ACROSS_CHANNELS
    return np.asarray(blurred, np.float64)


def _across_channels() -> Picture:
    """Return the Gaussian along the three channels as a (3, 3) matrix, outer channels repeated."""
    matrix = np.zeros((3, 3))
    for out in range(3):
        for step, weight in enumerate(_GAUSSIAN[:, 0]):
            matrix[min(max(out + step - 5, 0), 2), out] += weight
    return matrix


_ACROSS_CHANNELS = _across_channels()
