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

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.imaging.homography import Image

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

    @property
    def count(self) -> int:
        """Instants in a frame."""
        return len(self.grids) + 2 - len(self.frames)

    def means(self, instants: Tensor) -> Tensor:
        """Return the blended frames (T, C, h, w) of instants (M, C, h, w)."""
        sums = F.pad(instants.cumsum(0), (0, 0, 0, 0, 0, 0, 1, 0))
        return (sums[self.count :] - sums[: -self.count]) / self.count

    def jumps(self, instants: Tensor) -> Tensor:
        """Return (M - 1, C, h, w): each instant less the next one, warped to it."""
        moved = F.grid_sample(instants[1:], self.grids, padding_mode="border", align_corners=True)
        return instants[:-1] - moved

    def gradient(self, instants: Tensor, frames: Tensor | float) -> Tensor:
        """Return half the gradient of the energy, with `frames` as the blended frames.

        Only that of the warps is left to autograd: it keeps what it differentiates.
        """
        left = (self.means(instants) - frames) / self.count
        found = torch.zeros_like(instants)
        for first in range(self.count):  # every instant is in so many frames
            found[first : first + len(left)] += left
        with torch.enable_grad():
            x = instants.detach().requires_grad_()
            energy = _FLOW * (self.trust * self.jumps(x).square()).sum()
            found += torch.autograd.grad(energy / 2, x)[0]
        middle = slice(self.count // 2, self.count // 2 + len(left))
        found[middle] += self.still * (instants[middle] - frames)
        for dim in (-1, -2):
            slope = _SMOOTH * instants.diff(dim=dim)
            found.narrow(dim, 1, slope.shape[dim]).add_(slope)
            found.narrow(dim, 0, slope.shape[dim]).sub_(slope)
        return found

    def solved(self, start: Tensor, steps: int) -> Tensor:
        """Return the instants (M, C, h, w) after some steps of conjugate gradients from `start`."""
        x = start
        left = -self.gradient(x, self.frames)
        way, power = left, left.square().sum()
        for _ in range(steps):
            if power <= 0:
                break
            bent = self.gradient(way, 0.0)
            length = power / (way * bent).sum()
            x = x + length * way
            left = left - length * bent
            before, power = power, left.square().sum()
            way = left + (power / before) * way
        return x

    def judged(self, instants: Tensor) -> "Blend":
        """Return the system with the flow trusted as far as these instants follow it."""
        return replace(self, trust=_cauchy(self.jumps(instants), _UNLIKE))


def make_blend(frames: Sequence[Image], flows: Sequence[Image]) -> Blend:
    """Return the system of frames (h, w[, C]) and flows (h, w, 2) from each instant to the next, pixels.

    The flow is trusted everywhere at first.
    """
    pictures = np.stack([frame.reshape(*frame.shape[:2], -1) for frame in frames])
    height, width = pictures.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    size = np.array([max(width - 1, 1), max(height - 1, 1)], np.float32)
    grids = (np.stack([x, y], -1) + np.stack(flows)) * (2 / size) - 1
    stacked = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    count = len(flows) + 2 - len(frames)
    return Blend(
        stacked,
        torch.from_numpy(grids.astype(np.float32)),
        torch.ones((len(flows), 1, height, width)),
        _STILL * _stillness(stacked, count),
    )


def _stillness(frames: Tensor, count: int) -> Tensor:
    """Return (T, 1, h, w) 0..1: where the frames that share light with each frame show the same."""
    alike = _cauchy(frames.diff(dim=0), _MOVED).square()
    around = max(1, count // 2)
    return torch.stack([alike[max(0, t - around) : t + around].amin(0) for t in range(len(frames))])


def _cauchy(difference: Tensor, half: float) -> Tensor:
    """Return (N, 1, h, w) 0..1 of differences (N, C, h, w): 0.5 where they are `half` on the mean."""
    means = difference.abs().mean(1).numpy()
    soft = np.stack([cv2.GaussianBlur(mean, (0, 0), _SOFT_PX) for mean in means])
    return torch.from_numpy(1 / (1 + np.square(soft / np.float32(half))))[:, None]


def nearest_frames(frames: Tensor, count: int) -> Tensor:
    """Return (M, C, h, w): for every instant the frame about it, the first or last one beyond them."""
    index = torch.arange(len(frames) + count - 1) - count // 2
    return frames[index.clamp(0, len(frames) - 1)]
