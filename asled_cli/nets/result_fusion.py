"""Each restored frame mixed with its neighbours, laid onto it: what a recurrence of features leaves to gain.

Own design. As the reference does in `blend`, neighbouring results enter a frame as pictures, so that detail
need not be encoded again: out = own + sum over neighbours of weight * (neighbour - own), with weights per
pixel that sum to one at most. They are moved at full size and sampled bicubically. Frames before and after
take part alike, so that what flows say wrongly cancels: past ones alone lose where both sides gain. Nothing
else is added: a residual learned shifts of colour that new scenes do not have (docs/experiments.md).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blend import VALID
from asled_cli.nets.blocks import ResidualBlock, scale_initial_weights
from asled_cli.nets.chunks import GUIDE_STRIDE, ChunkInputs
from asled_cli.nets.warp import warp, warp_bicubic

# Before training every neighbour weighs exp(_START) as much as the frame itself; an even mean would blur.
_START = -1.8
# Differences of aligned pictures are a tenth of the pictures: the first layer starts with larger weights.
_DIFFERENCE_GAIN = 8.0
_STEP_CHANNELS = 4  # of `_step`


class ResultFusion(nn.Module):
    """Finds the weights of `neighbours` aligned pictures, from them and both views, and mixes them."""

    def __init__(self, neighbours: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        # A 2x2 convolution with stride 2 is a pixel-unshuffle and a 1x1 convolution in one.
        self.entry = nn.Conv2d(3 * 3 + 4 * neighbours, channels, 2, stride=2)
        scale_initial_weights(self.entry, 1.0)
        if not self.entry.weight.is_meta:
            self.entry.weight.data[:, 3:].mul_(_DIFFERENCE_GAIN)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.head = nn.Conv2d(channels, 4 * neighbours, 3, padding=1)
        scale_initial_weights(self.head, 0.0)

    def forward(
        self, own: Tensor, target: Tensor, reference: Tensor, differences: Sequence[Tensor]
    ) -> Tensor:
        """own, target, reference: (N, 3, H, W), H and W even; differences: neighbour - own, each as large.

        Returns (N, 3, H, W) in the dtype of `own`. Neighbours that are not there have no difference.
        """
        sizes = [difference.abs().mean(dim=1, keepdim=True) for difference in differences]
        seen = torch.cat((own - 0.5, target - own, reference - own, *differences, *sizes), dim=1)
        seen = seen.to(self.entry.weight.dtype, memory_format=torch.channels_last)
        features = self.blocks(F.leaky_relu(self.entry(seen), 0.1, inplace=True))  # (N, C, H/2, W/2)
        scores = F.pixel_shuffle(self.head(features), 2).to(own.dtype) + _START  # (N, neighbours, H, W)
        weights = torch.softmax(F.pad(scores, (0, 0, 0, 0, 1, 0)), dim=1)  # the frame's own score is zero
        fused = own
        for i, difference in enumerate(differences, start=1):
            fused = torch.addcmul(fused, weights[:, i : i + 1], difference)
        return fused


class ResultWindow:
    """The results around the frames of a chunk, and how each frame hangs together with the one before.

    reach: R, frames on either side that are mixed in. remembered: results and steps as `after` returned them;
    None at the start of a clip, where R frames that hang together with nothing stand in.
    """

    def __init__(self, reach: int, inputs: ChunkInputs, remembered: tuple[Tensor, Tensor] | None) -> None:
        self.reach = reach
        self.results: list[Tensor] = []
        """(N, 3, H, W): of R frames before the chunk, then of its own, appended as they are restored."""
        if remembered is None:
            (count, _, _, height, width), grid = inputs.target.shape, inputs.guide.shape[-2:]
            nothing = (
                inputs.target.new_zeros(count, 3, height, width),
                inputs.guide.new_zeros(count, 4, *grid),
            )
            remembered = nothing[0].repeat(1, reach, 1, 1), nothing[1].repeat(1, reach, 1, 1)
        self.results += _parts(remembered[0], 3)
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

    def differences(self, t: int) -> list[Tensor]:
        """Frames t-1, t+1, ..., t-R, t+R laid onto frame t, less that; zero where they cannot be."""
        sides = [self._one_side(t, side) for side in (-1, 1)]
        return [difference for both in zip(*sides, strict=True) for difference in both]

    def after(self, keep: int) -> tuple[Tensor, Tensor]:
        """What to remember once the first `keep` frames are finished, (N, C, H, W) and (N, C, H/4, W/4)."""
        results, steps = self.results[keep:], self._steps[keep : keep + self.reach]
        if not self.reach:
            own = self.results[0]
            return own[:, :0], own[:, :0, ::GUIDE_STRIDE, ::GUIDE_STRIDE]
        return torch.cat(results, dim=1), torch.cat(steps, dim=1)

    def _one_side(self, t: int, side: int) -> list[Tensor]:
        own, found = self.result(t), []
        flow: Tensor | None = None
        alive = torch.ones_like(self._steps[0][:, :1, :1, :1])
        for j in range(t + side, t + side * (self.reach + 1), side):
            if self.reach + j >= len(self.results):
                found.append(torch.zeros_like(own))
                continue
            alive = alive * self._step(max(j, j - side))[:, 2:3, :1, :1]
            leg = (self._step(j + 1)[:, :2] if side < 0 else self._next_flows[:, j - 1]).float()
            flow = leg if flow is None else flow + warp(leg, flow)
            moved = warp_bicubic(self.result(j), _full_size(flow, own))
            found.append((moved - own) * alive.to(own.dtype))
        return found

    def _step(self, t: int) -> Tensor:
        return self._steps[self.reach + t]


def _parts(stacked: Tensor, channels: int) -> list[Tensor]:
    """(N, n * channels, H, W) as n tensors of so many channels; n may be zero."""
    return [stacked[:, i : i + channels] for i in range(0, stacked.shape[1], channels)]


def _step(inputs: ChunkInputs, t: int, before: Tensor) -> Tensor:
    """How frame t hangs together with the one before: (N, 4, h, w). before: the same of that one.

    Channels: flow to the previous frame (x, y), one if the two can be laid onto each other (same scene,
    reference in both), one if this frame has a reference.
    """
    guide = inputs.guide[:, t]
    known = (guide[:, VALID : VALID + 1].amax(dim=(-2, -1), keepdim=True) > 0).to(guide.dtype)
    unbroken = (~inputs.reset[:, t]).to(guide.dtype).view(-1, 1, 1, 1)
    marks = torch.cat((known * unbroken * before[:, 3:, :1, :1], known), dim=1)
    return torch.cat(
        (inputs.flow_previous[:, t].to(guide.dtype), marks.expand(-1, -1, *guide.shape[-2:])), dim=1
    )


def _full_size(flow: Tensor, like: Tensor) -> Tensor:
    """A flow (N, 2, h, w) of guide pixels at the size of pictures, whose sides are multiples of 4."""
    assert like.shape[-1] == flow.shape[-1] * GUIDE_STRIDE
    full: Tensor = F.interpolate(flow, scale_factor=GUIDE_STRIDE, mode="bilinear", align_corners=False)
    return full * GUIDE_STRIDE
