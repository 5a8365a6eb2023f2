"""Which view of a spatial clip the wide lens recorded: the eye does not say, but it has less noise."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from asled_cli.imaging.light import luma
from asled_cli.video.decode.reader import read_runs
from asled_cli.video.frames import Clip, Frame

_MOMENTS = 3  # times at which the noise is compared
_CLEAR_RATIO = 0.8  # of the noise of two views, below which it tells the lenses apart
# Response to noise of unit variance of the difference of two Laplacians (Immerkaer, CVIU 1996).
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MASK_GAIN = 6.0
_FLAT_SHARE = 0.3  # of the pixels, those with least detail


def wide_view(clip: Clip) -> tuple[int, str]:
    """Return the view of the wide lens, 0 or 1, and the reason: less noise, else it is the main view."""
    end = clip.end_s
    starts = [
        clip.start_s + (end - clip.start_s) * Fraction(2 * i + 1, 2 * _MOMENTS) for i in range(_MOMENTS)
    ]
    main, second = (_noise(read_runs(replace(clip, view=view), starts, 1)) for view in (0, 1))
    if second < _CLEAR_RATIO * main:
        return 1, f"less noise: {second:.4f} against {main:.4f}"
    if main < _CLEAR_RATIO * second:
        return 0, f"less noise: {main:.4f} against {second:.4f}"
    return 0, "the main view, as both are equally noisy"


def _noise(runs: Iterable[list[Frame]]) -> float:
    """Return the median noise of the flat parts of some frames, luma 0 to 1."""
    found = [_noise_of(frame) for run in runs for frame in run]
    return float(np.median(found)) if found else 0.0


def _noise_of(frame: Frame) -> float:
    grey = luma(frame.rgb.astype(np.float32) / np.float32(65535))
    response = np.abs(cv2.filter2D(grey, -1, _MASK))[1:-1, 1:-1]
    soft = cv2.GaussianBlur(grey, (0, 0), 2.0)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))[1:-1, 1:-1]
    flat = slope <= np.quantile(slope, _FLAT_SHARE)
    return float(np.sqrt(np.pi / 2) / _MASK_GAIN * response[flat].mean())
