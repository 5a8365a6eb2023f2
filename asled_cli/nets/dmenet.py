"""DMENet: where and how much a picture is out of focus.

Lee et al., "Deep Defocus Map Estimation using Domain Adaptation" (CVPR 2019). It restores nothing: it maps a
picture (N, 3, H, W) to the blur of each pixel's own content, 0..1; sigma of a Gaussian is 7 px at 1. Only
`Dmenet` runs at inference; the discriminator D and the calibration S are for training on real pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.frame_wise import NoState, restore_frames
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import check_config

SIZE_MULTIPLE = 16
MEANS_BGR = (103.939, 116.779, 123.68)  # of the pictures that VGG19 was trained on
CONVOLUTIONS = (2, 2, 4, 4, 4)  # of VGG19 at each size
SLOPE = 0.2
REFINEMENTS = 7
MAX_SIGMA = 7.0  # px of a map of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DmenetConfig:
    """Sizes of DMENet."""

    channels: int = 64
    """Channels at full size, of VGG19; 16 in the small setting, which starts from random weights."""
    auxiliary: bool = False
    """Whether there are maps at five sizes, for training."""

    def __post_init__(self) -> None:
        check_config(self, {"channels": (2, 64)})


class OffsetNorm(nn.Module):
    """Batch norm with an offset and without a scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        normed: Tensor = self.norm(x)
        return normed + self.offset.view(1, -1, 1, 1)


class MirroredConv(nn.Module):
    """Convolution with the border mirrored, the edge repeated: half-sample symmetric."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel)
        self.edge = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, A, h, w) to (N, B, h, w)."""
        e = self.edge  # one pixel of such a border is the edge itself
        convolved: Tensor = self.conv(F.pad(x, (e, e, e, e), mode="replicate") if e else x)
        return convolved


class Unit(nn.Sequential):
    """Convolution, norm, leaky ReLU 0.2."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            MirroredConv(in_channels, out_channels, kernel),
            OffsetNorm(out_channels),
            nn.LeakyReLU(SLOPE),
        )


class Encoder(nn.Module):
    """VGG19 up to conv5_4: features of five sizes before the pools."""

    means: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        entry = 3
        for width, count in zip(widths, CONVOLUTIONS, strict=True):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [MirroredConv(entry, width), nn.ReLU()]
                entry = width
            self.stages.append(nn.Sequential(*layers))
        self.register_buffer("means", torch.tensor(MEANS_BGR).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Return d0..d4 of RGB 0..1; H and W are multiples of 16."""
        x, found = 255 * picture.flip(1) - self.means, []
        for n, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if n else x)
            found.append(x)
        return found


class Refinement(nn.Module):
    """N(1x1) + N(3x3 N(3x3)), nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.short = Unit(channels, channels, 1)
        self.long = nn.Sequential(Unit(channels, channels), Unit(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        total: Tensor = self.short(x) + self.long(x)
        return total


class AuxiliaryHead(nn.Sequential):
    """Map of one size, for training."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(Unit(in_channels, channels), MirroredConv(channels, 1), OffsetNorm(1))


class Dmenet(nn.Module):
    """The estimator B: encoder, decoder with skips, refinement, tail."""

    def __init__(self, config: DmenetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DmenetConfig()
        c = config.channels
        widths = (c, 2 * c, 4 * c, 8 * c, 8 * c)
        self.encoder = Encoder(widths)
        decoded = (4 * c, 2 * c, c)  # at 1/8, 1/4, 1/2
        entries = (widths[4] + widths[3], decoded[0] + widths[2], decoded[1] + widths[1])
        self.ups = nn.ModuleList(
            nn.Sequential(Unit(a, b), Unit(b, b), Unit(b, b)) for a, b in zip(entries, decoded, strict=True)
        )
        self.ups.append(Unit(decoded[2] + widths[0], c))
        self.refine = nn.Sequential(*(Refinement(c) for _ in range(REFINEMENTS)))
        self.tail = nn.Sequential(Unit(c, c), Unit(c, c // 2), MirroredConv(c // 2, 1))
        seen = (widths[4], *decoded, c) if config.auxiliary else ()
        narrow = (decoded[0], decoded[1], decoded[2], c // 2, c // 2)
        self.heads = nn.ModuleList(AuxiliaryHead(a, b) for a, b in zip(seen, narrow, strict=False))

    def forward(self, picture: Tensor) -> Tensor:
        """Return the map (N, 1, H, W) in 0..1 of pictures of any size."""
        return self.estimate(picture)[0]

    def estimate(self, picture: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return the map, the maps of the heads (coarse to fine), and the features that D judges."""
        height, width = picture.shape[-2:]
        pad = (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE)
        skips = self.encoder(F.pad(picture, pad, mode="replicate"))
        levels = [skips[4]]
        for up, skip in zip(self.ups, skips[3::-1], strict=True):
            larger = F.interpolate(levels[-1], scale_factor=2, mode="nearest")
            levels.append(up(torch.cat((larger, skip), dim=1)))
        found = torch.sigmoid(self.tail(self.refine(levels[-1])))
        maps = [torch.sigmoid(head(level)) for head, level in zip(self.heads, levels, strict=False)]
        return found[..., :height, :width], maps, levels[-1]


class Discriminator(nn.Sequential):
    """D: tells features of synthetic pictures from those of real ones; logits."""

    def __init__(self, channels: int = 64) -> None:
        layers: list[nn.Module] = []
        c = channels
        for a, b in ((c, c), (c, 2 * c), (2 * c, 4 * c), (4 * c, 8 * c)):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), OffsetNorm(b), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(8 * c, 1, 4, 2, 1, bias=False))


class Calibration(nn.Sequential):
    """S: tells blurred from sharp pixels of a map, 1x1 convolutions; logits."""

    WIDTHS = (1, 64, 64, 64, 32, 32, 32, 16, 16, 16)

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for a, b in zip(self.WIDTHS, self.WIDTHS[1:], strict=False):
            layers += [nn.Conv2d(a, b, 1), OffsetNorm(b), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(self.WIDTHS[-1], 1, 1))


class DefocusEstimator(nn.Module):
    """DMENet in the call that all networks share, for training and weight files: a map as a grey picture."""

    info = NetworkInfo(
        overlap=0, halo_px=128, bytes_per_pixel=30, working_bytes_per_pixel=1400, needs_reference=False,
        removes="defocus",
    )  # fmt: skip
    EXTRA_LOSSES = ("heads",)

    def __init__(self, config: DmenetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DmenetConfig()
        self.estimator = Dmenet(config)
        self.maps: list[list[Tensor]] = []

    def forward(
        self, inputs: ChunkInputs, state: NoState | None = None, keep: int | None = None
    ) -> tuple[Tensor, NoState]:
        """Return the maps of the first `keep` frames, (N, keep, 3, H, W) with equal channels."""
        self.maps = []
        return restore_frames(self._map, inputs, keep)

    def _map(self, inputs: ChunkInputs) -> Tensor:
        weight = next(self.estimator.parameters())
        found, maps, _ = self.estimator.estimate(inputs.target[:, 0].to(weight.dtype))
        self.maps.append(maps)
        return found.to(inputs.target.dtype).expand(-1, 3, -1, -1)

    def extra_losses(self, truth: Tensor) -> dict[str, Tensor]:
        """Return the error of the heads' maps of the last pass. truth: (N, T, 3, H, W)."""
        total = truth.new_zeros(())
        for t, maps in enumerate(self.maps):
            for one in maps:
                true = F.interpolate(truth[:, t, :1], size=one.shape[-2:], mode="nearest")
                total = total + F.mse_loss(one.float(), true)
        return {"heads": total / max(len(self.maps), 1)}


def map_loss(found: Tensor, maps: Sequence[Tensor], true: Tensor) -> Tensor:
    """Return the mean square error of the map and of those of the heads; true: (N, 1, H, W)."""
    total = F.mse_loss(found, true)
    for one in maps:
        total = total + F.mse_loss(one, F.interpolate(true, size=one.shape[-2:], mode="nearest"))
    return total


def fold_norms(network: Dmenet) -> Dmenet:
    """Fold every norm into the convolution before it, for inference; the network is changed and returned."""
    network.eval()
    for part in network.modules():
        if isinstance(part, Unit):
            conv, norm = part[0].conv, part[1]
            assert isinstance(norm, OffsetNorm) and isinstance(conv, nn.Conv2d) and conv.bias is not None
            mean, variance = norm.norm.running_mean, norm.norm.running_var
            assert mean is not None and variance is not None
            scale = (variance + norm.norm.eps).rsqrt()
            with torch.no_grad():
                conv.weight.mul_(scale.view(-1, 1, 1, 1))
                conv.bias.copy_((conv.bias - mean) * scale + norm.offset)
            part[1] = nn.Identity()
    return network
