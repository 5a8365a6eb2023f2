"""How a restored clip behaves from frame to frame, compared with the truth.

Flow is OpenCV's DIS (Kroeger et al. 2016), preset medium, on the luma of the truth; figures carry its name,
since those with another flow do not compare. Pictures are (H, W, 3) float64 RGB, 0..1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import LUMA_BT601
from asled_cli.imaging.warp import warp
from asled_cli.metrics.psnr_ssim import Picture

FLOW_NAME = "DIS medium"
# Forward-backward check of Sundaram, Brox, Keutzer (ECCV 2010), equation 5, as most warping errors use it.
_OCCLUSION_SHARE, _OCCLUSION_PX2 = 0.01, 0.5

Flow = NDArray[np.float32]


@dataclass(frozen=True)
class TruthStep:
    """What is needed of the truth to judge one step from a frame to the next.

    before, after: the two true frames. flow: (H, W, 2) pixels, where content of `after` was in `before`.
    visible: (H, W) bool, False where it was hidden or outside. forward: (H, W, 2) flow before -> after.
    """

    before: Picture
    after: Picture
    flow: Flow
    forward: Flow
    visible: NDArray[np.bool_]


def measure_step(before: Picture, after: Picture) -> TruthStep:
    """Measure the motion of the truth from one frame to the next."""
    forward, backward = dis_flow(before, after), dis_flow(after, before)
    return TruthStep(before, after, backward, forward, _visible(backward, forward))


def temporal_gradient_error(before: Picture, after: Picture, step: TruthStep) -> float:
    """Mean absolute difference of the result's and the truth's change since the last frame, 8-bit steps.

    mean |(r_t - r_t-1) - (g_t - g_t-1)|: needs no flow; flicker and wrong motion both count.
    """
    return 255.0 * float(np.mean(np.abs((after - before) - (step.after - step.before))))


def warping_error(before: Picture, after: Picture, step: TruthStep) -> float:
    """Mean squared difference of a frame and the last one moved along the truth's flow, times 1000.

    Only where the content was visible before (Lai et al., Blind Video Temporal Consistency, 2018). A blurred
    clip scores low too: read it beside the value of the truth, and never alone.
    """
    if not step.visible.any():
        return 0.0
    error = np.square(after - warp(before, step.flow)).mean(axis=2)
    return 1000.0 * float(error[step.visible].mean())


def flow_difference(before: Picture, after: Picture, step: TruthStep) -> float:
    """tOF: mean absolute difference of the result's own flow and the truth's, pixels (TecoGAN, 2020)."""
    return float(np.mean(np.abs(dis_flow(before, after) - step.forward)))


def dis_flow(first: Picture, second: Picture) -> Flow:
    """(H, W, 2) float32 pixels, x right then y down: content at p in `first` is at p + flow in `second`.

    Pictures too small for the method (under 16 pixels) are taken not to move.
    """
    if min(first.shape[:2]) < 16:
        return np.zeros((*first.shape[:2], 2), np.float32)
    return DenseFlow().between(_grey(first), _grey(second))


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(picture @ LUMA_BT601 * 255.0), 0, 255), np.uint8)


def _visible(backward: Flow, forward: Flow) -> NDArray[np.bool_]:
    """Where going back and forth ends near the start, and the way lies inside the picture."""
    returned = warp(forward, backward) + backward
    bound = _OCCLUSION_SHARE * (np.square(backward) + np.square(warp(forward, backward))).sum(axis=2)
    height, width = backward.shape[:2]
    x = np.arange(width) + backward[..., 0]
    y = np.arange(height)[:, None] + backward[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return np.asarray(inside & (np.square(returned).sum(axis=2) <= bound + _OCCLUSION_PX2))
