"""SPyNet: optical flow by a spatial pyramid of small networks.

Ranjan and Black, "Optical Flow Estimation using a Spatial Pyramid Network", CVPR 2017, in the arrangement
that BasicVSR and AsLeD-Net use: 6 levels, each five 7x7 convolutions 8-32-64-32-16-2 (1.440 M parameters).
Differences: frames are padded to a multiple of 32, not resized, so that a pixel stays a pixel. Flows are
enlarged on the half-pixel grid of 2x2 averaging. There are no third-party weights.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asled_cli.nets.blocks import scale_initial_weights
from asled_cli.nets.warp import scale_flow, warp

LEVELS = 6  # as in BasicVSR
SIZE_MULTIPLE = 1 << (LEVELS - 1)  # the coarsest level has one pixel for each 32 x 32
LEVEL_CHANNELS = (8, 32, 64, 32, 16, 2)  # in: first frame 3, second frame warped 3, flow so far 2

# Mean and spread of ImageNet's RGB values in 0..1 (gamma as coded), subtracted and divided out first.
INPUT_MEAN = (0.485, 0.456, 0.406)
INPUT_SPREAD = (0.229, 0.224, 0.225)


class FlowLevel(nn.Sequential):
    """Correction of a flow at one size: (N, 8, h, w) -> (N, 2, h, w)."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for in_channels, out_channels in pairwise(LEVEL_CHANNELS):
            conv = nn.Conv2d(in_channels, out_channels, 7, padding=3)
            scale_initial_weights(conv, 0.1 if out_channels == 2 else 1.0)  # an untrained flow is near zero
            layers += [conv, nn.ReLU(inplace=True)]
        super().__init__(*layers[:-1])


class SpyNet(nn.Module):
    """Optical flow network SPyNet."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(FlowLevel() for _ in range(LEVELS))  # coarse to fine
        self.register_buffer("mean", torch.tensor(INPUT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(INPUT_SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the flow with first(p) = second(p + flow(p)).

        first, second: (N, 3, H, W) RGB 0..1, gamma as coded; any size. Returns (N, 2, H, W) in pixels,
        x right then y down, in float32 even where the convolutions run in half precision.
        """
        height, width = first.shape[-2:]
        flow: Tensor = self.pyramid(first, second)[-1]
        return flow[..., :height, :width]

    def pyramid(
        self, first: Tensor, second: Tensor, guided_by: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the flow at each of the 6 sizes, coarse to fine, each in pixels of its own size.

        The sizes are those of the frames padded to multiples of 32 at the right and bottom by repetition.
        guided_by: flows of the first 5 sizes, from which the next levels start instead of from their own.
        """
        firsts, seconds = self._shrink(first), self._shrink(second)
        flows: list[Tensor] = []
        for level, one, other in zip(self.levels, firsts, seconds, strict=True):
            height, width = one.shape[-2:]
            if flows:
                before = flows[-1] if guided_by is None else guided_by[len(flows) - 1]
                flow = scale_flow(before, height, width)  # (N, 2, h, w)
            else:
                flow = one.new_zeros(len(one), 2, height, width)
            seen = torch.cat((one, warp(other, flow), flow), dim=1)  # (N, 8, h, w)
            flows.append(flow + level(seen.to(self._dtype)).to(flow.dtype))
        return flows

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _shrink(self, frame: Tensor) -> list[Tensor]:
        """Return the normalised frame at each size, coarse to fine, in float32 or better."""
        height, width = frame.shape[-2:]
        padding = (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE)
        exact = torch.promote_types(self._dtype, torch.float32)
        frame = (frame.to(exact) - self.mean.to(exact)) / self.spread.to(exact)
        frame = F.pad(frame, padding, mode="replicate").contiguous(memory_format=torch.channels_last)
        frames = [frame]
        for _ in range(LEVELS - 1):
            frames.insert(0, F.avg_pool2d(frames[0], 2))
        return frames
