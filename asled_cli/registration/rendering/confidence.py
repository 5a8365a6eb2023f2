"""How much of the registered reference to take at each pixel, from blur and from what reblurring explains.

No ground truth is needed: where the reference, blurred like the target, equals the target, it can be trusted;
where blurring it changes nothing, the target is as sharp as the reference and may stay.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image

# Window in which errors are averaged, in reduced pixels.
_WINDOW_PX = 3.0
# Mean square difference (coded values 0..1) that noise and codecs leave between equal views.
_FLOOR = 1.5e-5
# Blur hides part of a misplaced edge: the sharp reference errs more than the blurred comparison shows.
_HIDDEN_BY_BLUR = 1.0


def reference_weight(reblur_residual: Image, change: Image) -> NDArray[np.float32]:
    """Return (h, w) float32 0..1, the share of the reference in the mean-square sense best mixture.

    reblur_residual: (h, w, 3) target minus reblurred reference, the reference's error. change: (h, w, 3)
    reblurred minus sharp reference, the target's error. Both in coded values. Errors are taken as
    independent, so each view counts by the other's error energy.
    """
    reference_error = _energy(reblur_residual) * np.float32(_HIDDEN_BY_BLUR) + np.float32(_FLOOR)
    target_error = _energy(change)
    return np.asarray(target_error / (target_error + reference_error), dtype=np.float32)


def _energy(difference: Image) -> Image:
    square = np.mean(difference * difference, axis=-1)
    return np.asarray(cv2.GaussianBlur(square, (0, 0), _WINDOW_PX), dtype=np.float32)
