"""Pictures as spectra of tiles, and what blur by a straight motion does to those."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image

Spectra = NDArray[np.complex64]


@dataclass(frozen=True)
class Tiles:
    """Square tiles of `side` pixels (even) over a picture of `size` (width, height), half of each shared.

    Tiles begin half a side outside the picture, which goes on mirrored there, so that every pixel lies in
    four. A tile is weighted by `window` before its spectrum is taken and after; with spectra unchanged,
    `fold` adds up to the picture that was cut.
    """

    side: int
    size: tuple[int, int]

    @property
    def hop(self) -> int:
        return self.side // 2

    @property
    def counts(self) -> tuple[int, int]:
        """(rows, columns) of tiles."""
        width, height = self.size
        return -(-height // self.hop) + 1, -(-width // self.hop) + 1

    @cached_property
    def frequencies(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(side, 1) down and (1, side // 2 + 1) across, cycles per pixel."""
        down = np.fft.fftfreq(self.side).astype(np.float32)[:, None]
        return down, np.fft.rfftfreq(self.side).astype(np.float32)[None]

    @cached_property
    def window(self) -> NDArray[np.float32]:
        """(side, side): sine windows, whose squares add up to one half a side apart."""
        edge = np.sin(np.pi * (np.arange(self.side) + 0.5) / self.side).astype(np.float32)
        return np.outer(edge, edge)

    def padded(self, picture: Image) -> Image:
        """Return a picture (H, W) with its mirrored surroundings, as far as tiles reach."""
        rows, columns = ((n + 1) * self.hop for n in self.counts)
        height, width = picture.shape
        down, right = rows - height - self.hop, columns - width - self.hop
        return np.pad(picture, ((self.hop, down), (self.hop, right)), mode="symmetric")

    def cut(self, padded: Image, row: int) -> Image:
        """Return one row of tiles (columns, side, side) of a padded picture."""
        band = padded[row * self.hop : row * self.hop + self.side]
        tiles = np.lib.stride_tricks.sliding_window_view(band, self.side, axis=1)[:, :: self.hop]
        return np.ascontiguousarray(np.moveaxis(tiles, 1, 0))

    def spectra(self, tiles: Image) -> Spectra:
        """Return the spectra (columns, side, side // 2 + 1) of tiles under the window."""
        return np.asarray(np.fft.rfft2(tiles * self.window), np.complex64)

    def fold(self, padded: Image, row: int, spectra: Spectra) -> None:
        """Add a row of tiles, given by their spectra, to a padded picture."""
        tiles = np.fft.irfft2(spectra, s=(self.side, self.side)).astype(np.float32) * self.window
        band = padded[row * self.hop : row * self.hop + self.side]
        for first in (0, 1):
            joined = np.moveaxis(tiles[first::2], 0, 1).reshape(self.side, -1)
            band[:, first * self.hop : first * self.hop + joined.shape[1]] += joined

    def inner(self, padded: Image) -> Image:
        """Return the picture (H, W) that a padded one surrounds."""
        width, height = self.size
        return padded[self.hop : self.hop + height, self.hop : self.hop + width]

    def averaged(self, values: Image) -> Image:
        """Return values (h, w[, C]), on any grid over the picture, averaged over half a tile about each."""
        cells = max(1, round(self.hop * values.shape[0] / self.size[1]))
        return np.asarray(cv2.blur(values, (cells, cells)), np.float32)

    def at_centres(self, values: Image, row: int) -> Image:
        """Return (columns, C): values (h, w, C), on any grid over the picture, about a row's tile centres."""
        rows, columns = (values.shape[0] / self.size[1], values.shape[1] / self.size[0])
        y = int(np.clip(row * self.hop * rows, 0, values.shape[0] - 1))
        x = np.clip(np.arange(self.counts[1]) * self.hop * columns, 0, values.shape[1] - 1).astype(int)
        return np.asarray(values[y, x])


def turns(
    travel: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how many cycles of each frequency lie along a way.

    travel: (N, 2) pixels x, y moved within the exposure. down, across: frequencies, cycles per pixel, of
    shapes that broadcast together. Returns (N, *their common shape).
    """
    extra = (1,) * np.broadcast(down, across).ndim
    x, y = (travel[:, axis].reshape(-1, *extra) for axis in (0, 1))
    return np.asarray(across[None] * x + down[None] * y, np.float32)


def response(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what blur along a straight way leaves of each frequency: sin(pi t) / (pi t), -0.22..1.

    turned: the cycles t along the way, as `turns` gives them.
    """
    return np.sinc(turned).astype(np.float32)
