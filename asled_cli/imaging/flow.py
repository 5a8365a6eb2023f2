"""Dense optical flow: OpenCV's dense inverse search (DIS; Kroeger et al., ECCV 2016)."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.light import shrink

Grey = NDArray[np.uint8]
Preset = Literal["ultrafast", "fast", "medium"]
_PRESETS: dict[Preset, int] = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_MAX_ROUND_TRIP_PX = 2.0  # error of forward plus backward flow of a consistent pixel
_CUT_CONSISTENT = 0.2  # share of consistent pixels below which a cut is assumed
_SHIFT_REDUCTION = 4  # of the pictures in which a shift of the whole picture is searched
_SHIFT_OVERLAP = 0.5  # share of the picture that must overlap after that shift
_SHIFT_GAIN = 0.8  # share of the difference that may remain after that shift


class DenseFlow:
    """Optical flow from one 8-bit grey picture to another. Buffers are reused from call to call."""

    def __init__(
        self,
        preset: Preset = "medium",
        refinements: int | None = None,
        stride: int | None = None,
        descents: int | None = None,
    ) -> None:
        """Open the method. Each but the first is the preset's if it is None.

        refinements, descents: iterations of the variational refinement, and of the gradient descent of each
        patch. stride: pixels from patch to patch.
        """
        self._method = cv2.DISOpticalFlow.create(_PRESETS[preset])
        if refinements is not None:
            self._method.setVariationalRefinementIterations(refinements)
        if stride is not None:
            self._method.setPatchStride(stride)
        if descents is not None:
            self._method.setGradientDescentIterations(descents)
        # OpenCV needs one patch on the finest level: it refuses a smaller picture, reads outside of it, or
        # ends the process.
        self._min_side = self._method.getPatchSize() << self._method.getFinestScale()

    def between(self, first: Grey, second: Grey, start: Image | None = None) -> Image:
        """Return the flow (H, W, 2) float32, pixels: pixel p of `first` is at p + flow(p) in `second`.

        first, second: (H, W) uint8. start: initial flow, (H, W, 2) or (2,) for all pixels; None: zero.
        """
        height, width = first.shape
        a, b = self._large_enough(first), self._large_enough(second)
        guess = np.zeros((*a.shape, 2), np.float32)
        if start is not None:
            guess[:height, :width] = start
        found = np.asarray(self._method.calc(a, b, guess), dtype=np.float32)
        return found if found.shape[:2] == (height, width) else np.ascontiguousarray(found[:height, :width])

    def _large_enough(self, picture: Grey) -> Grey:
        """Return the picture, padded with its last row and column to the smallest size that OpenCV takes."""
        rows, columns = (max(0, self._min_side - side) for side in picture.shape)
        if rows or columns:
            return np.pad(picture, ((0, rows), (0, columns)), mode="edge")
        return np.ascontiguousarray(picture)  # OpenCV refuses rows with gaps between them


class MotionMeter:
    """Dense flow between neighbouring frames in both directions, with detection of cuts and large shifts.

    stride: as of `DenseFlow`. quick: with fewer iterations, in three quarters of the time.
    """

    def __init__(self, stride: int | None = None, *, quick: bool = False) -> None:
        refinements, descents = (2, 12) if quick else (3, None)
        self._flow = DenseFlow(refinements=refinements, stride=stride, descents=descents)

    def between(self, first: Grey, second: Grey) -> tuple[Image, Image] | None:
        """Return forward and backward flow, (H, W, 2) each, pixels; None at a cut. first, second: (H, W)."""
        start = np.array(_whole_shift(first, second), np.float32)
        forward = self._flow.between(first, second, start)
        backward = self._flow.between(second, first, -start)
        if _consistent_share(forward, backward) < _CUT_CONSISTENT:
            return None
        return forward, backward


def _whole_shift(first: Grey, second: Grey) -> tuple[float, float]:
    """Return the shift (x, y) from `first` to `second`, pixels, for motion too large for dense flow.

    Method: phase correlation of reduced pictures. (0, 0) if the shift does not lower their difference enough.
    """
    a, b = shrink(first, _SHIFT_REDUCTION), shrink(second, _SHIFT_REDUCTION)
    size = (a.shape[1], a.shape[0])
    if min(size) < 2:
        return 0.0, 0.0
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(a.copy(), b.copy(), window)  # it writes into them
    moved = cv2.warpAffine(
        b, np.array([[1, 0, x], [0, 1, y]]), size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=-1,
    )  # fmt: skip
    seen = moved >= 0
    if seen.mean() < _SHIFT_OVERLAP:
        return 0.0, 0.0
    still = float(np.abs(a - b)[seen].mean())
    if float(np.abs(a - moved)[seen].mean()) > still * _SHIFT_GAIN:
        return 0.0, 0.0
    return float(x) * _SHIFT_REDUCTION, float(y) * _SHIFT_REDUCTION


def _consistent_share(forward: Image, backward: Image) -> float:
    """Return the share of pixels, 0..1, whose forward plus backward flow is below _MAX_ROUND_TRIP_PX."""
    some = np.ascontiguousarray(forward[::2, ::2])
    x, y = pixel_grid((forward.shape[1], forward.shape[0]))
    there = cv2.remap(
        backward, x[::2, ::2] + some[..., 0], y[::2, ::2] + some[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    miss = some + there
    return float(np.mean(miss[..., 0] ** 2 + miss[..., 1] ** 2 < _MAX_ROUND_TRIP_PX**2))
