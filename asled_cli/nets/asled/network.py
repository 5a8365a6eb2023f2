"""AsLeD-Net: deblur target frames with the sharper reference frames of a second lens.

Xiao and Wang, "Asymmetric Dual-Lens Video Deblurring", NeurIPS 2025. Sections, figures and equations below
are the paper's. It has no public code. Where its text leaves a choice, the choice is a field of `AsledConfig`
(config.py) with its reason, and the parts add up to the published 8.8 M parameters
(`costs.parameter_table`).

The network sees only the two views. It does not use guides and flows of the registration, except for the
confidence where `skip` is "blend". The paper does not register the reference. A registered one lets the
matching search in a small window.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.asled.ablation_blocks import ConcatAttention, ConcatMotion, PlainBlocks, PointwiseBlock
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.matching import aggregate, match
from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import ConvStack, ResidualBlock, conv3x3, scale_initial_weights
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.spynet import SpyNet
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
        self.refine = ResidualBlock(config.channels)  # f

    def forward(self, target_features: Tensor, reference_features: Tensor) -> Tensor:
        """Fuse target and reference features, (N, C, H, W) each, into (N, C, H, W)."""
        error = target_features - reference_features if self.compares else target_features
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
        self.fetches_reference = config.warped == "reference"
        self.moves = config.motion != "unwarped"
        self.refine = FlowRefinement(config) if config.motion == "rmc" else None
        self.residual = ConvStack(3, config.channels, 1)  # f of Eq. 6

    def forward(
        self,
        target_features: Tensor,
        target: Tensor,
        neighbour: Tensor,
        encode: Callable[[Tensor], Tensor],
        flow: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return features of this frame from the previous (or next) reference, (N, C, H, W).

        target_features: (N, C, H, W). target, neighbour: the blurry frame and that reference, (N, 3, H, W).
        encode: the reference encoder. flow: a SPyNet.
        """
        features = encode(neighbour) if self.fetches_reference else target_features
        frame = self.config.view(target).to(features.dtype)
        if self.moves:
            motion = flow(target, neighbour)  # Eq. 5; (N, 2, H, W)
            if self.refine is not None:
                motion = self.refine(frame, motion)  # Eq. 5
            features = warp(features, motion)
        compensated: Tensor = features + self.residual(frame)  # Eq. 6
        return compensated


class AsledState(NamedTuple):
    """State of one direction from frame to frame: the views of the last frame and the recurrent features."""

    target: Tensor  # (N, 3, H, W) RGB 0..1
    reference: Tensor  # (N, 3, H, W)
    features: Tensor  # (N, C, H, W)


class AsledNet(nn.Module):
    """AsLeD-Net (figure 3): backward pass, forward pass, reference fusion, decoder, skip connection."""

    # The memory length of a network depends on its weights. Overlap and halo hold for the published ones (see
    # their card), the overlap also for the small ones of docs/experiments/training-asled.md. Measure new
    # ones. Memory is that of `costs.estimate_memory`.
    info = NetworkInfo(overlap=5, halo_px=64, bytes_per_pixel=150, working_bytes_per_pixel=3400)

    def __init__(self, config: AsledConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AsledConfig()
        channels = config.channels
        self.flow = SpyNet()
        self.motion_flow = SpyNet() if config.flow_sharing == "separate" else None
        self.backward_trunk = ConvStack(3 + channels, channels, config.trunk_blocks)
        self.forward_trunk = ConvStack(3 + channels, channels, config.trunk_blocks)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        self.target_encoder = ConvStack(3, channels, config.encoder_blocks)
        # Not shared, but alike at the start: what matching and difference compare means the same at once.
        self.reference_encoder = (
            copy.deepcopy(self.target_encoder) if config.uses_reference else nn.Identity()
        )
        self.alm, self.dc, self.rmc = _build_components(config)
        self.merge = ConvStack(4 * channels, channels, 1)
        blends = config.skip == "blend"
        if blends:
            self.info = replace(self.info, reference_radius=2)
        out = conv3x3(channels, 4 if blends else 3)
        # untrained, the network nearly returns its input, or exactly the plain swap
        scale_initial_weights(out, 0.0 if blends else 0.1)
        self.decoder = nn.Sequential(*(ResidualBlock(channels) for _ in range(config.decoder_blocks)), out)

    def forward(
        self, inputs: ChunkInputs, state: AsledState | None = None, keep: int | None = None
    ) -> tuple[Tensor, AsledState]:
        """Restore the first `keep` frames of a chunk (all by default): (N, keep, 3, H, W), not clamped.

        The backward pass covers all T frames and starts from zero. The forward pass starts from `state` (zero
        without one) and ends with frame keep - 1. Its state is returned for the next chunk.
        Raises ValueError unless 1 <= keep <= T.
        """
        frames = inputs.target.shape[1]
        keep = frames if keep is None else keep
        if not 1 <= keep <= frames:
            raise ValueError(f"keep is {keep}, expected 1 to {frames}, the frames of the chunk.")
        cuts = _find_cuts(inputs.reset)
        backward = self._go_backward(inputs, cuts, keep)
        restored = []
        for t in range(keep):
            target, reference = self._frame(inputs, t)
            previous = self._continue(state, target, reference, cuts[t])
            state = self._propagate(self.forward_trunk, target, reference, previous)
            both = torch.cat((backward[t], state.features), dim=1)  # (N, 2C, H, W)
            features = F.leaky_relu(self.fusion(both), 0.1)  # F_Base, as in BasicVSR
            if self.config.fusion == "after":
                features = self._merge(features, target, reference, previous.reference)
            correction = self.decoder(features).to(inputs.target.dtype)
            if self.config.skip == "blend":
                restored.append(blend(target, reference, inputs.guide[:, t], correction))
            else:
                restored.append(inputs.target[:, t] + correction)
        assert state is not None  # keep >= 1
        return torch.stack(restored, dim=1), state

    def _go_backward(self, inputs: ChunkInputs, cuts: Sequence[Tensor | None], keep: int) -> list[Tensor]:
        """Return the backward features of the first `keep` frames, each (N, C, H, W).

        The pass starts at the last frame.
        """
        state: AsledState | None = None
        kept: list[Tensor] = []
        cuts_after = [*cuts[1:], None]  # a cut before frame t + 1 parts it from frame t
        for t in reversed(range(len(cuts))):
            target, reference = self._frame(inputs, t)
            following = self._continue(state, target, reference, cuts_after[t])
            state = self._propagate(self.backward_trunk, target, reference, following)
            if t < keep:
                kept.insert(0, state.features)
        return kept

    def _propagate(self, trunk: ConvStack, target: Tensor, reference: Tensor, near: AsledState) -> AsledState:
        """Run one step of BasicVSR: warp the neighbour's features, add the frame, refine."""
        moved = warp(near.features, self.flow(target, near.target))  # (N, C, H, W)
        features = trunk(torch.cat((self.config.view(target).to(moved.dtype), moved), dim=1))
        if self.config.fusion == "inside":
            features = self._merge(features, target, reference, near.reference)
        return AsledState(target, reference, features)

    def _merge(self, features: Tensor, target: Tensor, reference: Tensor, neighbour: Tensor) -> Tensor:
        """Fuse the base branch's features with those of the three components (§3.1).

        neighbour: the reference of the neighbouring frame. All but `features` are (N, 3, H, W).
        """
        dtype = features.dtype

        def encode(sharper: Tensor) -> Tensor:
            features: Tensor = self.reference_encoder(self.config.view(sharper).to(dtype))
            return features

        seen = self.target_encoder(self.config.view(target).to(dtype))  # F_B
        sharp = encode(reference)  # F_Ref
        flow = self.flow if self.motion_flow is None else self.motion_flow
        moved = self.rmc(seen, target, neighbour, encode, flow)
        merged: Tensor = self.merge(
            torch.cat((self.alm(seen, sharp), self.dc(seen, sharp), moved, features), dim=1)  # (N, 4C, H, W)
        )
        return merged

    def _frame(self, inputs: ChunkInputs, t: int) -> tuple[Tensor, Tensor]:
        """Return both views of frame t, (N, 3, H, W) each, channels_last: 2 to 3 times faster on CPUs."""
        layout = torch.channels_last
        return (
            inputs.target[:, t].contiguous(memory_format=layout),
            inputs.reference[:, t].contiguous(memory_format=layout),
        )

    def _continue(
        self, state: AsledState | None, target: Tensor, reference: Tensor, cut: Tensor | None
    ) -> AsledState:
        """Return `state`, reset where it is missing or `cut` (N,) is set.

        A reset state has zero features and the frame itself as its neighbour.
        """
        if state is not None and cut is None:
            return state
        count, _, height, width = target.shape
        dtype = self.fusion.weight.dtype
        zero = torch.zeros(count, self.config.channels, height, width, dtype=dtype, device=target.device)
        alone = AsledState(target, reference, zero.contiguous(memory_format=torch.channels_last))
        if state is None or cut is None:
            return alone
        where = cut.view(-1, 1, 1, 1)
        return AsledState(*(torch.where(where, new, old) for new, old in zip(alone, state, strict=True)))


def _find_cuts(reset: Tensor) -> list[Tensor | None]:
    """Return for each frame the clips (N,) with a cut before it, None where there are none.

    It synchronises with a GPU once.
    """
    some = reset.any(dim=0).tolist()
    return [clips if cut else None for clips, cut in zip(reset.unbind(dim=1), some, strict=True)]


def _build_components(config: AsledConfig) -> tuple[nn.Module, nn.Module, nn.Module]:
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
