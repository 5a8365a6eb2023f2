"""Spectra of overlapping picture tiles, and the frequency response of linear motion blur."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image

Spectra = NDArray[np.complex64]


@dataclass(frozen=True)
class Tiles:
    """Square tiles over a picture, each sharing half of its side with the next.

    side: pixels, even. size: (width, height) of the picture.
    Tiles begin half a side outside the picture, which is mirrored there; every pixel is in four tiles.
    `window` is applied before the spectrum and after it. With unchanged spectra `fold` restores the picture.
    Packed spectra are real: the numbers of OpenCV's CCS format, whose transform is several times as fast.
    They can be added, and multiplied by a real frequency response at `packed_frequencies`.
    """

    side: int
    size: tuple[int, int]

    @property
    def hop(self) -> int:
        return self.side // 2

    @property
    def counts(self) -> tuple[int, int]:
        """Return (rows, columns) of tiles."""
        width, height = self.size
        return -(-height // self.hop) + 1, -(-width // self.hop) + 1

    @cached_property
    def frequencies(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (side, 1) down and (1, side // 2 + 1) across, cycles per pixel."""
        down = np.fft.fftfreq(self.side).astype(np.float32)[:, None]
        return down, np.fft.rfftfreq(self.side).astype(np.float32)[None]

    @cached_property
    def packed_frequencies(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (side, side) down and (1, side) across, of each number of a packed spectrum."""
        half = (np.arange(self.side, dtype=np.float32) + 1) // 2 / np.float32(self.side)
        down = np.tile(np.fft.fftfreq(self.side).astype(np.float32)[:, None], self.side)
        down[:, [0, -1]] = half[:, None]  # real and imaginary parts are below each other there
        return down, half[None]

    @cached_property
    def window(self) -> NDArray[np.float32]:
        """Return (side, side), a sine window; its squares add up to one at half a side's distance."""
        edge = np.sin(np.pi * (np.arange(self.side) + 0.5) / self.side).astype(np.float32)
        return np.outer(edge, edge)

    def padded(self, picture: Image) -> Image:
        """Return a picture (H, W) with mirrored borders as far as tiles reach."""
        rows, columns = ((n + 1) * self.hop for n in self.counts)
        height, width = picture.shape
        down, right = rows - height - self.hop, columns - width - self.hop
        padded = cv2.copyMakeBorder(picture, self.hop, down, self.hop, right, cv2.BORDER_REFLECT)
        return np.asarray(padded, np.float32)

    def cut(self, padded: Image, row: int) -> Image:
        """Return one row of tiles (columns, side, side) of a padded picture, as a view of it."""
        band = padded[row * self.hop : row * self.hop + self.side]
        return np.moveaxis(sliding_window_view(band, self.side, axis=1)[:, :: self.hop], 1, 0)

    def spectra(self, tiles: Image) -> Spectra:
        """Return the spectra (columns, side, side // 2 + 1) of windowed tiles."""
        return np.asarray(np.fft.rfft2(tiles * self.window), np.complex64)

    def packed_spectra(self, tiles: Image, level: Image | float = 0) -> Image:
        """Return the packed spectra (N, side, side) of windowed tiles minus `level` (N, 1, 1)."""
        packed = np.subtract(tiles, level, out=np.empty(tiles.shape, np.float32))
        packed *= self.window
        for tile in packed:
            cv2.dft(tile, dst=tile)
        return packed

    def fold(self, padded: Image, row: int, packed: Image) -> None:
        """Add a row of tiles, given by packed spectra, to a padded picture, in place."""
        tiles = np.empty_like(packed)
        for spectrum, tile in zip(packed, tiles, strict=True):
            cv2.dft(spectrum, dst=tile, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
        tiles *= self.window
        band = padded[row * self.hop : row * self.hop + self.side]
        for first in (0, 1):
            joined = np.moveaxis(tiles[first::2], 0, 1).reshape(self.side, -1)
            band[:, first * self.hop : first * self.hop + joined.shape[1]] += joined

    def inner(self, padded: Image) -> Image:
        """Return the picture (H, W) within a padded one."""
        width, height = self.size
        return padded[self.hop : self.hop + height, self.hop : self.hop + width]

    def averaged(self, values: Image) -> Image:
        """Return values (h, w[, C]), on any grid over the picture, averaged over half a tile around each."""
        cells = max(1, round(self.hop * values.shape[0] / self.size[1]))
        return np.asarray(cv2.blur(values, (cells, cells)), np.float32)

    def at_centres(self, values: Image, row: int) -> Image:
        """Return (columns, C): values (h, w, C), on any grid over the picture, at a row's tile centres."""
        rows, columns = (values.shape[0] / self.size[1], values.shape[1] / self.size[0])
        y = int(np.clip(row * self.hop * rows, 0, values.shape[0] - 1))
        x = np.clip(np.arange(self.counts[1]) * self.hop * columns, 0, values.shape[1] - 1).astype(int)
        return np.asarray(values[y, x])


def cycles_along(
    vectors: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how many cycles of each frequency a blur vector covers.

    vectors: (N, 2) pixels x, y. down, across: frequencies in cycles per pixel, of shapes that broadcast.
    Returns (N, *their common shape).
    """
    extra = (1,) * np.broadcast(down, across).ndim
    x, y = (vectors[:, axis].reshape(-1, *extra) for axis in (0, 1))
    return np.asarray(across[None] * x + down[None] * y, np.float32)


def blur_response(cycles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frequency response of linear motion blur: sin(pi t) / (pi t), -0.22..1.

    cycles: the cycles t along the blur vector, from `cycles_along`.
    """
    return np.sinc(cycles).astype(np.float32)
