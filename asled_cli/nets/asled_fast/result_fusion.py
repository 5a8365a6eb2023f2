"""Fusion of each restored frame with its warped neighbours, on top of the recurrence of features.

Own design. Neighbouring results enter a frame as images, as the reference does in `blend`, so that detail
need not be encoded again: out = own + sum over neighbours of weight * (neighbour - own). The weights per
pixel sum to one at most. Neighbours are warped at full size with bicubic sampling. Frames before and after
both take part, so that flow errors cancel: past frames alone lose where both sides gain.

The weights depend only on the differences between the images and on how much each frame was blurred: a
neighbour with less blur has detail to add. A version that saw the images, or could add a residual, learned
colours and textures of its training scenes and got worse on new scenes (docs/experiments/training-fast.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.nets.asled_fast.mixing import mean_difference, mean_size, mix
from asled_cli.nets.blend import BLUR, CONFIDENCE, VALID
from asled_cli.nets.blocks import ResidualBlock, scale_initial_weights
from asled_cli.nets.fused_conv import add_conv
from asled_cli.nets.interface import ChunkInputs
from asled_cli.nets.warp import warp_bicubic, warp_smooth

# Before training every neighbour has exp(_START) of the weight of the frame itself: equal weights would blur.
_START = -1.8
# Differences of aligned images, and of their blur, are some hundredths, so their weights start larger.
_DIFFERENCE_GAIN = 16.0
_BLUR_GAIN = 10.0
_GUIDE_GAIN = 0.4
_STEP_CHANNELS = 6  # channels of `_step`


class Neighbour(NamedTuple):
    """A neighbouring frame warped to the fused one; where it cannot be warped, a copy of that frame."""

    difference: Tensor
    """(N, 3, H, W): its result minus that of the frame."""
    guide: Tensor
    """(N, 2, H/4, W/4): its blur and the confidence of its reference, 0..1."""


class ResultFusion(nn.Module):
    """Weighted fusion of a frame with `neighbours` others, with weights from their differences."""

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
        """Return the fused frame (N, 3, H, W) in the dtype of `own`.

        own, target, reference: (N, 3, H, W), H and W multiples of 4. guide: (N, 2, H/4, W/4), as in
        `Neighbour`.
        """
        dtype = self.entry.weight.dtype
        each = [mean_difference(view, own) for view in (target, reference)]
        each += [mean_size(other.difference) for other in others]
        guides = torch.cat([guide, *(other.guide for other in others)], dim=1)
        guides = guides * guides.new_tensor([_BLUR_GAIN, 1.0]).repeat(len(others) + 1).view(1, -1, 1, 1)
        seen = torch.cat(each, dim=1).to(dtype, memory_format=torch.channels_last)
        known = self.guide(guides.to(dtype, memory_format=torch.channels_last))  # (N, C, H/4, W/4)
        known = F.interpolate(known, scale_factor=2, mode="bilinear", align_corners=False)
        seen = F.leaky_relu(add_conv(known, self.entry, seen), 0.1, inplace=True)  # (N, C, H/2, W/2)
        features = self.blocks(seen)
        # Plane by plane: the mixture takes one weight for three colours.
        scores = F.pixel_shuffle(self.head(features), 2)  # (N, neighbours, H, W)
        scores = scores.to(own.dtype, memory_format=torch.contiguous_format) + _START
        return mix(own, scores, [other.difference for other in others])


class ResultWindow:
    """Results around the frames of a chunk, and the motion that connects each with the one before.

    reach: R, frames on either side that are fused. remembered: results and steps as `after` returned them;
    None at the start of a clip, which is padded with R unconnected frames.
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
        # The colours of a pixel side by side, as all work on pictures wants them.
        self.results = [one.contiguous(memory_format=torch.channels_last) for one in _parts(remembered[0], 3)]
        """(N, 3, H, W): of R frames before the chunk, then of its own, appended as they are restored."""
        self._steps = _parts(remembered[1], _STEP_CHANNELS)
        for t in range(inputs.frames if reach else 0):
            self._steps.append(_step(inputs, t, self._steps[-1]))
        self._next_flows = inputs.flow_next

    @property
    def ahead(self) -> int:
        """Return how many frames of the chunk are already restored."""
        return len(self.results) - self.reach

    def result(self, t: int) -> Tensor:
        """Return the result of frame t of the chunk, (N, 3, H, W)."""
        return self.results[self.reach + t]

    def guide(self, t: int) -> Tensor:
        """Return blur of frame t and confidence of its reference, (N, 2, H/4, W/4)."""
        return self._steps[self.reach + t][:, 4:]

    def neighbours(self, t: int) -> list[Neighbour]:
        """Return frames t-1, t+1, ..., t-R, t+R warped to frame t."""
        sides = [self._one_side(t, side) for side in (-1, 1)]
        return [neighbour for both in zip(*sides, strict=True) for neighbour in both]

    def after(self, keep: int) -> tuple[Tensor, Tensor]:
        """Return what to remember after `keep` finished frames, (N, C, H, W) and (N, C, H/4, W/4)."""
        results, steps = self.results[keep:], self._steps[keep : keep + self.reach]
        if not self.reach:
            own = self.results[0]
            return own[:, :0], own[:, :0, ::GUIDE_STRIDE, ::GUIDE_STRIDE]
        return torch.cat(results, dim=1), torch.cat(steps, dim=1)

    def _one_side(self, t: int, side: int) -> list[Neighbour]:
        own, own_guide, found = self.result(t), self.guide(t), []
        flow = self._leg(t + side, side)  # from frame t to the neighbour
        alive = torch.ones_like(self._steps[0][:, :1, :1, :1])
        for j in range(t + side, t + side * (self.reach + 1), side):
            if self.reach + j >= len(self.results):
                found.append(Neighbour(torch.zeros_like(own), own_guide))
                continue
            alive = alive * self._steps[self.reach + max(j, j - side)][:, 2:3, :1, :1]
            moved = warp_bicubic(self.result(j), flow).sub_(own)
            # The guide and the flow to the next neighbour take the same way.
            fields = warp_smooth(torch.cat((self.guide(j).float(), self._leg(j + side, side)), dim=1), flow)
            guide, flow = own_guide + (fields[:, :2] - own_guide) * alive, flow + fields[:, 2:]
            whole = not _traced() and moved.device.type == "cpu" and bool(alive.all())
            found.append(Neighbour(moved if whole else moved.mul_(alive.to(own.dtype)), guide))
        return found

    def _leg(self, j: int, side: int) -> Tensor:
        """Return the flow to frame j from the one nearer to the fused frame, (N, 2, H/4, W/4)."""
        leg = self._steps[self.reach + j + 1][:, :2] if side < 0 else self._next_flows[:, j - 1]
        return leg.float()


def _traced() -> bool:
    """Return whether the call is recorded, for gradients or an export, and may not depend on values."""
    return torch.is_grad_enabled() or torch.compiler.is_exporting()


def _parts(stacked: Tensor, channels: int) -> list[Tensor]:
    """Split (N, n * channels, H, W) into n tensors of `channels` channels; n may be zero."""
    return [stacked[:, i : i + channels] for i in range(0, stacked.shape[1], channels)]


def _step(inputs: ChunkInputs, t: int, before: Tensor) -> Tensor:
    """Return what the fusion needs of frame t besides its result: (N, 6, h, w). before: that of frame t-1.

    Channels: flow to that frame (x, y), one if the two can be aligned (same scene, reference in both), one if
    this frame has a reference, its blur, its confidence.
    """
    guide = inputs.guide[:, t]
    known = (guide[:, VALID : VALID + 1].amax(dim=(-2, -1), keepdim=True) > 0).to(guide.dtype)
    unbroken = (~inputs.reset[:, t]).to(guide.dtype).view(-1, 1, 1, 1)
    marks = torch.cat((known * unbroken * before[:, 3:4, :1, :1], known), dim=1)
    flow, marks = inputs.flow_previous[:, t].to(guide.dtype), marks.expand(-1, -1, *guide.shape[-2:])
    return torch.cat((flow, marks, guide[:, BLUR : CONFIDENCE + 1]), dim=1)
