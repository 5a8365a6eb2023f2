"""DAVANet: deblur both views of a pair, each with depth and features of the other.

Zhou et al., "DAVANet: Stereo Deblurring with View Aggregation" (CVPR 2019). Sections and equations are the
paper's. Its lenses are rectified. Here the registered reference leaves shifts of either sign along the line
of the lenses, which has any direction: `axes = "xy"`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import ConvAct, conv3x3, scale_initial_weights
from asled_cli.nets.davanet.blocks import Residual, activated
from asled_cli.nets.davanet.deblurnet import DeblurDecoder, DeblurEncoder, DeblurNetConfig, Pyramid, draw
from asled_cli.nets.davanet.dispbinet import SIZE_MULTIPLE, Disparities, DispBiNet
from asled_cli.nets.frame_wise import NoState, restore_frames
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import CHANNELS, check_config
from asled_cli.nets.padding import pad_inputs
from asled_cli.nets.warp import warp

QUARTER = 4
SCALE_WEIGHTS = (0.3, 0.3, 0.2, 0.1, 0.1)  # of the disparity loss, fine to coarse


@dataclass(frozen=True, slots=True, kw_only=True)
class DavaNetConfig:
    """Sizes of DAVANet, then its open points."""

    channels: int = 32
    """Channels of DeblurNet at full size."""
    disparity_channels: tuple[int, int, int, int] = (48, 48, 96, 128)
    """Channels of DispBiNet at full, half, quarter and eighth size; 24, 24, 48, 64 in the small setting."""
    disparity_features: int = 32
    """Channels of DispBiNet's features at full size."""
    axes: Literal["x", "xy"] = "xy"
    """Directions of the shift between the views. x: as published, for rectified pairs."""
    unit_px: float = 8.0
    """Pixels of one unit of disparity: 40 as published, less where registration leaves little."""
    feature_shift: float | None = None
    """Pixels at 1/4 size of one unit. None: unit_px / 4, what is right. The published network takes 1.0, a
    tenth of its shift: only for files trained so."""
    activated_residual: bool = True
    """As in `DeblurNetConfig`; without effect where `skip` is "blend"."""
    skip: Literal["target", "blend"] = "target"
    """What the decoder corrects. target: the blurred view, as published. blend: the plain swap
    (`blend.blend`), where training starts."""

    def __post_init__(self) -> None:
        least, most = CHANNELS
        check_config(self, {"channels": CHANNELS, "disparity_features": CHANNELS})
        if not all(type(c) is int and least <= c <= most for c in self.disparity_channels):
            raise ValueError(f"disparity_channels is {self.disparity_channels}, expected {least} to {most}.")
        object.__setattr__(self, "disparity_channels", tuple(self.disparity_channels))
        if self.unit_px <= 0:
            raise ValueError(f"unit_px is {self.unit_px}, expected a number above 0.")

    @property
    def quarter_shift(self) -> float:
        """Return the pixels at 1/4 size of one unit of disparity."""
        return self.unit_px / QUARTER if self.feature_shift is None else self.feature_shift


PUBLISHED = DavaNetConfig(axes="x", unit_px=40.0)
"""The network of the paper, 8.68 M parameters, with the right shift of features."""


class Gate(nn.Module):
    """GateNet (§3.4): where the other view fits, from the difference of the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = conv3x3(1, 16)
        self.first, self.second = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, difference: Tensor) -> Tensor:
        """Return G in 0..1, (N, 1, h, w), from absolute differences (N, 1, h, w)."""
        x = activated(self.entry(difference))
        x = x + self.second(activated(self.first(x)))
        return torch.sigmoid(self.out(x))


class DepthAware(nn.Module):
    """DepthAwareNet (§3.4) of one view: depth features from those of DispBiNet."""

    def __init__(self, features: int, disparities: int) -> None:
        super().__init__()
        self.entry = ConvAct(features + disparities, 32)
        self.block = Residual(32)

    def forward(self, features: Tensor, disparity: Tensor) -> Tensor:
        """Return (N, 32, h, w) of features and disparity at that size."""
        mixed: Tensor = self.block(self.entry(torch.cat((features, disparity), dim=1)))
        return mixed


class DavaNet(nn.Module):
    """DispBiNet, DeblurNet on both views with shared weights, and FusionNet between them (figure 3)."""

    info = NetworkInfo(
        overlap=0, halo_px=128, bytes_per_pixel=30, working_bytes_per_pixel=3000, size_multiple=SIZE_MULTIPLE
    )

    def __init__(self, config: DavaNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DavaNetConfig()
        c, self.signs = config.channels, 2 if config.axes == "xy" else 1
        disparities = 2 * self.signs  # of the left view, then of the right one
        self.disparity = DispBiNet(config.disparity_channels, config.disparity_features, disparities)
        self.encoder = DeblurEncoder(c)
        self.gate = Gate()
        self.depth = nn.ModuleList(DepthAware(config.disparity_features, self.signs) for _ in range(2))
        self.bridge = ConvAct(2 * 4 * c + 32, 4 * c)
        self.blends = config.skip == "blend"
        self.decoder = DeblurDecoder(
            DeblurNetConfig(channels=c, activated_residual=config.activated_residual), blends=self.blends
        )
        self.apply(draw)
        if self.blends:
            scale_initial_weights(self.decoder.out, 0.0)  # untrained, it is exactly the plain swap

    def forward(
        self, inputs: ChunkInputs, state: NoState | None = None, keep: int | None = None
    ) -> tuple[Tensor, NoState]:
        """Restore the first `keep` frames of any size, see `VideoNetwork`."""
        return restore_frames(self._restore, inputs, keep)

    def _restore(self, inputs: ChunkInputs) -> Tensor:
        padded = pad_inputs(inputs, SIZE_MULTIPLE)
        target, reference = padded.target[:, 0], padded.reference[:, 0]
        if not self.blends:
            return self.restore_view(target, reference, 0)
        found, pyramids = self._see(target, reference)
        fused = self._fuse_view((target, reference), pyramids, found, 0)
        correction = self.decoder.correction(fused, pyramids[0])
        return blend(target, reference, padded.guide[:, 0], correction)

    def restore_both(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return both views restored, (N, 3, H, W) each; H, W are multiples of 8."""
        found, pyramids = self._see(left, right)
        views = (left, right)
        one, other = (self._finish(views, pyramids, found, side) for side in (0, 1))
        return one, other

    def restore_view(self, left: Tensor, right: Tensor, side: int) -> Tensor:
        """Return one view restored: 0 left, 1 right. The other's decoder does not run."""
        found, pyramids = self._see(left, right)
        return self._finish((left, right), pyramids, found, side)

    def _see(self, left: Tensor, right: Tensor) -> tuple[Disparities, list[Pyramid]]:
        """Return the disparities of two views (N, 3, H, W) and the features of each."""
        dtype = self.decoder.out.weight.dtype
        found = self.disparity(left.to(dtype), right.to(dtype))
        return found, [self.encoder(view.to(dtype)) for view in (left, right)]

    def _finish(
        self, views: tuple[Tensor, Tensor], pyramids: list[Pyramid], found: Disparities, side: int
    ) -> Tensor:
        if self.blends:
            raise ValueError("skip is 'blend', expected 'target' to restore two views without a guide.")
        fused = self._fuse_view(views, pyramids, found, side)
        restored: Tensor = self.decoder(fused, pyramids[side], views[side])
        return restored

    def _fuse_view(
        self, views: tuple[Tensor, Tensor], pyramids: list[Pyramid], found: Disparities, side: int
    ) -> Tensor:
        """Return what the decoder of one view takes, (N, 4C, H/4, W/4)."""
        bridged: Tensor = self.bridge(
            self.fuse(views, [pyramid.quarter for pyramid in pyramids], found, side)
        )
        return bridged

    def fuse(
        self,
        views: tuple[Tensor, Tensor],
        features: list[Tensor],
        found: Disparities,
        side: int,
        gate: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return FusionNet's features of one view, (N, 8C + 32, H/4, W/4) (§3.4).

        features: of DeblurNet's encoder, (N, 4C, H/4, W/4) for each view.
        """
        own, other = views[side], views[1 - side]
        disparity = self.of_view(found.finest, side)
        shift = self._shift(disparity, side)
        seen = warp_zero(other, self.config.unit_px * shift.to(other.dtype))
        difference = (own - seen).abs().sum(dim=1, keepdim=True)
        g = (gate or self.gate)(_quarter(difference).to(disparity.dtype))
        small = _quarter(shift)
        warped = warp_zero(features[1 - side], self.config.quarter_shift * small)
        views_ = features[side] * (1 - g) + warped * g  # Eq. 4
        depth = self.depth[side](_quarter(found.features), _quarter(disparity))
        return torch.cat((features[side], views_, depth), dim=1)

    def of_view(self, disparities: Tensor, side: int) -> Tensor:
        """Return the channels of one view, (N, 1 or 2, H, W)."""
        return disparities[:, side * self.signs : (side + 1) * self.signs]

    def _shift(self, disparity: Tensor, side: int) -> Tensor:
        """Return (N, 2, H, W): where a view's content is in the other one, in units; left -d, right +d."""
        signed = disparity if side else -disparity
        return signed if self.signs == 2 else torch.cat((signed, torch.zeros_like(signed)), dim=1)


def disparity_loss(found: Disparities, true: Tensor, mask: Tensor) -> Tensor:
    """Return the masked absolute error of all sizes (L_disp), fine to coarse by SCALE_WEIGHTS.

    true: (N, D, H, W) in units. mask: (N, 1, H, W), one where it is known.
    """
    total = true.new_zeros(())
    for weight, scale in zip(SCALE_WEIGHTS, found.scales, strict=True):
        size = scale.shape[-2], scale.shape[-1]
        known = F.adaptive_avg_pool2d(mask, size)
        wanted = F.adaptive_avg_pool2d(true * mask, size) / known.clamp(min=1e-6)
        inside = (known > 0).to(true.dtype)
        error = ((scale - wanted).abs() * inside).sum() / (inside.sum() * scale.shape[1]).clamp(min=1)
        total = total + weight * error
    return total


def warp_zero(picture: Tensor, shift: Tensor) -> Tensor:
    """Return out(p) = picture(p + shift(p)), bilinear, zero outside."""
    framed = F.pad(picture, (1, 1, 1, 1))
    return warp(framed, F.pad(shift.float(), (1, 1, 1, 1), mode="replicate"))[..., 1:-1, 1:-1]


def _quarter(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, QUARTER)
