"""Convolution blocks shared by all networks."""

from torch import Tensor, nn

from asled_cli.nets.fused_conv import add_conv, conv_relu

LEAKY_SLOPE = 0.1  # of negative values, in leaky ReLUs


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution with bias that keeps the size (or divides it by `stride`)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


class ConvAct(nn.Sequential):
    """3x3 convolution and leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(conv3x3(in_channels, out_channels, stride=stride), nn.LeakyReLU(LEAKY_SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        conv = self[0]
        assert isinstance(conv, nn.Conv2d)
        return conv_relu(conv, x, LEAKY_SLOPE)


class ResidualBlock(nn.Module):
    """Residual block x + conv(relu(conv(x))) without normalisation.

    The last convolution starts `branch_scale` times as large as usual, so that a deep stack starts near the
    identity; 0.1 as in EDSR-like networks. Without it the compact network diverged at learning rate 1e-3.
    """

    def __init__(self, channels: int, *, branch_scale: float = 0.1) -> None:
        super().__init__()
        self.first = conv3x3(channels, channels)
        self.second = conv3x3(channels, channels)
        for conv, gain in ((self.first, 1.0), (self.second, branch_scale)):
            scale_initial_weights(conv, gain)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        return add_conv(x, self.second, conv_relu(self.first, x))


class ConvStack(nn.Sequential):
    """Trunk of every branch: conv3x3 (in -> channels), leaky ReLU, then `blocks` residual blocks."""

    def __init__(self, in_channels: int, channels: int, blocks: int, *, stride: int = 1) -> None:
        entry = conv3x3(in_channels, channels, stride=stride)
        scale_initial_weights(entry, 1.0)
        super().__init__(
            entry, nn.LeakyReLU(LEAKY_SLOPE, inplace=True), *(ResidualBlock(channels) for _ in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        entry, activation, *blocks = self
        assert isinstance(entry, nn.Conv2d) and isinstance(activation, nn.LeakyReLU)
        features = conv_relu(entry, x, activation.negative_slope)
        for block in blocks:
            features = block(features)
        return features


def scale_initial_weights(conv: nn.Conv2d, gain: float) -> None:
    """Initialise with Kaiming-normal weights (fan-in, ReLU) times `gain` and zero bias.

    Weights on the meta device stay as they are.
    """
    if conv.weight.is_meta:
        return  # drawing them would load all of torch._dynamo, more than a second
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    conv.weight.data.mul_(gain)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
