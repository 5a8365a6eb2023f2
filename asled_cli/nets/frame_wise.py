"""The clip call of networks that restore every frame by itself."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from asled_cli.nets.interface import ChunkInputs


class NoState(NamedTuple):
    """State of a network without memory."""


def restore_frames(
    restore: Callable[[ChunkInputs], Tensor], inputs: ChunkInputs, keep: int | None
) -> tuple[Tensor, NoState]:
    """Return (N, keep, 3, H, W) by `restore`, which maps one frame (T = 1) to (N, 3, H, W).

    Raises ValueError unless 1 <= keep <= T.
    """
    keep = inputs.frames if keep is None else keep
    if not 1 <= keep <= inputs.frames:
        raise ValueError(f"keep is {keep}, expected 1 to {inputs.frames}, the frames of the chunk.")
    height, width = inputs.target.shape[-2:]
    frames = [restore(inputs.slice(t, t + 1))[..., :height, :width] for t in range(keep)]
    return torch.stack(frames, dim=1), NoState()
