"""What the render pass gives for each frame: the reference laid onto it, its worth, and its motion."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_CHANNELS, Guide, guide_grid
from asled_cli.video.frames import FramePair


@dataclass(frozen=True, slots=True)
class AlignedFrame:
    """A pair with the reference registered to the target; grids are (h, w) = ceil of (H, W) / GUIDE_STRIDE.

    reference: (H, W, 3) uint16, the reference pulled onto the target, at the middle of its exposure, in its
    colours; None where none is near in time. guide: (h, w, 6) float16: 0-2 target minus reblurred reference
    (RGB, -1..1), lent by a neighbour where the exposure reaches past the scene; 3 change of the reference's
    luma by the blur (0..1); 4 weight of the reference (0..1); 5 one where the reference covers the pixel,
    else zero. flow_previous, flow_next: (h, w, 2) float16, grid pixels: what is at p here was (will be) at
    p + flow in the previous (next) frame; zero where unknown. travel: (h, w, 2) float16, how far it moves
    while the reference's own shutter is open, grid pixels. is_cut: the scene changes before this frame.
    blur_around: of a frame without a reference, (h, w) float16, channel 3 of the guides of those right beside
    it, the larger; None where neither has one, and until references are fused.
    """

    pair: FramePair
    reference: NDArray[np.uint16] | None
    guide: NDArray[np.float16]
    flow_previous: NDArray[np.float16]
    flow_next: NDArray[np.float16]
    travel: NDArray[np.float16]
    is_cut: bool
    blur_around: NDArray[np.float16] | None = None


def without_reference(pair: FramePair) -> AlignedFrame:
    """Return the pair's target with no reference."""
    height, width = pair.target.rgb.shape[:2]
    rows, columns = guide_grid(height, width)
    nothing: NDArray[np.float16] = np.zeros((rows, columns, 2), np.float16)
    return AlignedFrame(
        pair, None, np.zeros((rows, columns, GUIDE_CHANNELS), np.float16), nothing, nothing, nothing, False
    )


def swap_weight(aligned: AlignedFrame) -> NDArray[np.float32]:
    """Return (H, W) float32 0..1: how much of the registered reference to take; 0 where there is none.

    The result without a network is target + weight * (reference - target).
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
