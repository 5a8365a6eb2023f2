"""Frames as the input of a network, on its device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.imaging.on_device.codes import Codes, upload, values
from asled_cli.nets.interface import ChunkInputs
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import FULL_SCALE
from asled_cli.restoration.tiles import Tile


def stack_frames(frames: Sequence[AlignedFrame[Any]], device: torch.device, tile: Tile) -> ChunkInputs:
    """Stack a tile of frames to a batch of one clip on `device`; the target replaces a missing reference.

    References are arrays, or codes of the device already.
    """
    targets = [frame.pair.target.rgb for frame in frames]
    views = [
        target if frame.reference is None else frame.reference
        for frame, target in zip(frames, targets, strict=True)
    ]
    full, grid = tile.full, tile.grid
    return ChunkInputs(
        target=_pictures([target[full] for target in targets], device),
        reference=_pictures([view[full] for view in views], device),
        guide=_grids([frame.guide[grid] for frame in frames], device),
        flow_previous=_grids([frame.flow_previous[grid] for frame in frames], device),
        flow_next=_grids([frame.flow_next[grid] for frame in frames], device),
        reset=torch.tensor([[frame.is_cut for frame in frames]], device=device),
    )


def numbers(picture: NDArray[np.uint16] | Codes, device: torch.device) -> Tensor:
    """Return a picture as numbers 0..65535, float32 on `device`."""
    return values(upload(picture, device) if isinstance(picture, np.ndarray) else picture)


def _pictures(pictures: Sequence[NDArray[np.uint16] | Codes], device: torch.device) -> Tensor:
    """Return (1, T, 3, H, W) float32, 0..1, with the colours of a pixel adjacent in memory."""
    height, width, _ = pictures[0].shape
    stacked = torch.empty(len(pictures), height, width, 3, device=device)
    for place, picture in zip(stacked, pictures, strict=True):
        if device.type == "cpu" and isinstance(picture, np.ndarray):
            place.copy_(torch.from_numpy(picture))  # without another copy
        else:
            place.copy_(numbers(picture, device))
    stacked /= FULL_SCALE
    return stacked.permute(0, 3, 1, 2)[None]


def _grids(grids: list[NDArray[np.float16]], device: torch.device) -> Tensor:
    """Stack per-frame grids (h, w, C) to (1, T, C, h, w) float32."""
    stacked = upload(np.stack(grids), device).float()  # (T, h, w, C)
    return stacked.permute(0, 3, 1, 2)[None]
