"""Scores during training on whole held-out clips: network, swap and input."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.lab.training.losses import psnr_per_frame
from asled_cli.lab.training_data.cached_clip import (
    CachedClip,
    read_clip,
    stack_samples,
    to_inputs,
    to_tensors,
)
from asled_cli.nets.blend import swap
from asled_cli.nets.interface import ChunkInputs

Restore = Callable[[ChunkInputs], Tensor]


class Score(NamedTuple):
    """Mean over clips of the mean PSNR over frames, in dB."""

    input_db: float
    """The blurred target itself."""
    reference_db: float
    """The registered reference."""
    swap_db: float
    """Both blended by the confidence, without a network."""
    network_db: float
    """The network."""
    worst_gain_db: float
    """Smallest gain of the network over the swap on any clip."""


def validate(restore: Restore, clips: Sequence[Path], frames: int, device: torch.device) -> Score:
    """Score `restore` (a network's call) on the first `frames` frames of each cached clip, in full size."""
    rows = [_score_clip(restore, read_clip(path), frames, device) for path in clips]
    worst_gain = min(row[3] - row[2] for row in rows)
    blurred, reference, swapped, restored = (fmean(column) for column in zip(*rows, strict=True))
    return Score(blurred, reference, swapped, restored, worst_gain)


@torch.inference_mode()
def _score_clip(
    restore: Restore, clip: CachedClip, frames: int, device: torch.device
) -> tuple[float, float, float, float]:
    inputs, truth = to_inputs(stack_samples([to_tensors(clip)]), device)
    inputs, truth = inputs.slice(0, frames), truth[:, :frames]
    restored = restore(inputs).float()
    blurred, reference, swapped, result = (
        float(psnr_per_frame(candidate, truth).mean())
        for candidate in (inputs.target, inputs.reference, swap(inputs), restored)
    )
    return blurred, reference, swapped, result


@torch.inference_mode()
def draw_strip(restore: Restore, path: Path, frames: int, device: torch.device) -> NDArray[np.uint8]:
    """Return (H, 4 W, 3) RGB: input, swap, network and truth of a clip's middle frame, side by side."""
    inputs, truth = to_inputs(stack_samples([to_tensors(read_clip(path))]), device)
    inputs, truth = inputs.slice(0, frames), truth[:, :frames]
    middle = inputs.frames // 2
    views = (inputs.target, swap(inputs), restore(inputs).float(), truth)
    strip = torch.cat([view[0, middle] for view in views], dim=-1).clamp(0, 1)
    return np.asarray((strip * 255).round().byte().permute(1, 2, 0).cpu().numpy(), np.uint8)
