"""MTU: deblur one clip alone, by stacked multi-task units that deblur and compensate motion at once.

"Real-Time Video Deblurring via Lightweight Motion Compensation", Computer Graphics Forum 2022. Sections,
figures and equations below are the paper's. Where text and published figures disagree, the choice is a field
of `MtuConfig` with its reason. Reference and guide are not seen; `motion = "given"` uses the flow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asled_cli.nets.blocks import conv3x3
from asled_cli.nets.fused_conv import conv_relu, conv_relu_of_parts, up_relu
from asled_cli.nets.interface import ChunkInputs, NetworkInfo
from asled_cli.nets.mtu.config import WINDOWS, MtuConfig
from asled_cli.nets.mtu.matching import STRIDE, cost_volume, find_shift, motion_loss, pull
from asled_cli.nets.padding import pad_inputs
from asled_cli.nets.warp import is_portable

INITIAL_DEVIATION = 0.03  # of all weights, normal


class DetailBlock(nn.Module):
    """x + relu(conv(relu(conv(x)))) at the smallest size of a unit."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv3x3(channels, channels), conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        return conv_relu(self.second, conv_relu(self.first, x)) + x


class DetailNetwork(nn.Module):
    """Multi-task detail network F^n of one unit (§3.3, figure 4): a U-Net of three sizes."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        c, wide = channels, 2 * channels
        self.entry = nn.Conv2d(wide, c, 5, padding=2)
        self.down = conv3x3(c, c, stride=2)
        self.deep = conv3x3(c, wide, stride=2)
        self.body = nn.Sequential(*(DetailBlock(wide) for _ in range(blocks)))
        self.exit = conv3x3(wide, wide)
        self.up_half = nn.ConvTranspose2d(wide, c, 4, stride=2, padding=1)
        self.up_full = nn.ConvTranspose2d(c, c, 4, stride=2, padding=1)

    def forward(self, *parts: Tensor) -> Tensor:
        """Return the detail features f^n (N, C, H, W) of (N, 2C, H, W); H, W are multiples of 4.

        parts: the input, or what it is made of side by side.
        """
        full = conv_relu_of_parts(self.entry, *parts)
        half = conv_relu(self.down, full)
        quarter = conv_relu(self.deep, half)
        x = conv_relu(self.exit, self.body(quarter)) + quarter
        x = up_relu(self.up_half, x) + half
        return up_relu(self.up_full, x) + full


class MtuState(NamedTuple):
    """State after a frame; sizes are those of padded frames."""

    restored: Tensor
    """(N, 3, H, W) the restored frame, I^r."""
    features: Tensor
    """(N, C, H, W) f^N, features of the last unit."""
    motion: Tensor
    """(N, 2C, H/4, W/4) structure-injected features of the first unit."""
    frames: Tensor
    """(N, 6, H, W) the blurred frame before it and its own, in the precision of features."""


class MtuStep(NamedTuple):
    """One restored frame and what training sees besides it."""

    state: MtuState
    earlier: list[Tensor]
    """(N, 3, H, W) results of the other units' heads, without heads empty."""
    volume: Tensor | None
    """(N, 441, H/4, W/4) cost volume, in training only."""


@dataclass(frozen=True, slots=True)
class MtuTrace:
    """What the losses of the last forward pass in training need: per frame, after the padding."""

    steps: list[MtuStep]
    flows: Tensor  # (N, T, 2, h, w) the registration's, grid pixels towards the previous frame
    started: Tensor  # (N, T) bool: frames without a previous one


class Mtu(nn.Module):
    """N multi-task units on the recurrence of figure 3."""

    # Context: docs/experiments/other-networks.md. Features of larger tiles than a quarter of a 1080p frame
    # are more than the C library keeps (`reuse_large_pieces`); the system would clear them again each time.
    info = NetworkInfo(
        overlap=2,
        halo_px=64,
        bytes_per_pixel=30,
        working_bytes_per_pixel=600,
        largest_tile_px=960,
        needs_reference=False,
    )
    EXTRA_LOSSES = ("intermediate", "motion")

    def __init__(self, config: MtuConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MtuConfig()
        self.info = replace(self.info, overlap=config.look_ahead)
        c = config.channels
        self.base = conv3x3(3, c)
        self.history = conv3x3(WINDOWS[config.window], c)
        self.units = nn.ModuleList(DetailNetwork(c, config.blocks) for _ in range(config.units))
        self.motion = nn.Conv2d(c, 2 * c, 5, stride=STRIDE, padding=1)
        self.output: nn.Module = conv3x3(2 * c if config.joins else c, 3)
        self.heads = nn.ModuleList(conv3x3(2 * c, 3) for _ in range(config.units - 1) if config.heads)
        self.trace: MtuTrace | None = None
        self.apply(_draw)

    def forward(
        self, inputs: ChunkInputs, state: MtuState | None = None, keep: int | None = None
    ) -> tuple[Tensor, MtuState]:
        """Restore the first `keep` frames (default: all): (N, keep, 3, H, W), not clamped, and the state.

        In training, `trace` holds what `extra_losses` needs. Raises ValueError unless 1 <= keep <= T.
        """
        height, width = inputs.target.shape[-2:]
        keep = inputs.frames if keep is None else keep
        if not 1 <= keep <= inputs.frames:
            raise ValueError(f"keep is {keep}, expected 1 to {inputs.frames}, the frames of the chunk.")
        inputs = pad_inputs(inputs, STRIDE)
        starts = inputs.reset.clone()
        if state is None:
            starts[:, 0] = True
        steps: list[MtuStep] = []
        restored: list[Tensor] = []
        for t in range(keep):
            step = self.step(inputs, t, starts[:, t], state)
            state = MtuState(*(part.detach() for part in step.state))
            restored.append(step.state.restored[..., :height, :width])
            if self.training:
                steps.append(step)
        self.trace = MtuTrace(steps, inputs.flow_previous[:, :keep], starts) if self.training else None
        assert state is not None  # keep >= 1
        pixels = torch.stack([picture.permute(0, 2, 3, 1) for picture in restored], dim=1)
        return pixels.permute(0, 1, 4, 2, 3), state  # the colours of a pixel stay side by side in memory

    def step(self, inputs: ChunkInputs, t: int, start: Tensor, state: MtuState | None) -> MtuStep:
        """Restore frame t of padded inputs. start: (N,) clips in which it has no previous frame."""
        dtype = self.base.weight.dtype
        frame = _last(inputs.target[:, t])
        previous = _or_alone(state, frame, dtype, start)
        structure = conv_relu(self.base, frame.to(dtype))  # f^b
        parts = structure, conv_relu(self.history, self._history(inputs, t, previous))
        earlier: list[Tensor] = []
        motion, shift, volume = None, None, None
        for n, unit in enumerate(self.units):
            features = unit(*parts)  # f^n
            if motion is None and (self.config.aligns or self.training):
                motion = conv_relu(self.motion, structure + features)  # structure injection
                before = motion if state is None else _where(start, motion, state.motion)
                volume = cost_volume(motion, before.detach()) if self.training else None
                shift = self._shift(inputs, t, motion, before)
            last = n == len(self.units) - 1
            if not last or self.config.joins:
                assert shift is not None
                held = features if state is None else _where(start, features, state.features)
                parts = features, pull(held, shift, self.config.border)
            if not last and self.config.heads:
                earlier.append(frame + self.heads[n](torch.cat(parts, dim=1)).to(frame.dtype))
        seen = torch.cat(parts, dim=1) if self.config.joins else features
        restored = frame + self.output(seen).to(frame.dtype)  # I^r = I^b + I^res
        frames = torch.cat((previous.frames[:, 3:], frame.to(dtype)), dim=1)
        if motion is None:
            motion = features.new_zeros(len(frame), 2 * self.config.channels, *shift_grid(frame))
        return MtuStep(MtuState(restored, features, motion, frames), earlier, volume)

    def extra_losses(self, truth: Tensor) -> dict[str, Tensor]:
        """Return the losses of the last pass beside that of its result. truth: (N, T, 3, H, W).

        intermediate: of the other units' results (Eq. 1, n < N). motion: Eq. 2, where there is a previous
        frame; the flow of the registration is the label.
        """
        assert self.trace is not None, "extra_losses follows a forward pass in training"
        steps, (height, width) = self.trace.steps, truth.shape[-2:]
        results = [
            (result[..., :height, :width] - truth[:, t]).abs().mean()
            for t, step in enumerate(steps)
            for result in step.earlier
        ]
        matched = [
            motion_loss(step.volume[known], self.trace.flows[known, t])
            for t, step in enumerate(steps)
            if step.volume is not None and bool((known := ~self.trace.started[:, t]).any())
        ]
        nothing = truth.new_zeros(())
        return {
            "intermediate": sum(results, nothing) / max(len(steps), 1),
            "motion": sum(matched, nothing) / max(len(matched), 1),
        }

    def first_units(self, count: int) -> "Mtu":
        """Return a network of the first `count` units that ends with their head, sharing the weights.

        For an early exit: less work, less quality. Raises ValueError if there is no such head.
        """
        if not 1 <= count <= len(self.heads):
            raise ValueError(f"{count} units have no head, expected 1 to {len(self.heads)}.")
        config = replace(self.config, units=count, output="joined", heads=False)
        with torch.device("meta"):
            part = Mtu(config)
        part.base, part.history, part.motion = self.base, self.history, self.motion
        part.units, part.output = self.units[:count], self.heads[count - 1]
        return part.train(self.training)

    def _history(self, inputs: ChunkInputs, t: int, previous: MtuState) -> Tensor:
        """Return the other frames of the window and the last result, side by side, channels_last."""
        seen = previous.frames  # in the precision of features
        before = seen if self.config.window == 5 else seen[:, 3:]
        after = [frame.to(seen.dtype) for frame in _following(inputs, t, self.config.look_ahead)]
        return _last(torch.cat((before, previous.restored.to(seen.dtype), *after), dim=1))

    def _shift(self, inputs: ChunkInputs, t: int, motion: Tensor, before: Tensor) -> Tensor:
        """Return W, (N, 2, H/4, W/4) grid pixels towards the previous frame."""
        if self.config.motion == "given":
            return inputs.flow_previous[:, t]
        return find_shift(motion, before)


def shift_grid(frame: Tensor) -> tuple[int, int]:
    """Return (rows, columns) of the grid of shifts of a padded frame (N, 3, H, W)."""
    return frame.shape[-2] // STRIDE, frame.shape[-1] // STRIDE


def _following(inputs: ChunkInputs, t: int, count: int) -> Sequence[Tensor]:
    """Return `count` frames after t; past a cut or the end, the last one before it is repeated."""
    frames = [inputs.target[:, t]]
    over = torch.zeros_like(inputs.reset[:, t])
    for k in range(t + 1, t + 1 + count):
        if k < inputs.frames:
            over = over | inputs.reset[:, k]
            frames.append(_where(over, frames[-1], inputs.target[:, k]))
        else:
            frames.append(frames[-1])
    return frames[1:]


def _or_alone(state: MtuState | None, frame: Tensor, dtype: torch.dtype, start: Tensor) -> MtuState:
    """Return the state with pictures of `frame` itself where there is no previous frame."""
    if state is not None and _none(start):
        return state
    twice = torch.cat((frame, frame), dim=1).to(dtype)
    if state is None:
        return MtuState(frame, frame, frame, twice)  # features and motion are taken from `step`
    return state._replace(
        restored=_where(start, frame, state.restored), frames=_where(start, twice, state.frames)
    )


def _where(clips: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """Return `chosen` for some clips, by (N,) bool, and `other` for the rest; both (N, C, H, W)."""
    return other if _none(clips) else torch.where(clips.view(-1, 1, 1, 1), chosen, other)


def _none(clips: Tensor) -> bool:
    """Return whether no clip is marked, as far as a look costs nothing: on a CPU, not while exporting."""
    looks = clips.device.type == "cpu" and not (is_portable() or torch.compiler.is_exporting())
    return looks and not bool(clips.any())


def _last(picture: Tensor) -> Tensor:
    return picture.contiguous(memory_format=torch.channels_last)


def _draw(module: nn.Module) -> None:
    """Start as published: normal weights of one deviation, no bias."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not module.weight.is_meta:
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
