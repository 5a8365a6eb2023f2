"""Replacements of AsLeD-Net's three components in the ablations (table 2; supplement, table 1).

"We replace the removed components with the residual blocks, ensuring parameter consistency": a removed
component also loses its access to the reference, because the supplement lists replacements by plain
operations that keep it as separate variants (b, i, n). Every replacement has the call of its component.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blocks import ResidualBlock, conv3x3, scale_initial_weights

ATTENTION_REDUCTION = 16  # of the squeezed channels; Hu et al., "Squeeze-and-Excitation Networks", §6.4


class PlainBlocks(nn.Module):
    """Residual blocks on the blurry features alone, about as large as the removed component."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))

    def forward(self, target_features: Tensor, *_: object) -> Tensor:
        """Map features (N, C, H, W) to (N, C, H, W)."""
        restored: Tensor = self.body(target_features)
        return restored


class PointwiseBlock(nn.Module):
    """Residual block of 1x1 convolutions, as large as the matching's fusion (8,320 to 8,256 at C = 64)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 1)
        self.second = nn.Conv2d(channels, channels, 1)
        scale_initial_weights(self.first, 1.0)
        scale_initial_weights(self.second, 0.1)  # starts near the identity, as `ResidualBlock` does

    def forward(self, target_features: Tensor, *_: object) -> Tensor:
        """Map features (N, C, H, W) to (N, C, H, W)."""
        branch: Tensor = self.second(F.relu(self.first(target_features), inplace=True))
        return target_features + branch


class ChannelAttention(nn.Module):
    """Squeeze and excitation: channels weighed by what they hold on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = _attention(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        weighted: Tensor = features * self.weigh(features)
        return weighted


class ConcatAttention(nn.Module):
    """Concatenated features of both views, one convolution, then channel attention ((b), (i)).

    kernel: 1 as in the matching's fusion, or 3, which is as large as difference compensation.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, kernel, padding=kernel // 2)
        self.attention = _attention(channels)

    def forward(self, target_features: Tensor, reference_features: Tensor) -> Tensor:
        """Fuse two feature maps (N, C, H, W) into one of the same shape."""
        mixed: Tensor = self.mix(torch.cat((target_features, reference_features), dim=1))
        weighted: Tensor = mixed * self.attention(mixed)  # (N, C, H, W) * (N, C, 1, 1)
        return weighted


class ConcatMotion(nn.Module):
    """Blurry features and the neighbour's unwarped reference features through a residual block ((n))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3x3(2 * channels, channels), ResidualBlock(channels))

    def forward(
        self,
        target_features: Tensor,
        target: Tensor,
        neighbour: Tensor,
        encode: Callable[[Tensor], Tensor],
        flow: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Fuse `target_features` with `encode(neighbour)` into (N, C, H, W); the others are not used."""
        mixed: Tensor = self.body(torch.cat((target_features, encode(neighbour)), dim=1))
        return mixed


def _attention(channels: int) -> nn.Sequential:
    """Return what gives a weight 0..1 to each channel, (N, C, 1, 1)."""
    squeezed = max(1, channels // ATTENTION_REDUCTION)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, squeezed, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(squeezed, channels, 1),
        nn.Sigmoid(),
    )
