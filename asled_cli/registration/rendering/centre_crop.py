"""The paper's reference (asled_paper §3.1): the enlarged centre of the ultra view, without registration."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import Guide, guide_grid
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.video.frames import FramePair

# Change of luma by blur if it was not measured: all counts as blurred, so that nothing is kept as sharp.
UNKNOWN_BLUR = 0.1


def crop_reference(pair: FramePair, fov_ratio: float) -> AlignedFrame:
    """Return the pair with the concentric crop of the reference, at full confidence and without motion.

    fov_ratio: field of view of the reference over the target's.
    """
    if pair.reference is None:
        return without_reference(pair)
    height, width = pair.target.rgb.shape[:2]
    matrix = centre_crop(fov_ratio, (width, height), pair.reference.rgb.shape[1::-1])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    reference = cv2.warpPerspective(
        pair.reference.rgb, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    rows, columns = guide_grid(height, width)
    difference = pair.target.rgb.astype(np.float32) - reference.astype(np.float32)
    guide = np.ones((rows, columns, 6), np.float16)
    guide[..., :3] = cv2.resize(
        difference / np.float32(65535.0), (columns, rows), interpolation=cv2.INTER_AREA
    )
    guide[..., Guide.BLUR] = UNKNOWN_BLUR
    still: NDArray[np.float16] = np.zeros((rows, columns, 2), np.float16)
    return AlignedFrame(pair, np.asarray(reference, np.uint16), guide, still, still, still, False)
