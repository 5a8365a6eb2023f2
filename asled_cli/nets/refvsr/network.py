"""RefVSR: restore a clip with a reference clip that is matched, propagated in time and fused by confidence.

Lee et al., "Reference-based Video Super-Resolution Using Multi-Camera Video Triplets" (CVPR 2022). The paper
enlarges four times; for deblurring (`task`) the target enters at half size, its pixels side by side, and the
last enlargement is left out.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.guide import Guide
from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import ConvStack, conv3x3, scale_initial_weights
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import BLOCKS, CHANNELS, check_config
from asled_cli.nets.padding import pad_inputs
from asled_cli.nets.refvsr.parts import (
    AffineFetch,
    Fusion,
    Matching,
    ResidualList,
    enlarge_confidence,
    fetch,
    leaky,
)
from asled_cli.nets.spynet import SpyNet
from asled_cli.nets.warp import scale_flow, warp

VALID = int(Guide.VALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefVsrConfig:
    """Sizes of RefVSR, then its open points. full: 48 and 30; small: 24 and 24."""

    channels: int = 48
    """C, channels of all features."""
    trunk_blocks: int = 30
    """Residual blocks of each direction."""
    task: Literal["deblur", "upscale"] = "deblur"
    """upscale: the layers of the paper, four times larger; for its parameter count, it restores no clip
    here."""
    flow: Literal["given", "spynet"] = "given"
    """Motion of the target. given: the registration's. spynet: as published, 1,440,300 more parameters."""
    search: Literal["window", "global"] = "window"
    """Where references are searched. global: as published, for crops only."""
    radius: int = 8
    """Search radius in pixels at half size."""
    skip: Literal["target", "blend"] = "target"
    """What the last layer corrects, for `deblur`. target: the blurred frame. blend: the plain swap
    (`blend.blend`), where training starts."""

    def __post_init__(self) -> None:
        check_config(self, {"channels": CHANNELS, "trunk_blocks": BLOCKS, "radius": (0, 128)})


class RefVsrState(NamedTuple):
    """State of one direction after a frame; h, w are half of the padded frame."""

    level1: Tensor
    """(N, C, h, w)"""
    level2: Tensor
    """(N, C, 2h, 2w)"""
    confidence: Tensor
    """(N, 1, h, w) accumulated."""
    target: Tensor
    """(N, 3, h, w) the frame, mean-pooled."""


class Frame(NamedTuple):
    """What one frame gives to both directions."""

    target: Tensor  # (N, 3, 2h, 2w)
    reference: Tensor  # (N, 3, 2h, 2w)
    guide: Tensor  # (N, 6, h/2, w/2)
    small: Tensor  # (N, 3, h, w)
    seen: Tensor  # (N, 12, h, w)
    fetched1: Tensor  # (N, C, h, w)
    fetched2: Tensor  # (N, C, 2h, 2w)
    confidence: Tensor  # (N, 1, h, w)


class RefVsr(nn.Module):
    """Backward over the chunk, forward from the state; both share all but the trunks."""

    info = NetworkInfo(overlap=5, halo_px=64, bytes_per_pixel=400, working_bytes_per_pixel=1500)

    def __init__(self, config: RefVsrConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RefVsrConfig()
        c, upscales = config.channels, config.task == "upscale"
        self.flow = SpyNet() if config.flow == "spynet" else None
        self.matching = Matching(config.radius, everywhere=config.search == "global")
        self.affine = AffineFetch()
        self.encode2 = nn.Sequential(conv3x3(3, c), nn.LeakyReLU(0.2), conv3x3(c, c), nn.LeakyReLU(0.2))
        self.refine2 = ResidualList(c, 4)
        self.encode1 = nn.Sequential(
            conv3x3(c, c, stride=2), nn.LeakyReLU(0.2), conv3x3(c, c), nn.LeakyReLU(0.2)
        )
        self.refine1 = ResidualList(c, 4)
        entry = (3 if upscales else 12) + c
        self.backward_trunk = ConvStack(entry, c, config.trunk_blocks)
        self.forward_trunk = ConvStack(entry, c, config.trunk_blocks)
        self.fuse1, self.level1 = Fusion(c), ResidualList(c, 8)
        self.up = conv3x3(c, 4 * c)
        self.mix2, self.fuse2, self.level2 = conv3x3(2 * c, c), Fusion(c), ResidualList(c, 4)
        self.join, self.fuse_join, self.joined = nn.Conv2d(2 * c, c, 1), Fusion(c), ResidualList(c, 4)
        self.up2 = conv3x3(c, 4 * c) if upscales else None
        self.blends = config.skip == "blend" and not upscales
        last = conv3x3(c, 4 if self.blends else 3)
        if self.blends:
            scale_initial_weights(last, 0.0)  # untrained, it is exactly the plain swap
        self.out = nn.Sequential(conv3x3(c, c), nn.LeakyReLU(0.1), last)

    def forward(
        self, inputs: ChunkInputs, state: RefVsrState | None = None, keep: int | None = None
    ) -> tuple[Tensor, RefVsrState]:
        """Restore the first `keep` frames of any size, see `VideoNetwork`; not clamped."""
        height, width = inputs.target.shape[-2:]
        keep = inputs.frames if keep is None else keep
        if not 1 <= keep <= inputs.frames:
            raise ValueError(f"keep is {keep}, expected 1 to {inputs.frames}, the frames of the chunk.")
        if self.config.task == "upscale":
            raise ValueError("task is 'upscale', expected 'deblur' to restore a clip.")
        inputs = pad_inputs(inputs)
        frames = [self.see(inputs, t) for t in range(inputs.frames)]
        nobody = torch.ones_like(inputs.reset[:, 0])
        after: RefVsrState | None = None
        future: list[RefVsrState] = []
        for t in reversed(range(inputs.frames)):
            cut = inputs.reset[:, t + 1] if t + 1 < inputs.frames else nobody
            after = self.step(self.backward_trunk, frames[t], inputs.flow_next[:, t], after, cut)
            future.append(after)
        restored = []
        for t in range(keep):
            cut = inputs.reset[:, t] if state is not None else nobody
            state = self.step(self.forward_trunk, frames[t], inputs.flow_previous[:, t], state, cut)
            restored.append(self.finish(frames[t], future[-1 - t], state)[..., :height, :width])
        assert state is not None
        return torch.stack(restored, dim=1), state

    def see(self, inputs: ChunkInputs, t: int) -> Frame:
        """Match frame t with its reference, and fetch."""
        dtype = self.join.weight.dtype
        target, reference = inputs.target[:, t], inputs.reference[:, t]
        small, coarse = F.avg_pool2d(target, 2), F.avg_pool2d(reference, 2)
        places, confidence = self.matching(small, coarse)
        features2 = self.refine2(self.encode2(reference.to(dtype)))
        features1 = self.refine1(self.encode1(features2))
        there = (inputs.guide[:, t, VALID].amax(dim=(-2, -1)) > 0).view(-1, 1, 1, 1)
        known = there.to(dtype)  # a missing reference has no confidence and no features
        return Frame(
            target,
            reference,
            inputs.guide[:, t],
            small,
            F.pixel_unshuffle(target, 2),
            known * fetch(features1, places),
            known * self.affine(features2, target, reference, places),
            there * confidence.float(),
        )

    def step(
        self, trunk: nn.Module, frame: Frame, flow: Tensor, state: RefVsrState | None, cut: Tensor
    ) -> RefVsrState:
        """Run one direction at a frame. cut: (N,) clips in which it has no neighbour."""
        n, _, h, w = frame.small.shape
        dtype, c = self.join.weight.dtype, self.config.channels
        if state is None:
            old1 = frame.fetched1.new_zeros(n, c, h, w)
            old2 = frame.fetched1.new_zeros(n, c, 2 * h, 2 * w)
            accumulated = torch.zeros_like(frame.confidence)
        else:
            motion = scale_flow(flow.float(), h, w)
            if self.flow is not None:
                motion = self.flow(frame.small, state.target)
            keeps = (~cut).view(-1, 1, 1, 1)
            old1 = warp(state.level1, motion) * keeps.to(dtype)
            old2 = warp(state.level2, scale_flow(motion, 2 * h, 2 * w)) * keeps.to(dtype)
            accumulated = warp(state.confidence, motion) * keeps
        confidences = torch.cat((accumulated, frame.confidence), dim=1)
        level1 = trunk(torch.cat((frame.seen.to(dtype), old1), dim=1))
        level1 = self.level1(level1 + self.fuse1(level1, frame.fetched1, confidences))
        raised = F.pixel_shuffle(self.up(level1), 2)
        level2 = leaky(self.mix2(torch.cat((old2, raised), dim=1)))
        level2 = level2 + self.fuse2(level2, frame.fetched2, enlarge_confidence(confidences))
        level2 = self.level2(level2)
        return RefVsrState(level1, level2, confidences.amax(dim=1, keepdim=True), frame.small)

    def finish(self, frame: Frame, back: RefVsrState, forth: RefVsrState) -> Tensor:
        """Join both directions to the restored frame, (N, 3, 2h, 2w)."""
        both = torch.cat((back.level2, forth.level2), dim=1)
        confidences = enlarge_confidence(torch.cat((back.confidence, forth.confidence), dim=1))
        joined = self.join(both) + self.fuse_join(back.level2, forth.level2, confidences)
        correction: Tensor = self.out(self.joined(joined))
        if self.blends:
            return blend(frame.target, frame.reference, frame.guide, correction)
        return frame.target + correction.to(frame.target.dtype)
