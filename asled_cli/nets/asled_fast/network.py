"""`asled-fast`: a compact bidirectional recurrent network with a registered reference.

Own design. The order of work is that of recurrent video networks (extract, backward, forward, fuse). The
differences below serve mostly its speed on a CPU:
- The caller averages the reference over five frames along its motion (registration/fusion.py). Frames
  aligned at full size reduce noise and compression artefacts that features warped at 1/2 size keep.
- It does not estimate motion. The caller passes the flows of the sharp reference, and both states follow
  them.
- The reference enters the output directly: out = target + gate * (reference - target) + residual. The gate
  starts as the caller's confidence and the residual as zero, so the untrained network equals the swap of
  the two views (apart from the last point).
- It has two scales: a wide state at 1/4 size with long memory (both directions), and a thinner state at 1/2
  size for fine detail (forward, plus one frame of look-ahead).
- Each result is finally fused with those of the neighbouring frames (result_fusion.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.guide import GUIDE_CHANNELS, GUIDE_STRIDE
from asled_cli.nets.asled_fast.result_fusion import ResultFusion, ResultWindow
from asled_cli.nets.blend import blend
from asled_cli.nets.blocks import ConvStack, ResidualBlock, scale_initial_weights
from asled_cli.nets.fused_conv import add_conv, conv_relu
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.limits import BLOCKS, CHANNELS, check_config
from asled_cli.nets.memory import MemoryConfig, ReferenceMemory
from asled_cli.nets.warp import scale_flow, warp

MAX_REACH = 16  # frames on either side; each costs look-ahead and memory


@dataclass(frozen=True, slots=True, kw_only=True)
class AsledFastConfig:
    """Sizes of the network. Cost per frame grows with blocks x channels^2 at either size."""

    fine_channels: int = 32
    """Channels at 1/2 size (encoder, decoder, fine state)."""
    coarse_channels: int = 64
    """Channels at 1/4 size (both trunks and their states)."""
    encoder_blocks: int = 1
    """Residual blocks at 1/2 size before the trunks."""
    backward_blocks: int = 2
    """Residual blocks of the backward trunk."""
    forward_blocks: int = 3
    """Residual blocks of the forward trunk."""
    decoder_blocks: int = 3
    """Residual blocks at 1/2 size after the trunks."""
    fine_state: bool = True
    """Whether features at 1/2 size are recurrent too."""
    fusion_radius: int = 3
    """Frames on either side whose results are fused with a frame's; 0: none."""
    fusion_channels: int = 24
    """Channels at 1/2 size of the network that predicts the fusion weights."""
    fusion_blocks: int = 2
    """Residual blocks of that network."""
    memory: bool = False
    """Whether the features at 1/4 size also look up a codebook, which can be tuned to a clip (memory.py)."""

    def __post_init__(self) -> None:
        blocks = ("encoder_blocks", "backward_blocks", "forward_blocks", "decoder_blocks", "fusion_blocks")
        channels = ("fine_channels", "coarse_channels", "fusion_channels")
        limits = dict.fromkeys(blocks, BLOCKS) | dict.fromkeys(channels, CHANNELS)
        check_config(self, limits | {"fusion_radius": (0, MAX_REACH)})


class AsledFastState(NamedTuple):
    """State after the finished frames. R is `fusion_radius`.

    The recurrence runs up to R frames ahead of them, because their results are fused.
    """

    coarse: Tensor
    """(N, coarse_channels, H/4, W/4)"""
    fine: Tensor
    """(N, fine_channels, H/2, W/2)"""
    results: Tensor
    """(N, 3 (R + ahead), H, W) RGB before fusion: of the last R finished frames, then of those ahead."""
    steps: Tensor
    """(N, 6 R, H/4, W/4) steps of the last R finished frames (`ResultWindow`)."""


class FrameFeatures(NamedTuple):
    """One encoded frame, or the state of the forward pass after it."""

    fine: Tensor
    """(N, fine_channels, H/2, W/2)"""
    coarse: Tensor
    """(N, coarse_channels, H/4, W/4)"""


class Encoder(nn.Module):
    """Encoder of both views and the guide of one frame to features at 1/2 and 1/4 size."""

    def __init__(self, config: AsledFastConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_channels, config.coarse_channels
        # A 6x6 convolution with stride 2 is a pixel-unshuffle and a 3x3 convolution in one, without the copy.
        self.entry = nn.Conv2d(2 * 3, fine, 6, stride=2, padding=2)
        scale_initial_weights(self.entry, 1.0)
        self.blocks = nn.Sequential(*(ResidualBlock(fine) for _ in range(config.encoder_blocks)))
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.guide = nn.Conv2d(GUIDE_CHANNELS, coarse, 3, padding=1)

    def forward(self, target: Tensor, reference: Tensor, guide: Tensor) -> FrameFeatures:
        """Return the features of one frame.

        target, reference: (N, 3, H, W), H and W multiples of 4. guide: (N, 6, H/4, W/4).
        """
        dtype = self.entry.weight.dtype
        views = torch.cat(((target - 0.5).to(dtype), (reference - target).to(dtype)), dim=1)  # (N, 6, H, W)
        views = views.contiguous(memory_format=torch.channels_last)
        fine = self.blocks(conv_relu(self.entry, views, 0.1))  # (N, C, H/2, W/2)
        guide = guide.to(dtype, memory_format=torch.channels_last)
        coarse = F.leaky_relu(add_conv(self.guide(guide), self.down, fine), 0.1, inplace=True)
        return FrameFeatures(fine, coarse)


class Decoder(nn.Module):
    """Decoder of the features of one frame and its neighbours to gate and residual at full size."""

    def __init__(self, config: AsledFastConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_channels, config.coarse_channels
        self.up = nn.ConvTranspose2d(coarse, fine, 2, stride=2)
        # One 1x1 convolution on all of them at once, written as a sum: joining them first costs a CPU more
        # (60 ms at 1080p) than the convolution.
        sources = 3 if config.fine_state else 1
        self.fuse = nn.ModuleList(nn.Conv2d(fine, fine, 1, bias=False) for _ in range(sources))
        self.blocks = nn.Sequential(*(ResidualBlock(fine) for _ in range(config.decoder_blocks)))
        self.head = nn.Conv2d(fine, 4 * 4, 3, padding=1)
        scale_initial_weights(self.head, 0.0)

    def forward(self, coarse: Tensor, fine: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return features (N, C, H/2, W/2), and (N, 4, H, W): RGB residual and gate correction.

        coarse: (N, C, H/4, W/4). fine: this frame's features, then the aligned ones of its neighbours.
        """
        joined = self.up(coarse)
        for project, features in zip(self.fuse, fine, strict=True):
            assert isinstance(project, nn.Conv2d)
            joined = add_conv(joined, project, features)
        features = self.blocks(joined)
        return features, F.pixel_shuffle(self.head(features), 2)


class AsledFast(nn.Module):
    """Network that restores a clip from its registered reference; see the module docstring."""

    info = NetworkInfo(
        overlap=2, halo_px=32, bytes_per_pixel=48, working_bytes_per_pixel=160, reference_radius=2
    )  # without fusion, which needs `fusion_radius` more frames of look-ahead

    def __init__(self, config: AsledFastConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AsledFastConfig()
        coarse, reach = config.coarse_channels, config.fusion_radius
        self.info = replace(self.info, overlap=self.info.overlap + reach, ahead=reach, adapts=config.memory)
        self.encoder = Encoder(config)
        self.backward_trunk = ConvStack(2 * coarse, coarse, config.backward_blocks)
        self.forward_trunk = ConvStack(3 * coarse, coarse, config.forward_blocks)
        self.decoder = Decoder(config)
        if reach:
            self.fusion = ResultFusion(2 * reach, config.fusion_channels, config.fusion_blocks)
        if config.memory:
            self.memory = ReferenceMemory(MemoryConfig(), coarse)

    @property
    def EXTRA_LOSSES(self) -> tuple[str, ...]:
        """Names of the losses besides that of the result."""
        return ("memory",) if self.config.memory else ()

    def forward(
        self, inputs: ChunkInputs, state: AsledFastState | None = None, keep: int | None = None
    ) -> tuple[Tensor, AsledFastState]:
        """Restore the first `keep` frames, of any size; see `VideoNetwork`.

        Returns (N, keep, 3, H, W) in the dtype of the target, not clamped, and the state after frame keep -
        1.
        """
        height, width = inputs.target.shape[-2:]
        inputs = _pad(inputs)
        keep = inputs.frames if keep is None else keep
        window = ResultWindow(self.config.fusion_radius, inputs, state and (state.results, state.steps))
        memory = state and FrameFeatures(state.fine, state.coarse)
        first, last = window.ahead, min(inputs.frames, keep + window.reach)
        for restored, after in self._restore_frames(inputs, first, last, memory):
            window.results.append(restored)
            memory = after
        assert memory is not None
        finished = inputs.target.new_empty(len(inputs.target), keep, height, width, 3)
        for t in range(keep):
            finished[:, t] = self._mix(inputs, t, window)[..., :height, :width].permute(0, 2, 3, 1)
        state = AsledFastState(memory.coarse, memory.fine, *window.after(keep))
        return finished.permute(0, 1, 4, 2, 3), state  # the colours of a pixel stay side by side in memory

    def extra_losses(self, truth: Tensor) -> dict[str, Tensor]:
        """Return the loss of the codebook beside that of the result. truth: (N, T, 3, H, W).

        memory: mean absolute error of sharp frames that are rebuilt from the codebook, as reference frames
        are when it is tuned to a clip. One frame of each clip, without the rows and columns past the last 8.
        """
        height, width = (side // 8 * 8 for side in truth.shape[-2:])
        frame = truth[:, truth.shape[1] // 2, :, :height, :width]
        return {"memory": F.l1_loss(self.memory.reconstruct(frame), frame)}

    def _restore_frames(
        self, inputs: ChunkInputs, first: int, last: int, memory: FrameFeatures | None
    ) -> Iterator[tuple[Tensor, FrameFeatures]]:
        """Run the recurrence over frames first..last-1: (N, 3, H, W) of each, and the state after it."""
        features = [self._encode(inputs, t) for t in range(first, inputs.frames)]
        future = self._look_back(inputs, features, first)[::-1]
        # Both last frame first, and popped: memory is freed as frames are done.
        waiting = features[: last + 1 - first][::-1]
        del features
        for t in range(first, last):
            own = waiting.pop()
            following = waiting[-1].fine if waiting else None
            restored, memory = self._restore(inputs, t, own, future.pop(), following, memory)
            yield restored, memory

    def _encode(self, inputs: ChunkInputs, t: int) -> FrameFeatures:
        features: FrameFeatures = self.encoder(
            inputs.target[:, t], inputs.reference[:, t], inputs.guide[:, t]
        )
        if self.config.memory:
            return features._replace(coarse=self.memory(features.coarse, inputs.target[:, t]))
        return features

    def _look_back(self, inputs: ChunkInputs, features: list[FrameFeatures], first: int) -> list[Tensor]:
        """Run the backward pass and return (N, C, H/4, W/4) for each frame from `first` on."""
        future: list[Tensor] = []
        state: Tensor | None = None
        for t, own in reversed(list(enumerate(features, start=first))):
            state = _follow(state, inputs.flow_next[:, t], _cut_after(inputs, t), own.coarse)
            state = self.backward_trunk(torch.cat((own.coarse, state), dim=1))
            future.append(state)
        return future[::-1]

    def _restore(
        self,
        inputs: ChunkInputs,
        t: int,
        features: FrameFeatures,
        future: Tensor,
        following: Tensor | None,
        memory: FrameFeatures | None,
    ) -> tuple[Tensor, FrameFeatures]:
        """Run the forward pass at frame t: (N, 3, H, W) and the state after it."""
        flow, cut = inputs.flow_previous[:, t], inputs.reset[:, t]
        past = _follow(memory and memory.coarse, flow, cut, features.coarse)
        coarse = self.forward_trunk(torch.cat((features.coarse, future, past), dim=1))
        fine = [features.fine]
        if self.config.fine_state:
            flow_next, cut_next = inputs.flow_next[:, t], _cut_after(inputs, t)
            fine.append(_follow(memory and memory.fine, flow, cut, features.fine))
            fine.append(_follow(following, flow_next, cut_next, features.fine))
        decoded, correction = self.decoder(coarse, fine)
        restored = blend(inputs.target[:, t], inputs.reference[:, t], inputs.guide[:, t], correction)
        return restored, FrameFeatures(decoded, coarse)

    def _mix(self, inputs: ChunkInputs, t: int, window: ResultWindow) -> Tensor:
        """Return the finished frame t, (N, 3, H, W): its result fused with the neighbouring ones."""
        own = window.result(t)
        if not window.reach:
            return own
        views = inputs.target[:, t], inputs.reference[:, t]
        mixed: Tensor = self.fusion(own, *views, window.guide(t), window.neighbours(t))
        return mixed


def _follow(state: Tensor | None, flow: Tensor, cut: Tensor, like: Tensor) -> Tensor:
    """Return the state of a neighbour warped along `flow`; zero where there is none or a cut is between."""
    if state is None:
        return torch.zeros_like(like)
    if flow.shape[-2:] != state.shape[-2:]:
        flow = scale_flow(flow.float(), *state.shape[-2:])
    return warp(state, flow) * (~cut).to(state.dtype).view(-1, 1, 1, 1)


def _cut_after(inputs: ChunkInputs, t: int) -> Tensor:
    """Return (N,) bool: whether the frame after t belongs to another scene. False at the clip's end."""
    return inputs.reset[:, min(t + 1, inputs.frames - 1)]


def _pad(inputs: ChunkInputs) -> ChunkInputs:
    """Repeat the border of both views until they cover the guide's grid exactly."""
    height, width = inputs.target.shape[-2:]
    below = inputs.guide.shape[-2] * GUIDE_STRIDE - height
    right = inputs.guide.shape[-1] * GUIDE_STRIDE - width
    if not 0 <= below < GUIDE_STRIDE or not 0 <= right < GUIDE_STRIDE:
        raise ValueError(
            f"guide has {tuple(inputs.guide.shape[-2:])} pixels, expected a quarter of "
            f"{(height, width)}, rounded up."
        )
    if below == right == 0:
        return inputs
    pad = (0, right, 0, below)
    return ChunkInputs(
        _pad_frames(inputs.target, pad),
        _pad_frames(inputs.reference, pad),
        inputs.guide,
        inputs.flow_previous,
        inputs.flow_next,
        inputs.reset,
    )


def _pad_frames(frames: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    padded = F.pad(frames.flatten(0, 1), pad, mode="replicate")
    return padded.view(*frames.shape[:2], *padded.shape[1:])
