"""Pictures of 16-bit codes on a device, and the way to it and back.

`Codes` are tensors (H, W, C) int16 with the bits of uint16, which not every device computes with.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Codes = Tensor
FULL_SCALE = 65535.0


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on `device`; to CUDA over pinned memory, without waiting. It must not change later.

    uint16 becomes `Codes`, and float64, which MPS lacks, float32. On the CPU the tensor may share the array's
    memory.
    """
    array = np.ascontiguousarray(array)
    if array.dtype == np.uint16:
        array = array.view(np.int16)
    elif array.dtype == np.float64:
        array = array.astype(np.float32)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def download(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array on the CPU, once it is computed; int16 counts as `Codes`."""
    array = tensor.contiguous().cpu().numpy()
    return array.view(np.uint16) if array.dtype == np.int16 else array


def values(codes: Codes) -> Tensor:
    """Return codes as float32 numbers 0..65535."""
    return codes.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)


def to_codes(numbers: Tensor) -> Codes:
    """Return float32 numbers as codes, rounded (halves to even, as OpenCV does) and clipped to 0..65535."""
    whole = numbers.round().clamp_(0, FULL_SCALE).to(torch.int32)
    return torch.where(whole > 0x7FFF, whole - 0x10000, whole).to(torch.int16)


def by_table(codes: Codes, table: Codes) -> Codes:
    """Return a picture (H, W, 3) with the codes of each channel replaced. table: (3, 65536)."""
    first = torch.arange(3, dtype=torch.int32, device=codes.device) * table.shape[1]
    places = codes.to(torch.int32).bitwise_and_(0xFFFF).add_(first)
    return table.reshape(-1).index_select(0, places.reshape(-1)).view(codes.shape)
