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
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.asled.ablation_blocks import ChannelAttention
from asled_cli.nets.asled.components import build_components
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import ConvStack, ResidualBlock, conv3x3, scale_initial_weights
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.spynet import SpyNet
from asled_cli.nets.warp import warp


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
        self.alm, self.dc, self.rmc = build_components(config)
        self.merge = ConvStack(config.merged_channels, channels, 1)
        self.attention = ChannelAttention(config.merged_channels) if config.merge_attention else None
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
        backward = self._go_backward(inputs, cuts, keep, state)
        restored = []
        for t in range(keep):
            target, reference = self._frame(inputs, t)
            previous = self._continue(state, target, reference, cuts[t])
            near = self._neighbours(inputs, t, cuts, previous.reference, None)
            state = self._propagate(self.forward_trunk, target, reference, previous, near)
            both = torch.cat((backward[t], state.features), dim=1)  # (N, 2C, H, W)
            features = F.leaky_relu(self.fusion(both), 0.1)  # F_Base, as in BasicVSR
            if self.config.fusion == "after":
                features = self._merge(features, target, reference, near)
            correction = self.decoder(features).to(inputs.target.dtype)
            if self.config.skip == "blend":
                restored.append(blend(target, reference, inputs.guide[:, t], correction))
            else:
                restored.append(inputs.target[:, t] + correction)
        assert state is not None  # keep >= 1
        return torch.stack(restored, dim=1), state

    def _go_backward(
        self, inputs: ChunkInputs, cuts: Sequence[Tensor | None], keep: int, before: AsledState | None
    ) -> list[Tensor]:
        """Return the backward features of the first `keep` frames, each (N, C, H, W).

        The pass starts at the last frame. before: the state after the frame before the first.
        """
        state: AsledState | None = None
        kept: list[Tensor] = []
        cuts_after = [*cuts[1:], None]  # a cut before frame t + 1 parts it from frame t
        for t in reversed(range(len(cuts))):
            target, reference = self._frame(inputs, t)
            following = self._continue(state, target, reference, cuts_after[t])
            near = self._neighbours(inputs, t, cuts, before and before.reference, following.reference)
            state = self._propagate(self.backward_trunk, target, reference, following, near)
            if t < keep:
                kept.insert(0, state.features)
        return kept

    def _neighbours(
        self,
        inputs: ChunkInputs,
        t: int,
        cuts: Sequence[Tensor | None],
        before: Tensor | None,
        after: Tensor | None,
    ) -> list[Tensor]:
        """Return the references that motion compensation uses at frame t, (N, 3, H, W) each.

        before: of the frame before the first, or of t - 1 in the forward pass. after: of t + 1, in the
        backward pass only.
        """
        if self.config.sides == "previous":
            found = after if after is not None else before
            assert found is not None
            return [found]
        own = self._frame(inputs, t)[1]
        if after is None:
            last = t + 1 == inputs.frames
            after = own if last else _across(cuts[t + 1], own, self._frame(inputs, t + 1)[1])
            assert before is not None
            return [before, after]
        earlier = before if t == 0 else self._frame(inputs, t - 1)[1]
        return [own if earlier is None else _across(cuts[t], own, earlier), after]

    def _propagate(
        self, trunk: ConvStack, target: Tensor, reference: Tensor, near: AsledState, seen: Sequence[Tensor]
    ) -> AsledState:
        """Run one step of BasicVSR: warp the neighbour's features, add the frame, refine.

        seen: the references of motion compensation, for fusion inside the recurrence.
        """
        moved = warp(near.features, self.flow(target, near.target))  # (N, C, H, W)
        features = trunk(torch.cat((self.config.view(target).to(moved.dtype), moved), dim=1))
        if self.config.fusion == "inside":
            features = self._merge(features, target, reference, seen)
        return AsledState(target, reference, features)

    def _merge(
        self, features: Tensor, target: Tensor, reference: Tensor, neighbours: Sequence[Tensor]
    ) -> Tensor:
        """Fuse the base branch's features with those of the three components (§3.1).

        neighbours: the references of neighbouring frames. All but `features` are (N, 3, H, W).
        """
        dtype = features.dtype

        def encode(sharper: Tensor) -> Tensor:
            features: Tensor = self.reference_encoder(self.config.view(sharper).to(dtype))
            return features

        seen = self.target_encoder(self.config.view(target).to(dtype))  # F_B
        sharp = encode(reference)  # F_Ref
        flow = self.flow if self.motion_flow is None else self.motion_flow
        moved = [self.rmc(seen, target, neighbour, encode, flow) for neighbour in neighbours]
        joined = torch.cat(
            (self.alm(seen, sharp), self.dc(seen, sharp), *moved, features), dim=1
        )  # (N, 4C, H, W)
        merged: Tensor = self.merge(joined if self.attention is None else self.attention(joined))
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


def _across(cut: Tensor | None, own: Tensor, other: Tensor) -> Tensor:
    """Return a neighbour's picture, or the frame's own in clips (N,) with a cut between them."""
    return other if cut is None else torch.where(cut.view(-1, 1, 1, 1), own, other)


def _find_cuts(reset: Tensor) -> list[Tensor | None]:
    """Return for each frame the clips (N,) with a cut before it, None where there are none.

    It synchronises with a GPU once.
    """
    some = reset.any(dim=0).tolist()
    return [clips if cut else None for clips, cut in zip(reset.unbind(dim=1), some, strict=True)]
