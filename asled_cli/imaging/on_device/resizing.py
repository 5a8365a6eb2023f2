"""Resizing of pictures: bilinear, and by area averaging with OpenCV's own weights."""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.imaging.on_device.codes import upload

Size = tuple[int, int]  # (width, height)


def enlarged(grid: Tensor, size: Size) -> Tensor:
    """Return a grid (h, w, C) float32 at `size`, as OpenCV's INTER_LINEAR does."""
    planes = grid.permute(2, 0, 1)[None]
    full = F.interpolate(planes, size=size[::-1], mode="bilinear", align_corners=False)
    return full[0].permute(1, 2, 0)


def averaged(picture: Tensor, size: Size) -> Tensor:
    """Return a picture (H, W, C) float32 at `size`, as OpenCV's INTER_AREA does."""
    height, width, channels = picture.shape
    columns, rows = size
    if height % rows == 0 and width % columns == 0:
        return picture.view(rows, height // rows, columns, width // columns, channels).mean(dim=(1, 3))
    across, down = (_area_weights(*sides, picture.device) for sides in ((width, columns), (height, rows)))
    reduced = (down @ picture.reshape(height, -1)).view(rows, width, channels)
    return (across @ reduced).view(rows, columns, channels)


@lru_cache(maxsize=16)
def _area_weights(old: int, new: int, device: torch.device) -> Tensor:
    """Return (new, old): the share of each old pixel in each new one along a side, as OpenCV takes it."""
    unit = np.eye(old, dtype=np.float32)
    return upload(np.asarray(cv2.resize(unit, (old, new), interpolation=cv2.INTER_AREA)), device)
