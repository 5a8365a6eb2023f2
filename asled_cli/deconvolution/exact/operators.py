"""What an exposure does to a sharp picture, exactly, and the adjoint of that, for iterative solvers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix

Picture = NDArray[np.float64]


@dataclass(frozen=True)
class ExposureOperator:
    """A sharp picture averaged over the instants of an exposure.

    maps: frame pixel -> pixel of the sharp picture, one for each instant. size: (width, height) of both.
    The sharp picture is sampled bilinearly and is zero outside of its pixels; `seen` tells where a frame's
    pixel depends on nothing outside.
    """

    maps: Sequence[Matrix]
    size: tuple[int, int]

    def forward(self, sharp: Picture) -> Picture:
        """Return the blurred picture (H, W) of a sharp one (H, W)."""
        flat = np.append(sharp.ravel(), 0.0)
        total = np.zeros(sharp.size)
        for places, weights in self._samples:
            total += (flat[places] * weights).sum(0)
        return (total / len(self.maps)).reshape(sharp.shape)

    def adjoint(self, blurred: Picture) -> Picture:
        """Return the transpose of `forward` applied to a picture (H, W)."""
        total = np.zeros(blurred.size + 1)
        for places, weights in self._samples:
            total += np.bincount(places.ravel(), (weights * blurred.ravel()).ravel(), len(total))
        return (total[:-1] / len(self.maps)).reshape(blurred.shape)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(H, W): which pixels of the frame are made of pixels of the sharp picture alone."""
        outside = self.size[0] * self.size[1]
        inside = [((places != outside) | (weights == 0)).all(0) for places, weights in self._samples]
        return np.asarray(np.all(inside, axis=0).reshape(self.size[1], self.size[0]))

    @cached_property
    def _samples(self) -> list[tuple[NDArray[np.intp], Picture]]:
        """For each instant (4, pixels): the four pixels that each one is sampled from, and their weights."""
        width, height = self.size
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(width), np.arange(height)))
        points = np.stack([x, y, np.ones_like(x)]).astype(np.float64)
        found = []
        for matrix in self.maps:
            u, v, w = matrix @ points
            u, v = u / w, v / w
            left, top = np.floor(u), np.floor(v)
            places, weights = [], []
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                column, row = left + dx, top + dy
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                at = np.where(inside, row * width + column, width * height).astype(np.intp)
                places.append(at)
                weights.append((1 - np.abs(u - column)) * (1 - np.abs(v - row)))
            found.append((np.stack(places), np.stack(weights)))
        return found


def gradient(picture: Picture) -> Picture:
    """Return (2, H, W): differences to the pixel on the right and below, zero at the last."""
    result = np.zeros((2, *picture.shape))
    result[0, :, :-1] = np.diff(picture, axis=1)
    result[1, :-1] = np.diff(picture, axis=0)
    return result


def gradient_adjoint(field: Picture) -> Picture:
    """Return (H, W): the transpose of `gradient` applied to (2, H, W)."""
    x, y = field
    result: Picture = np.zeros_like(x)
    result[:, :-1] -= x[:, :-1]
    result[:, 1:] += x[:, :-1]
    result[:-1] -= y[:-1]
    result[1:] += y[:-1]
    return result
