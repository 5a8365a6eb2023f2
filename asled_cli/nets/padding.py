"""The one wrapper for frames of any size: repeat the border up to a multiple, run, crop."""

import torch.nn.functional as F
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.nets.interface import ChunkInputs


def pad_inputs(inputs: ChunkInputs, multiple: int = GUIDE_STRIDE) -> ChunkInputs:
    """Repeat the border at the right and bottom until both sides are multiples of `multiple`.

    multiple: of GUIDE_STRIDE. Raises ValueError if guide and frames do not fit each other.
    """
    height, width = inputs.target.shape[-2:]
    rows, columns = inputs.guide.shape[-2:]
    if (rows, columns) != (-(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE)):
        raise ValueError(
            f"guide has {(rows, columns)} pixels, expected a quarter of {(height, width)}, rounded up."
        )
    below, right = -height % multiple, -width % multiple
    if below == right == 0:
        return inputs
    grid = (height + below) // GUIDE_STRIDE - rows, (width + right) // GUIDE_STRIDE - columns
    return ChunkInputs(
        _pad(inputs.target, below, right),
        _pad(inputs.reference, below, right),
        _pad(inputs.guide, *grid),
        _pad(inputs.flow_previous, *grid),
        _pad(inputs.flow_next, *grid),
        inputs.reset,
    )


def _pad(frames: Tensor, below: int, right: int) -> Tensor:
    """Repeat the border of (N, T, C, H, W)."""
    if below == right == 0:
        return frames
    padded = F.pad(frames.flatten(0, 1), (0, right, 0, below), mode="replicate")
    return padded.view(*frames.shape[:2], *padded.shape[1:])
