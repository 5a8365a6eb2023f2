"""Each restored frame mixed with its neighbours, laid onto it: what a recurrence of features leaves to gain.

Own design. As the reference does in `blend`, neighbouring results enter a frame as pictures, so that detail
need not be encoded again: out = own + sum over neighbours of weight * (neighbour - own), with weights per
pixel that sum to one at most. They are moved at full size and sampled bicubically. Frames before and after
take part alike, so that what flows say wrongly cancels: past ones alone lose where both sides gain.

What decides the weights is not the pictures but how far they differ, and how much each frame was blurred: a
neighbour that was less so has detail to lend. Given the pictures, or a residual to add, it learned colours
and textures of its training scenes, and new scenes lost by it (docs/experiments.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.nets.blend import BLUR, CONFIDENCE, VALID
from asled_cli.nets.blocks import ResidualBlock, scale_initial_weights
from asled_cli.nets.interface import ChunkInputs
from asled_cli.nets.warp import scale_flow, warp, warp_bicubic

# Before training every neighbour weighs exp(_START) as much as the frame itself; an even mean would blur.
_START = -1.8
# Differences of aligned pictures, and changes by blur, are some hundredths: they start with larger weights.
_DIFFERENCE_GAIN, _BLUR_GAIN, _GUIDE_GAIN = 16.0, 10.0, 0.4
_STEP_CHANNELS = 6  # of `_step`


class Neighbour(NamedTuple):
    """A frame laid onto the one that it is mixed into; where it cannot be, one that is equal to it."""

    difference: Tensor
    """(N, 3, H, W) its result less that of the frame."""
    guide: Tensor
    """(N, 2, H/4, W/4) how much it was blurred and how far its reference was trusted, 0..1."""


class ResultFusion(nn.Module):
    """Mixes a frame with `neighbours` others, by weights that it finds from what they have in common."""

    def __init__(self, neighbours: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        # A 2x2 convolution with stride 2 is a pixel-unshuffle and a 1x1 convolution in one.
        self.entry = nn.Conv2d(2 + neighbours, channels, 2, stride=2)
        scale_initial_weights(self.entry, _DIFFERENCE_GAIN)
        self.guide = nn.Conv2d(2 + 2 * neighbours, channels, 1, bias=False)
        scale_initial_weights(self.guide, _GUIDE_GAIN)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.head = nn.Conv2d(channels, 4 * neighbours, 3, padding=1)
        scale_initial_weights(self.head, 0.0)

    def forward(
        self, own: Tensor, target: Tensor, reference: Tensor, guide: Tensor, others: Sequence[Neighbour]
    ) -> Tensor:
        """own, target, reference: (N, 3, H, W), H and W multiples of 4; guide: (N, 2, H/4, W/4) as of others.

        Returns (N, 3, H, W) in the dtype of `own`.
        """
        dtype = self.entry.weight.dtype
        differences = [target - own, reference - own, *(other.difference for other in others)]
        sizes = torch.cat([difference.abs().mean(dim=1, keepdim=True) for difference in differences], dim=1)
        guides = torch.cat([guide, *(other.guide for other in others)], dim=1)
        guides = guides * guides.new_tensor([_BLUR_GAIN, 1.0]).repeat(len(others) + 1).view(1, -1, 1, 1)
        seen = self.entry(sizes.to(dtype, memory_format=torch.channels_last))  # (N, C, H/2, W/2)
        known = self.guide(guides.to(dtype, memory_format=torch.channels_last))  # (N, C, H/4, W/4)
        seen = seen + F.interpolate(known, scale_factor=2, mode="bilinear", align_corners=False)
        features = self.blocks(F.leaky_relu(seen, 0.1, inplace=True))
        scores = F.pixel_shuffle(self.head(features), 2).to(own.dtype) + _START  # (N, neighbours, H, W)
        weights = torch.softmax(F.pad(scores, (0, 0, 0, 0, 1, 0)), dim=1)  # the frame's own score is zero
        mixed = own
        for i, other in enumerate(others, start=1):
            mixed = torch.addcmul(mixed, weights[:, i : i + 1], other.difference)
        return mixed


class ResultWindow:
    """The results around the frames of a chunk, and how each frame hangs together with the one before.

    reach: R, frames on either side that are mixed in. remembered: results and steps as `after` returned them;
    None at the start of a clip, where R frames that hang together with nothing stand in.
    """

    def __init__(self, reach: int, inputs: ChunkInputs, remembered: tuple[Tensor, Tensor] | None) -> None:
        self.reach = reach
        if remembered is None:
            (count, _, _, height, width), grid = inputs.target.shape, inputs.guide.shape[-2:]
            nothing = (
                inputs.target.new_zeros(count, 3, height, width),
                inputs.guide.new_zeros(count, _STEP_CHANNELS, *grid),
            )
            remembered = nothing[0].repeat(1, reach, 1, 1), nothing[1].repeat(1, reach, 1, 1)
        self.results = _parts(remembered[0], 3)
        """(N, 3, H, W): of R frames before the chunk, then of its own, appended as they are restored."""
        self._steps = _parts(remembered[1], _STEP_CHANNELS)
        for t in range(inputs.frames if reach else 0):
            self._steps.append(_step(inputs, t, self._steps[-1]))
        self._next_flows = inputs.flow_next

    @property
    def ahead(self) -> int:
        """How many frames of the chunk are restored already."""
        return len(self.results) - self.reach

    def result(self, t: int) -> Tensor:
        """Frame t of the chunk, (N, 3, H, W)."""
        return self.results[self.reach + t]

    def guide(self, t: int) -> Tensor:
        """How much frame t was blurred and how far its reference was trusted, (N, 2, H/4, W/4)."""
        return self._steps[self.reach + t][:, 4:]

    def neighbours(self, t: int) -> list[Neighbour]:
        """Frames t-1, t+1, ..., t-R, t+R laid onto frame t."""
        sides = [self._one_side(t, side) for side in (-1, 1)]
        return [neighbour for both in zip(*sides, strict=True) for neighbour in both]

    def after(self, keep: int) -> tuple[Tensor, Tensor]:
        """What to remember once the first `keep` frames are finished, (N, C, H, W) and (N, C, H/4, W/4)."""
        results, steps = self.results[keep:], self._steps[keep : keep + self.reach]
        if not self.reach:
            own = self.results[0]
            return own[:, :0], own[:, :0, ::GUIDE_STRIDE, ::GUIDE_STRIDE]
        return torch.cat(results, dim=1), torch.cat(steps, dim=1)

    def _one_side(self, t: int, side: int) -> list[Neighbour]:
        own, own_guide, found = self.result(t), self.guide(t), []
        flow: Tensor | None = None
        alive = torch.ones_like(self._steps[0][:, :1, :1, :1])
        for j in range(t + side, t + side * (self.reach + 1), side):
            if self.reach + j >= len(self.results):
                found.append(Neighbour(torch.zeros_like(own), own_guide))
                continue
            alive = alive * self._steps[self.reach + max(j, j - side)][:, 2:3, :1, :1]
            leg = self._steps[self.reach + j + 1][:, :2] if side < 0 else self._next_flows[:, j - 1]
            flow = leg.float() if flow is None else flow + warp(leg.float(), flow)
            moved = warp_bicubic(self.result(j), scale_flow(flow, *own.shape[-2:]))
            guide = own_guide + (warp(self.guide(j), flow) - own_guide) * alive
            found.append(Neighbour((moved - own) * alive.to(own.dtype), guide))
        return found


def _parts(stacked: Tensor, channels: int) -> list[Tensor]:
    """(N, n * channels, H, W) as n tensors of so many channels; n may be zero."""
    return [stacked[:, i : i + channels] for i in range(0, stacked.shape[1], channels)]


def _step(inputs: ChunkInputs, t: int, before: Tensor) -> Tensor:
    """What must be known of frame t besides its result: (N, 6, h, w). before: the same of frame t-1.

    Channels: flow to that frame (x, y), one if the two can be laid onto each other (same scene, reference in
    both), one if this frame has a reference, its blur, its confidence.
    """
    guide = inputs.guide[:, t]
    known = (guide[:, VALID : VALID + 1].amax(dim=(-2, -1), keepdim=True) > 0).to(guide.dtype)
    unbroken = (~inputs.reset[:, t]).to(guide.dtype).view(-1, 1, 1, 1)
    marks = torch.cat((known * unbroken * before[:, 3:4, :1, :1], known), dim=1)
    flow, marks = inputs.flow_previous[:, t].to(guide.dtype), marks.expand(-1, -1, *guide.shape[-2:])
    return torch.cat((flow, marks, guide[:, BLUR : CONFIDENCE + 1]), dim=1)
