"""How much of the machine's own rate of convolution a network reaches."""

import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.lab.evaluation.costs import random_inputs, wait_for
from asled_cli.runtime.device import DTYPES
from asled_cli.zoo import checkpoint

_CHANNELS = 64  # the widest layers of the networks
_SIDE = 256  # pixels; operations grow with the number of pixels
_FRAMES = 2  # restored at once, besides the look-ahead
_REPEATS = 5


def convolution_rate(device: str, precision: str, side: int = _SIDE) -> float:
    """Return the operations per second, 2 per multiply-add, of a 3x3 convolution of 64 channels.

    side: of its pictures, pixels.
    """
    place, dtype = torch.device(device), DTYPES[precision]
    layer = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, device=place, dtype=dtype)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    picture = torch.rand(1, _CHANNELS, side, side, device=place).to(dtype)
    picture = picture.contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(_REPEATS + 1):  # the first one warms up
            wait_for(place)
            began = time.perf_counter()
            layer(picture)
            wait_for(place)
            times.append(time.perf_counter() - began)
    return float(2 * 9 * (_CHANNELS * side) ** 2 / statistics.median(times[1:]))


def operations_per_frame(weights: Path, size: tuple[int, int], side: int = _SIDE) -> float:
    """Return the operations of a network per frame of `size` (width, height), without its look-ahead.

    weights: its file. side: of the pictures on which they are counted, pixels.
    """
    network = checkpoint.load(weights).eval()
    inputs = random_inputs((side, side), _FRAMES, torch.device("cpu"))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(inputs, None, _FRAMES)
    return float(counter.get_total_flops() / _FRAMES * size[0] * size[1] / side**2)
