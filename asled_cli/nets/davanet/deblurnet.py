"""DeblurNet: encoder and decoder of one view (§3.2, figure 3); also a network of its own.

Zhou et al., "DAVANet: Stereo Deblurring with View Aggregation" (CVPR 2019). Sections and equations are the
paper's.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asled_cli.nets.blocks import ConvAct, conv3x3
from asled_cli.nets.davanet.blocks import Context, Residual, UpAct, activated, residuals
from asled_cli.nets.frame_wise import NoState, restore_frames
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import CHANNELS, check_config
from asled_cli.nets.padding import pad_inputs

SIZE_MULTIPLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeblurNetConfig:
    """Sizes of DeblurNet."""

    channels: int = 32
    """Channels at full size; twice as many at 1/2, four times at 1/4. 16 in the small setting."""
    activated_residual: bool = True
    """Whether the predicted residual passes a leaky ReLU, as in the network behind the published scores."""

    def __post_init__(self) -> None:
        check_config(self, {"channels": CHANNELS})


class Pyramid(NamedTuple):
    """Features of one view."""

    full: Tensor
    """(N, C, H, W)"""
    half: Tensor
    """(N, 2C, H/2, W/2)"""
    quarter: Tensor
    """(N, 4C, H/4, W/4) F of §3.2"""


class DeblurEncoder(nn.Module):
    """Encoder with the context module at its end."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.fine = nn.Sequential(ConvAct(3, c), residuals(c, 3))
        self.middle = nn.Sequential(ConvAct(c, 2 * c, stride=2), residuals(2 * c, 3))
        self.coarse = nn.Sequential(
            ConvAct(2 * c, 4 * c, stride=2),
            residuals(4 * c, 3),
            Residual(4 * c, (2, 1)),
            Residual(4 * c, (3, 1)),
            Context(4 * c),
        )

    def forward(self, frame: Tensor) -> Pyramid:
        """Return the features of a frame (N, 3, H, W)."""
        full = self.fine(frame)
        half = self.middle(full)
        return Pyramid(full, half, self.coarse(half))


class DeblurDecoder(nn.Module):
    """Decoder from 1/4 size to the residual of a frame.

    blends: whether a fourth channel corrects the gate of `blend.blend`; then there is no activation.
    """

    def __init__(self, config: DeblurNetConfig, *, blends: bool = False) -> None:
        super().__init__()
        c = config.channels
        self.activates = config.activated_residual and not blends
        self.coarse = nn.Sequential(residuals(4 * c, 3), UpAct(4 * c, 2 * c))
        self.middle = nn.Sequential(ConvAct(4 * c, 2 * c), residuals(2 * c, 3), UpAct(2 * c, c))
        self.fine = nn.Sequential(ConvAct(2 * c, c), residuals(c, 3))
        self.out = conv3x3(c, 4 if blends else 3)

    def forward(self, fused: Tensor, pyramid: Pyramid, frame: Tensor) -> Tensor:
        """Return the restored frame (N, 3, H, W), not clamped. fused: (N, 4C, H/4, W/4)."""
        return frame + self.correction(fused, pyramid).to(frame.dtype)

    def correction(self, fused: Tensor, pyramid: Pyramid) -> Tensor:
        """Return the residual (N, 3, H, W), or the correction (N, 4, H, W) of `blend`."""
        half = self.middle(torch.cat((pyramid.half, self.coarse(fused)), dim=1))
        residual: Tensor = self.out(self.fine(torch.cat((pyramid.full, half), dim=1)))
        return activated(residual) if self.activates else residual


class DeblurNet(nn.Module):
    """One view, frame by frame, without the other one."""

    info = NetworkInfo(
        overlap=0, halo_px=96, bytes_per_pixel=30, working_bytes_per_pixel=1400, needs_reference=False
    )

    def __init__(self, config: DeblurNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DeblurNetConfig()
        self.encoder = DeblurEncoder(config.channels)
        self.bridge = ConvAct(4 * config.channels, 4 * config.channels)
        self.decoder = DeblurDecoder(config)
        self.apply(draw)

    def forward(
        self, inputs: ChunkInputs, state: NoState | None = None, keep: int | None = None
    ) -> tuple[Tensor, NoState]:
        """Restore the first `keep` frames of any size, see `VideoNetwork`."""
        return restore_frames(self._restore, inputs, keep)

    def _restore(self, inputs: ChunkInputs) -> Tensor:
        frame = pad_inputs(inputs, SIZE_MULTIPLE).target[:, 0]
        pyramid = self.encoder(frame.to(self.decoder.out.weight.dtype))
        restored: Tensor = self.decoder(self.bridge(pyramid.quarter), pyramid, frame)
        return restored


def draw(module: Any) -> None:
    """Start with Kaiming-normal weights for the leaky ReLU, and the last layers of residuals small."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, a=0.1, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Residual | DeblurDecoder):
        last = module.second if isinstance(module, Residual) else module.out
        if not last.weight.is_meta:
            last.weight.data.mul_(0.1)
