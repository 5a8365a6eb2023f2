"""Output of the render pass for each frame: the warped reference, its confidence, and motion."""

from dataclasses import dataclass
from typing import Any, Generic

import cv2
import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from asled_cli.guide import GUIDE_CHANNELS, Guide, guide_grid
from asled_cli.video.frames import FramePair

# A full picture (H, W, 3) of 16-bit codes: an array, or where a GPU renders, what it keeps of one.
Picture = TypeVar("Picture", default=NDArray[np.uint16])


@dataclass(frozen=True, slots=True)
class AlignedFrame(Generic[Picture]):
    """A pair with the reference registered to the target. Grids are (h, w) = ceil((H, W) / GUIDE_STRIDE).

    reference: (H, W, 3) uint16, or a `Picture` of these codes; the reference warped onto the target, at the
    middle of its exposure, in its colours; None if none is near in time.
    guide: (h, w, 6) float16, channels:
    0-2: reblur residual, target minus reblurred reference (RGB, -1..1); a neighbour's if the exposure reaches
    past the scene;
    3: change of the reference's luma by reblurring (0..1);
    4: confidence of the reference (0..1);
    5: 1 where the reference covers the pixel, else 0.
    flow_previous, flow_next: (h, w, 2) float16 grid pixels. The content at p was (will be) at p + flow in the
    previous (next) frame; zero if unknown.
    travel: (h, w, 2) float16 grid pixels, displacement within the reference's own exposure.
    is_cut: the scene changes before this frame.
    blur_around: (h, w) float16, for a frame without a reference: channel 3 of the frames right beside it, the
    larger value; None if neither has one, and before references are fused.
    """

    pair: FramePair
    reference: Picture | None
    guide: NDArray[np.float16]
    flow_previous: NDArray[np.float16]
    flow_next: NDArray[np.float16]
    travel: NDArray[np.float16]
    is_cut: bool
    blur_around: NDArray[np.float16] | None = None


def without_reference(pair: FramePair) -> AlignedFrame[Any]:
    """Return the pair's target with no reference."""
    height, width = pair.target.rgb.shape[:2]
    rows, columns = guide_grid(height, width)
    nothing: NDArray[np.float16] = np.zeros((rows, columns, 2), np.float16)
    return AlignedFrame(
        pair, None, np.zeros((rows, columns, GUIDE_CHANNELS), np.float16), nothing, nothing, nothing, False
    )


def swap_weight(aligned: AlignedFrame[Any]) -> NDArray[np.float32]:
    """Return (H, W) float32 0..1, the confidence of the reference at full size; 0 without a reference.

    The result of the method `swap` is target + weight * (reference - target).
    """
    height, width = aligned.pair.target.rgb.shape[:2]
    if aligned.reference is None:
        return np.zeros((height, width), np.float32)
    weight = cv2.resize(
        aligned.guide[..., Guide.CONFIDENCE].astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    return np.asarray(weight, dtype=np.float32)
