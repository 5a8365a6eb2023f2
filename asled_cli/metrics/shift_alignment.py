"""Move a result onto its truth by one translation before it is scored.

A deblurred picture may be shifted as a whole: any point of the exposure can be its reference. Koehler et al.,
"Recording and Playback of Camera Shake" (ECCV 2012) therefore score after the best translation, and so do
the published figures of several video methods.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp_homography
from asled_cli.metrics.psnr_ssim import Picture

MAX_SHIFT_PX = 12.0
_ITERATIONS = 20
_CLOSE_PX = 1e-3
_ORDERS = ((1, 0), (0, 1))  # derivatives in x and y
_LUMA = np.array([0.299, 0.587, 0.114])


def shifted_onto(result: Picture, truth: Picture) -> Picture:
    """Return `result` moved by the translation that brings it closest to `truth`, borders repeated.

    result, truth: (H, W, 3) float64, 0..1. The result itself where no translation lowers the squared error:
    a score never falls by this. Bicubic between pixels, at most MAX_SHIFT_PX either way.
    """
    own, true = ((picture @ _LUMA).astype(np.float32) for picture in (result, truth))
    single = result.astype(np.float32)  # OpenCV 5.0 leaves the border out of a warp in double precision
    window = cv2.createHanningWindow(own.shape[::-1], cv2.CV_32F)
    coarse, _ = cv2.phaseCorrelate(true.copy(), own.copy(), window)  # it writes into them
    best, least = result, float(np.mean(np.square(result - truth)))
    for start in ((0.0, 0.0), coarse):  # blur can mislead the correlation
        shift = _refined(own, true, np.array(start))
        if float(np.abs(shift).max()) > MAX_SHIFT_PX:
            continue
        moved = np.clip(_moved(single, shift).astype(np.float64), 0.0, 1.0)
        error = float(np.mean(np.square(moved - truth)))
        if error < least:
            best, least = moved, error
    return best


def _refined(own: Image, true: Image, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shift (x, y) that minimises the squared difference of the lumas, by Gauss-Newton steps."""
    margin = max(1, min(*own.shape, round(4 * MAX_SHIFT_PX)) // 4)
    inner = np.s_[margin:-margin, margin:-margin]
    for _ in range(_ITERATIONS):
        moved = _moved(own, shift)
        slopes = np.stack([cv2.Sobel(moved, cv2.CV_32F, *order, scale=1 / 8)[inner] for order in _ORDERS])
        rows = slopes.reshape(2, -1).astype(np.float64)
        step, *_ = np.linalg.lstsq(rows @ rows.T, rows @ (true - moved)[inner].ravel(), rcond=None)
        shift = np.clip(shift + step, -2 * MAX_SHIFT_PX, 2 * MAX_SHIFT_PX)
        if float(np.abs(step).max()) < _CLOSE_PX:
            break
    return shift


def _moved(picture: Image, shift: NDArray[np.float64]) -> Image:
    """Return the picture whose pixel p shows what is at p + shift."""
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]], [0.0, 0.0, 1.0]])
    size = picture.shape[1], picture.shape[0]
    return np.asarray(warp_homography(picture, matrix, size, border=cv2.BORDER_REPLICATE), np.float32)
