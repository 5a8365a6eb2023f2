"""Reference memory: a trained codebook that any restorer can look up between its encoder and decoder.

After chapter VI of a dissertation on restoration with reference views: keys K and basis B; a query map Q
gives R = softmax(Q K) B, which is joined with the restorer's own features by a residual block. K and B can be
tuned to one clip (`reconstruct`): its own reference frames, reduced by two, must be rebuilt from the lookup.
No truth is needed for that. The last layer of the fusion starts at zero: untrained, nothing changes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blocks import ResidualBlock, conv3x3, scale_initial_weights
from asled_cli.nets.limits import check_config

UNSHUFFLE = 4  # frames are unshuffled to this part of their size
HIDDEN = 64  # channels of the query encoders


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """Sizes of the codebook. The paper's: 128 keys' channels, 512 of the basis, 1024 slots."""

    keys: int = 64
    """k, channels of a query and of a key."""
    basis: int = 64
    """b, channels of a slot's content; a multiple of 4."""
    slots: int = 256
    """m, slots of the codebook."""

    def __post_init__(self) -> None:
        check_config(self, {"keys": (1, 512), "basis": (4, 1024), "slots": (1, 4096)})
        if self.basis % 4:
            raise ValueError(f"basis is {self.basis}, expected a multiple of 4.")


class QueryEncoder(nn.Module):
    """From a frame, unshuffled to 1/4 size, to its queries (N, k, h, w)."""

    def __init__(self, keys: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv3x3(3 * UNSHUFFLE**2, HIDDEN),
            ResidualBlock(HIDDEN),
            ResidualBlock(HIDDEN),
            nn.Conv2d(HIDDEN, keys, 1),
        )

    def forward(self, frame: Tensor) -> Tensor:
        """Return the queries of a frame (N, 3, H, W); H and W are multiples of 4."""
        queries: Tensor = self.layers(F.pixel_unshuffle(frame, UNSHUFFLE))
        return queries


class ReferenceMemory(nn.Module):
    """The codebook with the query of the target, the fusion, and what rebuilds reference frames from it."""

    def __init__(self, config: MemoryConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.keys = nn.Parameter(torch.randn(config.keys, config.slots) / config.keys**0.5)
        self.basis = nn.Parameter(torch.randn(config.slots, config.basis) / config.basis**0.5)
        self.query_target = QueryEncoder(config.keys)
        self.query_reference = QueryEncoder(config.keys)
        self.join = conv3x3(channels + config.basis, channels)
        self.block = ResidualBlock(channels)
        self.out = nn.Conv2d(channels, channels, 1)
        scale_initial_weights(self.out, 0.0)
        self.rebuild = conv3x3(config.basis // 4, 3 * UNSHUFFLE**2)

    def lookup(self, queries: Tensor) -> Tensor:
        """Return R = softmax(Q K) B, (N, b, h, w), for queries (N, k, h, w)."""
        n, _, h, w = queries.shape
        rows = queries.flatten(2).transpose(1, 2)  # (N, hw, k)
        weights = torch.softmax((rows @ self.keys).float(), dim=-1).to(rows.dtype)
        return (weights @ self.basis).transpose(1, 2).reshape(n, -1, h, w)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the features (N, C, H/4, W/4) with what the codebook adds for the target (N, 3, H, W)."""
        found = self.lookup(self.query_target(target.to(features.dtype)))
        joined = F.leaky_relu(self.join(torch.cat((features, found), dim=1)), 0.1)
        added: Tensor = self.out(self.block(joined))
        return features + added

    def reconstruct(self, reference: Tensor) -> Tensor:
        """Return (N, 3, H, W): the reference, reduced by two and rebuilt with the codebook.

        H and W are multiples of 8.
        """
        reduced = F.avg_pool2d(reference, 2)
        found = F.pixel_shuffle(self.lookup(self.query_reference(reduced)), 2)  # 1/2 of 1/2 size
        detail = F.pixel_shuffle(self.rebuild(found), UNSHUFFLE)
        enlarged = F.interpolate(reduced, scale_factor=2, mode="bicubic", align_corners=False)
        return enlarged + detail

    def codebook(self) -> list[nn.Parameter]:
        """Return keys and basis, which alone are tuned to a clip."""
        return [self.keys, self.basis]
