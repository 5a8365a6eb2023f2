"""Temporal consistency of a restored clip, compared with the ground truth.

Optical flow is OpenCV's DIS (Kroeger et al. 2016), preset medium, on the luma of the truth. Scores carry the
name of the flow, because scores with different flows are not comparable. Images are (H, W, 3) float64 RGB,
0..1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import LUMA_BT601
from asled_cli.imaging.warp import warp
from asled_cli.metrics.psnr_ssim import Picture

FLOW_NAME = "DIS medium"  # shown with every score that depends on the flow
# Forward-backward check of Sundaram, Brox, Keutzer (ECCV 2010), equation 5, as most warping errors use it.
_OCCLUSION_SHARE = 0.01  # of the squared lengths of both flows
_OCCLUSION_PX2 = 0.5  # squared pixels

Flow = NDArray[np.float32]


@dataclass(frozen=True)
class TruthStep:
    """Motion of the ground truth from one frame to the next.

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
    """Return mean |(r_t - r_t-1) - (g_t - g_t-1)| of result r and truth g in 8-bit steps.

    It needs no flow. Flicker and wrong motion both count.
    """
    return 255.0 * float(np.mean(np.abs((after - before) - (step.after - step.before))))


def warping_error(before: Picture, after: Picture, step: TruthStep) -> float:
    """Return the mean squared difference of a frame and its predecessor warped by the true flow, times 1000.

    Only pixels that were visible before count (Lai et al., Blind Video Temporal Consistency, 2018). A blurred
    clip has a low error too, so compare it with the value of the truth.
    """
    if not step.visible.any():
        return 0.0
    error = np.square(after - warp(before, step.flow)).mean(axis=2)
    return 1000.0 * float(error[step.visible].mean())


def flow_difference(before: Picture, after: Picture, step: TruthStep) -> float:
    """Return tOF in pixels: the mean absolute difference of the result's flow and the truth's.

    Source: TecoGAN (Chu et al., 2020).
    """
    return float(np.mean(np.abs(dis_flow(before, after) - step.forward)))


def dis_flow(first: Picture, second: Picture) -> Flow:
    """Return the DIS flow (H, W, 2), float32 pixels, x right then y down.

    Content at p in `first` is at p + flow in `second`. Images under 16 pixels, which are too small for the
    method, get zero flow.
    """
    if min(first.shape[:2]) < 16:
        return np.zeros((*first.shape[:2], 2), np.float32)
    return DenseFlow().between(_grey(first), _grey(second))


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(picture @ LUMA_BT601 * 255.0), 0, 255), np.uint8)


def _visible(backward: Flow, forward: Flow) -> NDArray[np.bool_]:
    """Return where the forward-backward check holds and the target of the flow is inside the image."""
    returned = warp(forward, backward) + backward
    bound = _OCCLUSION_SHARE * (np.square(backward) + np.square(warp(forward, backward))).sum(axis=2)
    height, width = backward.shape[:2]
    x = np.arange(width) + backward[..., 0]
    y = np.arange(height)[:, None] + backward[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return np.asarray(inside & (np.square(returned).sum(axis=2) <= bound + _OCCLUSION_PX2))
