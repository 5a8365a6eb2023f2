"""Blocks of DAVANet: dilated residual blocks and the context module (§3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blocks import LEAKY_SLOPE, conv3x3
from asled_cli.nets.fused_conv import add_conv, conv_relu, up_relu


def activated(x: Tensor) -> Tensor:
    """Return the leaky ReLU of slope 0.1 that follows nearly every convolution."""
    return F.leaky_relu(x, LEAKY_SLOPE)


class UpAct(nn.Sequential):
    """Transposed 4x4 convolution that doubles the size, and leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1), nn.LeakyReLU(LEAKY_SLOPE)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        conv = self[0]
        assert isinstance(conv, nn.ConvTranspose2d)
        return up_relu(conv, x, LEAKY_SLOPE)


def dilated(in_channels: int, out_channels: int, dilation: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)


class Residual(nn.Module):
    """x + conv(act(conv(x))), nothing after the sum; the convolutions may be dilated."""

    def __init__(self, channels: int, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first, self.second = (dilated(channels, channels, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        return add_conv(x, self.second, conv_relu(self.first, x, LEAKY_SLOPE))


class Context(nn.Module):
    """Context module: features of four dilations side by side, joined by one convolution."""

    DILATIONS = (1, 2, 3, 4)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(dilated(channels, channels, d) for d in self.DILATIONS)
        self.join = conv3x3(len(self.DILATIONS) * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        branches = (branch for branch in self.branches if isinstance(branch, nn.Conv2d))
        return add_conv(
            x, self.join, torch.cat([conv_relu(branch, x, LEAKY_SLOPE) for branch in branches], dim=1)
        )


def residuals(channels: int, count: int) -> nn.Sequential:
    """Return `count` residual blocks."""
    return nn.Sequential(*(Residual(channels) for _ in range(count)))
