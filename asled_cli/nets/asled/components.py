"""The three components of AsLeD-Net: matching (§3.2), difference (§3.3) and motion compensation (§3.4)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from asled_cli.nets.asled.ablation_blocks import ConcatAttention, ConcatMotion, PlainBlocks, PointwiseBlock
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.matching import aggregate, match
from asled_cli.nets.blocks import ConvStack, ResidualBlock, conv3x3
from asled_cli.nets.warp import warp


class AdaptiveLocalMatching(nn.Module):
    """Adaptive local matching: for each blurry position, the most similar reference features (§3.2)."""

    def __init__(self, config: AsledConfig) -> None:
        super().__init__()
        self.config = config
        self.fuse = nn.Conv2d(2 * config.channels, config.channels, 1)  # g

    def forward(self, target_features: Tensor, reference_features: Tensor) -> Tensor:
        """Fuse target and reference features, (N, C, H, W) each, into (N, C, H, W)."""
        config, search = self.config, self.config.search
        indices, similarities = match(  # Eq. 1; (N, K, H, W) each
            target_features,
            reference_features,
            config.neighbours,
            search.strategy,
            radius=search.radius,
            tile=search.tile,
        )
        # Eq. 2: softmax-weighted sum of the K, then Eq. 3: the adaptive layer
        fetched = aggregate(reference_features, indices, similarities, temperature=config.temperature)
        fused: Tensor = self.fuse(torch.cat((fetched, target_features), dim=1))
        return fused


class DifferenceCompensation(nn.Module):
    """Difference compensation: refinement by the difference to the reference (§3.3, figure 4)."""

    def __init__(self, config: AsledConfig) -> None:
        super().__init__()
        self.compares = config.difference == "dc"
        self.towards = config.dc_start == "reference"
        blocks = [ResidualBlock(config.channels) for _ in range(config.dc_blocks)]
        self.refine = blocks[0] if len(blocks) == 1 else nn.Sequential(*blocks)  # f

    def forward(self, target_features: Tensor, reference_features: Tensor) -> Tensor:
        """Fuse target and reference features, (N, C, H, W) each, into (N, C, H, W)."""
        error = target_features - reference_features if self.compares else target_features
        if self.compares and self.towards:
            error = -error
        compensated: Tensor = target_features + self.refine(error)  # Eq. 4
        return compensated


class FlowRefinement(nn.Module):
    """Correction of a flow by the frame it starts from (f of Eq. 5)."""

    def __init__(self, config: AsledConfig) -> None:
        super().__init__()
        self.corrects = config.refinement == "residual"
        self.body = ConvStack(3 + 2, config.channels, 1)
        self.out = conv3x3(config.channels, 2)

    def forward(self, target: Tensor, flow: Tensor) -> Tensor:
        """Return the corrected flow in the shape and dtype of `flow`.

        target: (N, 3, H, W). flow: (N, 2, H, W) in pixels.
        """
        seen = torch.cat((target, flow.to(target.dtype)), dim=1)  # (N, 5, H, W)
        refined: Tensor = self.out(self.body(seen)).to(flow.dtype)
        return flow + refined if self.corrects else refined


class MotionCompensation(nn.Module):
    """Features of a temporal neighbour, warped along the flow to its sharper reference (§3.4, figure 5)."""

    def __init__(self, config: AsledConfig) -> None:
        super().__init__()
        self.config = config
        self.warped = config.warped
        self.moves = config.motion != "unwarped"
        self.refine = FlowRefinement(config) if config.motion == "rmc" else None
        self.residual: nn.Sequential = ConvStack(3, config.channels, 1)  # f of Eq. 6
        if config.warped == "picture":
            self.residual = nn.Sequential(*self.residual, conv3x3(config.channels, 3))

    def forward(
        self,
        target_features: Tensor,
        target: Tensor,
        neighbour: Tensor,
        encode: Callable[[Tensor], Tensor],
        flow: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return features of this frame from the previous (or next) reference, (N, C or 3, H, W).

        target_features: (N, C, H, W). target, neighbour: the blurry frame and that reference, (N, 3, H, W).
        encode: the reference encoder. flow: a SPyNet.
        """
        features = encode(neighbour) if self.warped == "reference" else target_features
        frame = self.config.view(target).to(features.dtype)
        if self.warped == "picture":
            features = frame
        if self.moves:
            motion = flow(target, neighbour)  # Eq. 5; (N, 2, H, W)
            if self.refine is not None:
                motion = self.refine(frame, motion)  # Eq. 5
            features = warp(features, motion)
        compensated: Tensor = features + self.residual(frame)  # Eq. 6
        return compensated


def build_components(config: AsledConfig) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Build matching, difference and motion compensation, or replacements of about equal size."""
    channels = config.channels
    matching: dict[str, Callable[[], nn.Module]] = {
        "alm": lambda: AdaptiveLocalMatching(config),
        "attention": lambda: ConcatAttention(channels, kernel=1),
        "blocks": lambda: PointwiseBlock(channels),
    }
    difference: dict[str, Callable[[], nn.Module]] = {
        "dc": lambda: DifferenceCompensation(config),
        "no_reference": lambda: DifferenceCompensation(config),
        "attention": lambda: ConcatAttention(channels, kernel=3),
        "blocks": lambda: PlainBlocks(channels, 1),
    }
    motion: dict[str, Callable[[], nn.Module]] = {
        "rmc": lambda: MotionCompensation(config),
        "unrefined": lambda: MotionCompensation(config),
        "unwarped": lambda: MotionCompensation(config),
        "concat": lambda: ConcatMotion(channels),
        "blocks": lambda: PlainBlocks(channels, 2),
    }
    return matching[config.matching](), difference[config.difference](), motion[config.motion]()
