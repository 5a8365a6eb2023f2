"""Confidence of the registered reference at each pixel, from blur and reblur residual.

It needs no ground truth. Where the reblurred reference equals the target, the reference is right. Where
reblurring changes nothing, the target is as sharp as the reference and may stay.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image

# Sigma of the window in which errors are averaged, reduced pixels.
_WINDOW_PX = 3.0
# Mean square difference (coded values 0..1) that noise and compression leave between equal views.
_FLOOR = 1.5e-5
# Factor from the reblur residual's energy to the sharp reference's error, part of which blur hides.
_HIDDEN_BY_BLUR = 1.0


def reference_weight(reblur_residual: Image, change: Image) -> NDArray[np.float32]:
    """Return (h, w) float32 0..1, the share of the reference in the minimum mean-square-error mixture.

    reblur_residual: (h, w, 3) target minus reblurred reference: the reference's error.
    change: (h, w, 3) reblurred minus sharp reference: the target's error. Both in coded values.
    The errors are taken as independent, so each view is weighted by the error energy of the other.
    """
    reference_error = _energy(reblur_residual) * np.float32(_HIDDEN_BY_BLUR) + np.float32(_FLOOR)
    target_error = _energy(change)
    return np.asarray(target_error / (target_error + reference_error), dtype=np.float32)


def _energy(difference: Image) -> Image:
    square = cv2.transform(difference * difference, np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(cv2.GaussianBlur(square, (0, 0), _WINDOW_PX), dtype=np.float32)
