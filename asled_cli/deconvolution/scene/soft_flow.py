"""Dense flow between blurred frames: on pictures so soft that blur does not matter.

Fine structure cannot be followed from one frame to the next where both are blurred along their motion, least
of all where exposures overlap: it seems to stand still. Broad shades move as the scene does.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp

REDUCTION = 4  # times smaller than the working size
_SOFT_PX = 10.0  # sigma, working pixels
_PATCH, _STRIDE, _REFINEMENTS, _SMOOTHNESS = 16, 4, 10, 40.0  # of the flow, reduced pixels
_QUICK_STRIDE, _QUICK_REFINEMENTS, _QUICK_STEPS = 8, 5, 12
_FLOW_SOFT_PX = 4.0  # sigma of the flow's own smoothing, reduced pixels
_SPREAD = 3.0  # standard deviations of the target's shades within the range of the 8-bit pictures
_SAME_SCENE = 0.7  # correlation of two soft pictures along their flow, from which they show one scene
_SMALLEST = 2 * _PATCH  # pixels of a side that flow needs


def soft_picture(luma: Image) -> Image:
    """Return (h, w) float32 of luma (H, W) at working size, softened and REDUCTION times as small."""
    size = max(luma.shape[1] // REDUCTION, _SMALLEST), max(luma.shape[0] // REDUCTION, _SMALLEST)
    soft = cv2.GaussianBlur(luma, (0, 0), _SOFT_PX)
    return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), np.float32)


def soft_flows(pictures: Sequence[Image], target: int, *, quick: bool = False) -> list[Image]:
    """Return where the content of one picture is in each: (h, w, 2), pixels of the soft pictures.

    pictures: consecutive, by `soft_picture`. The flow to each starts from that to the one before it, outwards
    from the target, so that the result depends on these pictures alone.
    quick: with fewer patches and iterations, in a third of the time.
    """
    middle, spread = float(pictures[target].mean()), float(pictures[target].std()) + 1e-6
    codes = [_codes(picture, middle, spread) for picture in pictures]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    flow.setPatchSize(_PATCH)
    flow.setPatchStride(_QUICK_STRIDE if quick else _STRIDE)
    flow.setVariationalRefinementIterations(_QUICK_REFINEMENTS if quick else _REFINEMENTS)
    if quick:
        flow.setGradientDescentIterations(_QUICK_STEPS)
    flow.setVariationalRefinementAlpha(_SMOOTHNESS)
    still = np.zeros((*pictures[target].shape, 2), np.float32)
    found: dict[int, Image] = {target: still}
    for step in (1, -1):
        last = still
        k = target + step
        while 0 <= k < len(codes):
            last = np.asarray(flow.calc(codes[target], codes[k], last.copy()), np.float32)
            found[k] = np.asarray(cv2.GaussianBlur(last, (0, 0), _FLOW_SOFT_PX), np.float32)
            k += step
    return [found[k] for k in range(len(codes))]


def alike(first: Image, second: Image) -> bool:
    """Return whether two soft pictures show one scene, the second along its flow from the first."""
    moved = warp(second, soft_flows([first, second], 0)[1])
    a, b = first - first.mean(), moved - moved.mean()
    spread = float(a.std() * b.std())
    return spread < 1e-9 or float((a * b).mean()) / spread >= _SAME_SCENE


def _codes(picture: Image, middle: float, spread: float) -> NDArray[np.uint8]:
    return np.asarray(np.clip((picture - middle) / (_SPREAD * spread) * 127 + 128, 0, 255), np.uint8)
