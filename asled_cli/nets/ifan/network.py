"""IFAN: deblur a frame that is out of focus with filters predicted for each pixel.

Lee et al., "Iterative Filter Adaptive Network for Single Image Defocus Deblurring" (CVPR 2021). The features
of a frame at 1/8 size are filtered in place. The disparity of a dual-pixel pair, and the blurring of the
sharp picture by the same filters, supervise the filters in training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import LEAKY_SLOPE, ConvAct, conv3x3, scale_initial_weights
from asled_cli.nets.frame_wise import NoState, restore_frames
from asled_cli.nets.ifan.filtering import PER_CHANNEL, TAPS, adaptive_convolution, split_filters
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import CHANNELS, check_config
from asled_cli.nets.padding import pad_inputs
from asled_cli.nets.warp import warp

STRIDE = 8
FILTER_GAIN = 1.5  # of the Xavier-uniform start of the filter predictor's second half


@dataclass(frozen=True, slots=True, kw_only=True)
class IfanConfig:
    """Sizes of IFAN, then its open points."""

    channels: int = 32
    """Channels at full size; 64 at 1/2, 128 at 1/4 and 1/8. 16 in the small setting."""
    filters: int = 17
    """N, filters of each pixel, one after the other: reach 2N + 1 at 1/8 size. In the paper 8 to 44."""
    dual: bool = False
    """Whether the filter encoder sees the reference too: an ultra-wide lens is nearly always in focus."""
    tied_filters: bool = False
    """Whether the vertical filter is applied twice and the horizontal one never, as behind the published
    scores. New training should use both."""
    activated_residual: bool = True
    """Whether the predicted residual passes a leaky ReLU, as published; without effect where `skip` is
    "blend"."""
    skip: Literal["target", "blend"] = "target"
    """What the decoder corrects. target: the blurred frame, as published. blend: the plain swap
    (`blend.blend`), where training starts; needs `dual`."""
    reblurs: bool = False
    """Whether the reblurring network of the training is there; the result does not depend on it."""

    def __post_init__(self) -> None:
        check_config(self, {"channels": (1, CHANNELS[1] // 4), "filters": (1, 64)})
        if self.skip == "blend" and not self.dual:
            raise ValueError("skip is 'blend' and dual false, expected dual = true: there is no reference.")


class Residuals(nn.Module):
    """n times x <- act(x + conv(act(conv(x)))); for n > 1 the input is added once more."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(
            nn.Sequential(ConvAct(channels, channels), conv3x3(channels, channels)) for _ in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        start = x
        for pair in self.pairs:
            x = F.leaky_relu(x + pair(x), LEAKY_SLOPE)
        return x + start if len(self.pairs) > 1 else x


class Scales(NamedTuple):
    """Features of a frame at four sizes."""

    full: Tensor  # (N, C, H, W)
    half: Tensor  # (N, 2C, H/2, W/2)
    quarter: Tensor  # (N, 4C, H/4, W/4)
    eighth: Tensor  # (N, 4C, H/8, W/8)


class Encoder(nn.Module):
    """Feature extractor; the filter encoder has the same shape."""

    def __init__(self, in_channels: int, c: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(ConvAct(a, b, stride=2 if n else 1), ConvAct(b, b), ConvAct(b, b))
            for n, (a, b) in enumerate(pairwise((in_channels, c, 2 * c, 4 * c, 4 * c)))
        )

    def forward(self, x: Tensor) -> Scales:
        """Return the features of (N, in, H, W); H and W are multiples of 8."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return Scales(*found)


class FilterPredictor(nn.Module):
    """Filters from the filter encoder's features and the disparity, in slices of n.

    All 7 C N channels of a 1080p frame take 1 GB in 16 bits; a slice at a time takes a seventeenth.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        c, self.channels, self.count = channels, channels, filters
        self.depth = ConvAct(1, c)
        self.first = nn.Sequential(ConvAct(2 * c, c), Residuals(c, 2), Residuals(c, 2), ConvAct(c, c))
        self.second = nn.Sequential(ConvAct(c, c), Residuals(c, 2), Residuals(c, 2))
        self.out = nn.Conv2d(c, PER_CHANNEL * c * filters, 1)

    def features(self, seen: Tensor, disparity: Tensor) -> Tensor:
        """Return the features (N, C, h, w) that `slices` and `joined` make filters of."""
        mixed: Tensor = self.second(self.first(torch.cat((seen, self.depth(disparity)), dim=1)))
        return mixed

    def joined(self, features: Tensor) -> Tensor:
        """Return F with all filters, (N, 7 C n, h, w)."""
        filters: Tensor = self.out(features)
        return filters

    def slices(self, features: Tensor) -> Iterator[Tensor]:
        """Yield the filters of each n, (N, 7C, h, w)."""
        taps, weight, bias = 2 * TAPS * self.channels, self.out.weight, self.out.bias
        assert bias is not None
        for n in range(self.count):
            own = slice(n * taps, (n + 1) * taps)
            start = self.count * taps + n * self.channels
            last = slice(start, start + self.channels)
            rows = torch.cat((weight[own], weight[last]))
            yield F.conv2d(features, rows, torch.cat((bias[own], bias[last])))


class Reconstructor(nn.Module):
    """Decoder from the filtered features to the residual of a frame.

    blends: whether a fourth channel corrects the gate of `blend.blend`; then there is no activation.
    """

    def __init__(self, c: int, *, activates: bool, blends: bool = False) -> None:
        super().__init__()
        self.activates, wide = activates and not blends, 4 * c
        self.deep = nn.Sequential(ConvAct(wide, wide), Residuals(wide, 3), ConvAct(wide, wide))
        sizes = ((wide, wide), (wide, 2 * c), (2 * c, c))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in sizes)
        self.blocks = nn.ModuleList(nn.Sequential(Residuals(b, 1), Residuals(b, 1)) for _, b in sizes)
        self.out = conv3x3(c, 4 if blends else 3)

    def forward(self, filtered: Tensor, skips: Scales) -> Tensor:
        """Return the residual (N, 3, H, W), or the correction (N, 4, H, W) of `blend`."""
        x = self.deep(filtered)
        for up, blocks, skip in zip(
            self.ups, self.blocks, (skips.quarter, skips.half, skips.full), strict=True
        ):
            x = blocks(F.leaky_relu(up(x), LEAKY_SLOPE) + skip)
        residual: Tensor = self.out(x)
        return F.leaky_relu(residual, LEAKY_SLOPE) if self.activates else residual


class Reblurring(nn.Module):
    """Blurs the sharp picture at 1/8 size by filters made of the deblurring ones; in training only."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            ConvAct(PER_CHANNEL * channels * filters, channels),
            Residuals(channels, 2),
            Residuals(channels, 2),
            conv3x3(channels, PER_CHANNEL * 3 * filters),
        )

    def forward(self, sharp: Tensor, filters: Tensor, *, tied: bool) -> Tensor:
        """Return the blurred picture (N, 3, h, w)."""
        own = split_filters(self.predict(filters), 3)
        return sharp + adaptive_convolution(sharp, own, tied=tied, activate_last=False)


class IfanTrace(NamedTuple):
    """What the losses of one frame need in training."""

    target: Tensor
    reference: Tensor
    disparity: Tensor
    filters: Tensor


class Ifan(nn.Module):
    """One frame at a time; the result is clamped outside of training."""

    info = NetworkInfo(
        overlap=0,
        halo_px=160,
        bytes_per_pixel=30,
        working_bytes_per_pixel=1200,
        needs_reference=False,
        removes="defocus",
    )
    EXTRA_LOSSES = ("disparity", "reblur")

    def __init__(self, config: IfanConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or IfanConfig()
        self.info = replace(self.info, needs_reference=config.dual)
        c, deep = config.channels, 4 * config.channels
        self.encoder = Encoder(3, c)
        self.filter_encoder = Encoder(6 if config.dual else 3, c)
        self.disparity = nn.Sequential(
            ConvAct(deep, deep), Residuals(deep, 2), Residuals(deep, 2), conv3x3(deep, 1)
        )
        self.predictor = FilterPredictor(deep, config.filters)
        self.blends = config.skip == "blend"
        self.reconstructor = Reconstructor(c, activates=config.activated_residual, blends=self.blends)
        self.reblurring = Reblurring(deep, config.filters) if config.reblurs else None
        self.trace: list[IfanTrace] = []
        self._draw()
        if self.blends:
            scale_initial_weights(self.reconstructor.out, 0.0)  # untrained, it is exactly the plain swap

    def forward(
        self, inputs: ChunkInputs, state: NoState | None = None, keep: int | None = None
    ) -> tuple[Tensor, NoState]:
        """Restore the first `keep` frames of any size, see `VideoNetwork`."""
        self.trace = []
        return restore_frames(self._restore, inputs, keep)

    def _restore(self, inputs: ChunkInputs) -> Tensor:
        padded = pad_inputs(inputs, STRIDE)
        target, reference = padded.target[:, 0], padded.reference[:, 0]
        frame = target.to(self.predictor.out.weight.dtype)
        scales = self.encoder(frame)
        seen = torch.cat((frame, reference.to(frame.dtype)), dim=1) if self.config.dual else frame
        seen = self.filter_encoder(seen).eighth
        disparity = self.disparity(seen)
        features = self.predictor.features(seen, disparity)
        filtered = adaptive_convolution(
            scales.eighth, self.predictor.slices(features), tied=self.config.tied_filters
        )
        correction = self.reconstructor(filtered, scales)
        restored: Tensor = (
            blend(target, reference, padded.guide[:, 0], correction)
            if self.blends
            else target + correction.to(target.dtype)
        )
        if not self.training:
            return restored.clamp(0, 1)
        if self.reblurring is not None:
            filters = self.predictor.joined(features)
            self.trace.append(IfanTrace(target, reference, disparity, filters))
        return restored

    def extra_losses(self, truth: Tensor) -> dict[str, Tensor]:
        """Return the other losses of the last pass in training. truth: (N, T, 3, H, W).

        reblur: the sharp picture, blurred by the filters, against the input at 1/8 size. disparity: the
        target at 1/8 size, moved by the disparity, against the reference; for pairs of half apertures only.
        """
        assert self.trace and self.reblurring is not None, "extra losses need reblurs = true, in training"
        reblur, disparity = truth.new_zeros(()), truth.new_zeros(())
        for t, one in enumerate(self.trace):
            below, right = (-side % STRIDE for side in truth.shape[-2:])
            sharp = F.pad(truth[:, t], (0, right, 0, below), mode="replicate")[..., ::STRIDE, ::STRIDE]
            blurred = F.avg_pool2d(one.target, STRIDE)
            again = self.reblurring(sharp, one.filters, tied=self.config.tied_filters)
            reblur = reblur + F.mse_loss(again, blurred)
            shift = torch.cat((one.disparity, torch.zeros_like(one.disparity)), dim=1)
            moved = warp(blurred, shift)
            disparity = disparity + F.mse_loss(moved, F.avg_pool2d(one.reference, STRIDE))
        return {"disparity": disparity / len(self.trace), "reblur": reblur / len(self.trace)}

    def _draw(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not module.weight.is_meta:
                gain = FILTER_GAIN if name.startswith(("predictor.second", "predictor.out")) else 1.0
                nn.init.xavier_uniform_(module.weight, gain)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
