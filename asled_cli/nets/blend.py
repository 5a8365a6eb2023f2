"""Blending of the registered reference into the result, with and without a network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE, Guide
from asled_cli.nets.interface import ChunkInputs

# Plain numbers: compiled networks slice by them.
BLUR, CONFIDENCE, VALID = int(Guide.BLUR), int(Guide.CONFIDENCE), int(Guide.VALID)


def swap(inputs: ChunkInputs) -> Tensor:
    """Return target + confidence * (reference - target), (N, T, 3, H, W): the result without a network."""
    target = inputs.target.flatten(0, 1)
    confidence = enlarge(inputs.guide.flatten(0, 1)[:, CONFIDENCE : CONFIDENCE + 1], target)
    swapped = torch.addcmul(target, confidence, inputs.reference.flatten(0, 1) - target)
    return swapped.view(inputs.target.shape)


def blend(target: Tensor, reference: Tensor, guide: Tensor, correction: Tensor) -> Tensor:
    """Return target + gate * (reference - target) + residual, (N, 3, H, W) in the dtype of the target.

    target, reference: (N, 3, H, W). guide: (N, 6, h, w). correction: (N, 4, H, W), RGB residual and gate
    correction; where it is zero, the result is that of `swap`. The gate is confidence + tanh(correction). It
    is a sum, because a sigmoid that starts near its end has no gradient to learn from. Where the reference is
    not valid, the gate is not corrected.
    """
    channels = enlarge(guide[:, CONFIDENCE : VALID + 1], target)
    correction = correction.to(target.dtype)
    gate = torch.addcmul(channels[:, :1], channels[:, 1:], torch.tanh(correction[:, 3:]))
    return torch.addcmul(target + correction[:, :3], gate, reference - target)


def enlarge(guide: Tensor, like: Tensor) -> Tensor:
    """Enlarge guide channels (N, C, h, w) bilinearly to the size and dtype of `like` (N, C, H, W)."""
    height, width = like.shape[-2:]
    planes = guide.to(like.dtype, memory_format=torch.contiguous_format)  # 4 times as fast on a CPU
    full = F.interpolate(planes, scale_factor=GUIDE_STRIDE, mode="bilinear", align_corners=False)
    return full[..., :height, :width]
