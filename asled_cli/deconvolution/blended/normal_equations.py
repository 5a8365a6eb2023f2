"""Normal equations of the sharp instants, and their solution by conjugate gradients, instant by instant.

Each thread works on pictures of its own, and sums are taken picture by picture, so the result does not depend
on the number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.runtime.stages import map_in_threads

_COLUMNS = 65536  # pixels whose means are computed at once
_BILINEAR, _BORDER = 0, 1  # as torch numbers modes of sampling


@dataclass(frozen=True)
class Strengths:
    """Weights of the flow and of the gradients in the energy; the frames weigh 1."""

    flow: float
    smooth: float


@dataclass(frozen=True)
class NormalEquations:
    """A x = b of the energy that `instants` tells, for instants x (M, C, h, w) float32.

    grids: (M - 1, h, w, 2) of the warps, -1..1. trust: (M - 1, 1, h, w); still: (T, 1, h, w).
    """

    grids: Tensor
    trust: Tensor
    still: Tensor
    strengths: Strengths

    @property
    def count(self) -> int:
        """Instants in a frame."""
        return len(self.grids) + 2 - len(self.still)

    @cached_property
    def _averaging(self) -> Tensor:
        """The matrix (T, M) that makes frames of instants."""
        frames, instants = len(self.still), len(self.grids) + 1
        matrix = torch.zeros(frames, instants)
        for t in range(frames):
            matrix[t, t : t + self.count] = 1 / self.count
        return matrix

    def right(self, frames: Tensor) -> Tensor:
        """Return b for blended frames (T, C, h, w)."""
        found = _mixed(self._averaging.T, frames, torch.empty(len(self.grids) + 1, *frames.shape[1:]))
        middle = self.count // 2
        found[middle : middle + len(frames)].addcmul_(self.still, frames)
        return found

    def times(self, x: Tensor, out: Tensor) -> float:
        """Write A x to `out`; return x . A x."""
        _mixed(self._averaging.T @ self._averaging, x, out)
        flow = self.strengths.flow

        def jump(j: int) -> Tensor:
            """Add what instant j has of the jump after it; return what the next one has."""
            weighted = self.jump(x, j).mul_(self.trust[j])
            out[j].add_(weighted[0], alpha=flow)
            return self._warped_back(weighted, j)

        back = map_in_threads(jump, range(len(self.grids)))

        def rest(j: int) -> float:
            if j > 0:
                out[j].sub_(back[j - 1][0], alpha=flow)
            if 0 <= j - self.count // 2 < len(self.still):
                out[j].addcmul_(self.still[j - self.count // 2], x[j])
            _subtract_laplacian(x[j], out[j], self.strengths.smooth)
            return dot(x[j], out[j])

        return sum(map_in_threads(rest, range(len(x))))

    def jump(self, x: Tensor, j: int) -> Tensor:
        """Return (1, C, h, w): instant j less the next one, warped to it."""
        moved = F.grid_sample(
            x[j + 1 : j + 2], self.grids[j : j + 1], padding_mode="border", align_corners=True
        )
        return torch.sub(x[j : j + 1], moved, out=moved)

    def _warped_back(self, picture: Tensor, j: int) -> Tensor:
        """Return the adjoint of the warp of instant j + 1 to instant j, of a picture (1, C, h, w)."""
        found: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            picture, picture, self.grids[j : j + 1], _BILINEAR, _BORDER, True, [True, False]
        )[0]  # it depends on the size alone of the picture that was sampled
        return found


def solve(equations: NormalEquations, right: Tensor, start: Tensor, steps: int) -> Tensor:
    """Return x (M, C, h, w) after some steps of conjugate gradients from `start`."""
    x, bent = start.clone(), torch.empty_like(start)
    equations.times(x, bent)
    left = right - bent
    way = left.clone()
    power = _sum(lambda j: dot(left[j], left[j]), len(x))
    for _ in range(steps):
        if power <= 0:
            break
        length = power / equations.times(way, bent)

        def step(j: int, length: float = length) -> float:
            x[j].add_(way[j], alpha=length)
            left[j].sub_(bent[j], alpha=length)
            return dot(left[j], left[j])

        before, power = power, _sum(step, len(x))
        share = power / before
        map_in_threads(lambda j: torch.add(left[j], way[j], alpha=share, out=way[j]), range(len(x)))  # noqa: B023
    return x


def _sum(function: Callable[[int], float], count: int) -> float:
    return sum(map_in_threads(function, range(count)))


def dot(first: Tensor, second: Tensor) -> float:
    """Return the sum of the products of two pictures (C, h, w)."""
    rows = np.einsum("chw,chw->ch", first.numpy(), second.numpy())
    return float(rows.sum(dtype=np.float64))


def _mixed(weights: Tensor, pictures: Tensor, out: Tensor) -> Tensor:
    """Write weighted sums of pictures (N, ...) to `out` (K, ...); weights: (K, N)."""
    values, sums = pictures.reshape(len(pictures), -1), out.view(len(out), -1)

    def some(first: int) -> None:
        part = slice(first, first + _COLUMNS)
        torch.mm(weights, values[:, part], out=sums[:, part])

    map_in_threads(some, range(0, values.shape[1], _COLUMNS))
    return out


def _subtract_laplacian(picture: Tensor, out: Tensor, factor: float) -> None:
    """Subtract the Laplacian of (C, h, w) times `factor`; nothing flows across the border."""
    for channel, found in zip(picture.numpy(), out, strict=True):
        curved = cv2.Laplacian(channel, cv2.CV_32F, ksize=1, scale=factor, borderType=cv2.BORDER_REPLICATE)
        found.sub_(torch.from_numpy(curved))
