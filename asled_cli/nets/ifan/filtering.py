"""Iterative adaptive convolution (IAC): N small filters for each pixel and channel, one after the other.

A vertical and a horizontal filter of three taps each, then a bias: together they reach 2N + 1 pixels. Filters
of one n are channels (N, 7C, h, w): C x 3 of the vertical one, C x 3 of the horizontal one, C biases.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.nets.blocks import LEAKY_SLOPE

TAPS = 3
PER_CHANNEL = 2 * TAPS + 1  # numbers for each channel and n


def adaptive_convolution(
    features: Tensor, filters: Iterable[Tensor], *, tied: bool = False, activate_last: bool = True
) -> Tensor:
    """Return the filtered features, (N, C, h, w), border repeated.

    filters: one (N, 7C, h, w) for each step. tied: the vertical filter takes the place of the horizontal one
    too, as behind the published scores.
    """
    last: Tensor | None = None
    for one in filters:
        if last is not None:
            features = F.leaky_relu(last, LEAKY_SLOPE)
        c = features.shape[1]
        vertical, horizontal, bias = torch.split(one, [TAPS * c, TAPS * c, c], dim=1)
        down = _taps(features, vertical, vertical=True)
        across = _taps(down, vertical if tied else horizontal, vertical=tied)
        last = across + bias
    assert last is not None, "at least one filter"
    return F.leaky_relu(last, LEAKY_SLOPE) if activate_last else last


def _taps(features: Tensor, weights: Tensor, *, vertical: bool) -> Tensor:
    """Return the sum of three neighbours, weighted per pixel and channel: weights (N, 3C, h, w)."""
    n, c, h, w = features.shape
    padded = F.pad(features, (0, 0, 1, 1) if vertical else (1, 1, 0, 0), mode="replicate")
    weights = weights.view(n, c, TAPS, h, w)
    axis, size = (2, h) if vertical else (3, w)
    shifted = [padded.narrow(axis, j, size) * weights[:, :, j] for j in range(TAPS)]
    return shifted[0] + shifted[1] + shifted[2]


def split_filters(joined: Tensor, channels: int) -> list[Tensor]:
    """Return the filters of each n from all at once: (N, 7 C n, h, w), where the biases of all come last."""
    count = joined.shape[1] // (PER_CHANNEL * channels)
    taps = joined[:, : 2 * TAPS * channels * count].chunk(count, dim=1)
    biases = joined[:, 2 * TAPS * channels * count :].chunk(count, dim=1)
    return [torch.cat((one, bias), dim=1) for one, bias in zip(taps, biases, strict=True)]
