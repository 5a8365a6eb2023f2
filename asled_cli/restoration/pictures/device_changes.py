"""The operations on changes at full size, by torch on a device: see `ChangePictures`."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.guide import Guide
from asled_cli.imaging.homography import Image
from asled_cli.imaging.on_device.codes import download, upload
from asled_cli.imaging.on_device.resizing import averaged, enlarged
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import FULL_SCALE
from asled_cli.restoration.pictures.stacking import numbers


class DeviceChanges:
    """The operations on tensors (H, W, 3) of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def block_means(self, change: Tensor, blocks: tuple[int, int]) -> Image:
        """Return the mean change of each block, see `ChangePictures`."""
        return download(averaged(change, blocks))

    def without(self, change: Tensor, excess: Image) -> Tensor:
        """Return the change minus the excess of each block, see `ChangePictures`."""
        return change - self._enlarged(excess, change)

    def faded(self, change: Tensor, sharp: Image) -> Tensor:
        """Return the change where nothing is sharp, see `ChangePictures`."""
        return change * (1 - self._enlarged(sharp[..., None], change))

    def swap(self, aligned: AlignedFrame[Any], strength: float) -> Tensor:
        """Return what the plain swap adds, see `ChangePictures`."""
        assert aligned.reference is not None
        target = numbers(aligned.pair.target.rgb, self._device)
        confidence = aligned.guide[..., Guide.CONFIDENCE, None].astype(np.float32)
        weight = self._enlarged(confidence, target) * (strength / FULL_SCALE)
        return (numbers(aligned.reference, self._device) - target).mul_(weight)

    def through_swap(
        self, change: Tensor, sharp: Image, aligned: AlignedFrame[Any], strength: float
    ) -> Tensor:
        """Return the change, faded through swap where sharp, see `ChangePictures`."""
        share = self._enlarged(sharp[..., None], change)
        return change + share * ((1 - share) * self.swap(aligned, strength) - change)

    def array(self, change: Tensor) -> NDArray[np.float32]:
        """Return the change as an array on the CPU, once it is computed."""
        return download(change)

    def _enlarged(self, blocks: NDArray[np.float32], like: Tensor) -> Tensor:
        """Return blocks (rows, columns, C) at the size of a change, bilinear."""
        height, width = like.shape[:2]
        return enlarged(upload(blocks, self._device), (width, height))
