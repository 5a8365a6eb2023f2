"""The sharp instants of blended frames: every frame is the mean of `count` of them, and they follow a flow.

Over the instants X_j, j = 0 .. T + count - 2, of frames Y_t, t = 0 .. T - 1, conjugate gradients minimise
sum_t |Y_t - mean(X_t .. X_{t+count-1})|^2 + FLOW sum_j w_j |X_j - W_j X_{j+1}|^2
+ sum_t s_t |X_{t+count//2} - Y_t|^2 + SMOOTH sum_j |grad X_j|^2
with W_j the warp along the flow from instant j to the next. The means alone leave open what repeats itself
after `count` instants and has no mean; the flow decides that, and need not be exact. Weights w_j of robust
regression let it fail where something is hidden (P. W. Holland and R. E. Welsch, 1977; Cauchy's weights).
Weights s_t hold what stood still: there the frames around Y_t do not differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import cv2
import numpy as np
import torch
from torch import Tensor

from asled_cli.deconvolution.blended.normal_equations import NormalEquations, Strengths, solve
from asled_cli.imaging.homography import Image
from asled_cli.runtime.stages import map_in_threads

_FLOW, _STILL, _SMOOTH = 0.15, 0.3, 1e-4
_UNLIKE = 0.02  # difference of two instants, full scale 1, at which the flow counts half
_MOVED = 0.006  # difference of two frames that shows motion: the noise of coding is smaller
_SOFT_PX = 1.5  # sigma over which differences are judged


@dataclass(frozen=True)
class Blend:
    """The system to solve. frames: (T, C, h, w) float32. grids: (M - 1, h, w, 2) of the warps, -1..1.

    trust: (M - 1, 1, h, w), the weights w; still: (T, 1, h, w), the weights s.
    """

    frames: Tensor
    grids: Tensor
    trust: Tensor
    still: Tensor

    @cached_property
    def equations(self) -> NormalEquations:
        """What the instants of least energy satisfy."""
        return NormalEquations(self.grids, self.trust, self.still, Strengths(_FLOW, _SMOOTH))

    def jumps(self, instants: Tensor) -> Tensor:
        """Return (M - 1, C, h, w): each instant less the next one, warped to it."""
        return torch.cat(map_in_threads(partial(self.equations.jump, instants), range(len(self.grids))))

    def solved(self, start: Tensor, steps: int) -> Tensor:
        """Return the instants (M, C, h, w) after some steps of conjugate gradients from `start`."""
        return solve(self.equations, self.equations.right(self.frames), start, steps)

    def judged(self, instants: Tensor) -> "Blend":
        """Return the system with the flow trusted as far as these instants follow it."""
        links = range(len(self.grids))
        found = map_in_threads(lambda j: _cauchy(self.equations.jump(instants, j)[0], _UNLIKE), links)
        return replace(self, trust=torch.stack(found))


def make_blend(frames: Sequence[Image], flows: Sequence[Image]) -> Blend:
    """Return the system of frames (h, w[, C]) and flows (h, w, 2) from each instant to the next, pixels.

    The flow is trusted everywhere at first.
    """
    height, width = frames[0].shape[:2]
    stacked = np.empty((len(frames), frames[0].size // (height * width), height, width), np.float32)
    for one, frame in zip(stacked, frames, strict=True):
        one[:] = frame.reshape(height, width, -1).transpose(2, 0, 1)
    grids = torch.from_numpy(np.stack(map_in_threads(_grid, flows)))
    seen = torch.from_numpy(stacked)
    still = _STILL * _stillness(seen, len(flows) + 2 - len(frames))
    return Blend(seen, grids, torch.ones((len(flows), 1, height, width)), still)


def _grid(flow: Image) -> Image:
    """Return where to sample along a flow (h, w, 2), each axis from -1 to 1."""
    height, width = flow.shape[:2]
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    scale = np.array([2 / max(width - 1, 1), 2 / max(height - 1, 1)], np.float32)
    return np.asarray((pixels + flow) * scale - 1, np.float32)


def _stillness(frames: Tensor, count: int) -> Tensor:
    """Return (T, 1, h, w) 0..1: where the frames that share light with each frame show the same."""
    steps = range(len(frames) - 1)
    alike = torch.stack(map_in_threads(lambda t: _cauchy(frames[t + 1] - frames[t], _MOVED).square_(), steps))
    around = max(1, count // 2)
    return torch.stack([alike[max(0, t - around) : t + around].amin(0) for t in range(len(frames))])


def _cauchy(difference: Tensor, half: float) -> Tensor:
    """Return (1, h, w) 0..1 of a difference (C, h, w): 0.5 where it is `half` on the mean."""
    soft = cv2.GaussianBlur(difference.abs().mean(0).numpy(), (0, 0), _SOFT_PX)
    return torch.from_numpy(1 / (1 + np.square(soft / np.float32(half))))[None]


def nearest_frames(frames: Tensor, count: int) -> Tensor:
    """Return (M, C, h, w): for every instant the frame about it, the first or last one beyond them."""
    index = torch.arange(len(frames) + count - 1) - count // 2
    return frames[index.clamp(0, len(frames) - 1)]
