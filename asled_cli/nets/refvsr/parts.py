"""Parts of RefVSR: matching, fetching with affine correction, fusion by confidence."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.asled.matching import match
from asled_cli.nets.blocks import conv3x3
from asled_cli.nets.fused_conv import add_conv, conv_relu
from asled_cli.nets.warp import warp

SLOPE = 0.2
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures VGG19 was trained on
MATCHED = 16  # channels that are matched
MAX_ANGLE = math.radians(60)


def leaky(x: Tensor) -> Tensor:
    """Return the leaky ReLU of slope 0.2 of all parts but the trunks."""
    return F.leaky_relu(x, SLOPE)


class Residual(nn.Module):
    """x + conv(act(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv3x3(channels, channels), conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        return add_conv(x, self.second, conv_relu(self.first, x, SLOPE))


class ResidualList(nn.Module):
    """x + conv(n residual blocks)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(Residual(channels) for _ in range(blocks)), conv3x3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        branch: Tensor = self.body(x)
        return x + branch


class Matching(nn.Module):
    """Best reference position of each target position, and its cosine."""

    mean: Tensor
    spread: Tensor

    def __init__(self, radius: int, *, everywhere: bool) -> None:
        super().__init__()
        self.first, self.second = conv3x3(3, 64), conv3x3(64, 64)  # conv1_1 and conv1_2 of VGG19
        self.reduce = nn.Conv2d(64, MATCHED, 1)
        self.radius, self.everywhere = radius, everywhere
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, h, w) positions y w + x in the reference and (N, 1, h, w) cosines 0..1.

        target, reference: (N, 3, h, w) RGB 0..1.
        """
        indices, cosines = match(
            self.patches(target),
            self.patches(reference),
            1,
            "global" if self.everywhere else "window",
            radius=self.radius,
        )
        return indices[:, 0], cosines.clamp(min=0)

    def patches(self, picture: Tensor) -> Tensor:
        """Return the 3x3 patches of the features, border mirrored: (N, 144, h, w)."""
        x = ((picture - self.mean) / self.spread).to(self.first.weight.dtype)
        x = conv_relu(self.reduce, conv_relu(self.second, conv_relu(self.first, x)), SLOPE)
        n, c, h, w = x.shape
        mode = "reflect" if min(h, w) > 1 else "replicate"
        return F.unfold(F.pad(x, (1, 1, 1, 1), mode=mode), 3).view(n, 9 * c, h, w)


def fetch(features: Tensor, places: Tensor) -> Tensor:
    """Return the features (N, C, h, w) at positions (N, h, w)."""
    n, c, h, w = features.shape
    index = places.view(n, 1, h * w).expand(n, c, h * w)
    return features.flatten(2).gather(2, index).view(n, c, h, w)


def fetch_blocks(features: Tensor, places: Tensor) -> Tensor:
    """Return the 2x2 blocks of (N, C, 2h, 2w) at positions (N, h, w), in the same shape."""
    return F.pixel_shuffle(fetch(F.pixel_unshuffle(features, 2), places), 2)


class AffineFetch(nn.Module):
    """2x2 blocks of the reference's features, each scaled and turned about its centre."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.LeakyReLU(SLOPE), Residual(32), nn.LeakyReLU(SLOPE)
        )
        self.predict = nn.Sequential(
            nn.Conv2d(64, 32, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE),
            Residual(32),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(32, 3, 1),
        )

    def forward(self, features: Tensor, target: Tensor, reference: Tensor, places: Tensor) -> Tensor:
        """Return (N, C, 2h, 2w). features: (N, C, 2h, 2w); target, reference: (N, 3, 2h, 2w)."""
        dtype = features.dtype
        fetched = fetch_blocks(reference, places).to(dtype)
        seen = torch.cat((self.see(target.to(dtype)), self.see(fetched)), dim=1)
        affine = (self.predict(seen).float() + 1).clamp(-3, 3)
        return resample_blocks(features, places, affine)


def resample_blocks(features: Tensor, places: Tensor, affine: Tensor) -> Tensor:
    """Return the blocks at `places`, resampled bilinearly about their centres, (N, C, 2h, 2w).

    affine: (N, 3, h, w) scale in y, scale in x, and 1 + angle / 60 degrees; (1, 1, 1) is a copy.
    """
    _, h, w = places.shape
    rows, columns = torch.div(places, w, rounding_mode="floor"), places % w
    scale_y, scale_x, turn = affine.unbind(dim=1)
    angle = (turn - 1) * MAX_ANGLE
    cos, sin = angle.cos(), angle.sin()
    parts = []
    for dy in (-0.5, 0.5):
        for dx in (-0.5, 0.5):
            x, y = scale_x * dx, scale_y * dy
            parts.append(
                torch.stack((2 * columns + 0.5 + cos * x - sin * y, 2 * rows + 0.5 + sin * x + cos * y), 1)
            )
    positions = F.pixel_shuffle(torch.stack(parts, dim=2).flatten(1, 2), 2)  # (N, 2, 2h, 2w)
    own_y, own_x = torch.meshgrid(
        torch.arange(2 * h, device=places.device), torch.arange(2 * w, device=places.device), indexing="ij"
    )
    return warp(features, positions - torch.stack((own_x, own_y)).to(positions.dtype))


class Fusion(nn.Module):
    """Features of target and reference, joined as far as two confidences allow."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trust = nn.Sequential(
            conv3x3(2, 16), nn.LeakyReLU(SLOPE), conv3x3(16, channels), nn.LeakyReLU(SLOPE)
        )
        self.mix = nn.Sequential(
            conv3x3(2 * channels, channels),
            nn.LeakyReLU(SLOPE),
            conv3x3(channels, channels),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, one: Tensor, other: Tensor, confidences: Tensor) -> Tensor:
        """Return what is added, (N, C, h, w). confidences: (N, 2, h, w)."""
        added: Tensor = self.trust(confidences.to(one.dtype)) * self.mix(torch.cat((one, other), dim=1))
        return added


def enlarge_confidence(confidences: Tensor) -> Tensor:
    """Return confidences of twice the size, bicubic, in 0..1."""
    larger = F.interpolate(confidences.float(), scale_factor=2, mode="bicubic", align_corners=False)
    return larger.clamp(0, 1)
