"""Overlapping square tiles of a picture and their spectra."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.spectra import Spectra, real_pictures, real_spectra, waves


@dataclass(frozen=True)
class TileGrid:
    """Tiles of `side` pixels every `hop` pixels over a picture of `size` (width, height).

    Neighbours share `side - hop` pixels, at most half a side; the windows fall off there, and their squares
    sum to one. The first tiles begin that far outside the picture, which is mirrored there.
    """

    side: int
    hop: int
    size: tuple[int, int]

    @property
    def margin(self) -> int:
        """Pixels that neighbouring tiles share, and by which the picture is extended before its start."""
        return self.side - self.hop

    @property
    def counts(self) -> tuple[int, int]:
        """(rows, columns) of tiles."""
        width, height = self.size
        return -(-(height + self.margin) // self.hop), -(-(width + self.margin) // self.hop)

    @cached_property
    def window(self) -> Image:
        """(side, side): flat in the middle, a quarter sine towards each edge."""
        edge = np.ones(self.side)
        rise = np.sin(np.pi / 2 * (np.arange(self.margin) + 0.5) / self.margin)
        edge[: self.margin], edge[-self.margin :] = rise, rise[::-1]
        return np.outer(edge, edge).astype(np.float32)

    @cached_property
    def frequencies(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(side,) down and (side // 2 + 1,) across, cycles per pixel."""
        down, across = np.fft.fftfreq(self.side), np.fft.rfftfreq(self.side)
        return down.astype(np.float32), across.astype(np.float32)

    def halved(self) -> "TileGrid":
        """Return the same tiles over the picture at half its size."""
        return TileGrid(self.side // 2, self.hop // 2, ((self.size[0] + 1) // 2, (self.size[1] + 1) // 2))

    def padded(self, picture: Image) -> Image:
        """Return a picture (H, W[, C]) extended by its mirror image as far as tiles reach."""
        rows, columns = (count * self.hop + self.margin for count in self.counts)
        down = max(rows - self.margin - self.size[1], 0)
        right = max(columns - self.margin - self.size[0], 0)
        # Reflection may be repeated where a picture is smaller than a tile; OpenCV allows that.
        return np.asarray(
            cv2.copyMakeBorder(picture, self.margin, down, self.margin, right, cv2.BORDER_REFLECT), np.float32
        )

    def cut(self, padded: Image, row: int) -> Image:
        """Return one row of tiles (columns, C, side, side), a view of a padded picture (H', W'[, C])."""
        band = padded[row * self.hop : row * self.hop + self.side]
        tiles = np.lib.stride_tricks.sliding_window_view(band, self.side, axis=1)[:, :: self.hop]
        tiles = tiles[:, : self.counts[1]]
        return tiles.transpose(1, 0, 2)[:, None] if padded.ndim == 2 else tiles.transpose(1, 2, 0, 3)

    def spectra(self, tiles: Image) -> Spectra:
        """Return the spectra (..., side, side // 2 + 1) of tiles under the window."""
        return real_spectra(tiles * self.window)

    def pictures(self, spectra: Spectra) -> Image:
        """Return the tiles (..., side, side) of spectra, under the window again, ready to be summed."""
        tiles = real_pictures(spectra, (self.side, self.side))
        tiles *= self.window
        return tiles

    def fold(self, padded: Image, row: int, tiles: Image) -> None:
        """Add a row of tiles (columns, C, side, side), as `pictures` gives them, to planes (C, H', W')."""
        for column, tile in enumerate(tiles):
            y, x = row * self.hop, column * self.hop
            padded[:, y : y + self.side, x : x + self.side] += tile

    def inner(self, padded: Image) -> Image:
        """Return the planes (C, H, W) that padded ones (C, H', W') surround."""
        width, height = self.size
        return padded[:, self.margin : self.margin + height, self.margin : self.margin + width]

    def centres(self, row: int) -> NDArray[np.float64]:
        """Return (columns, 2): x, y in pixels of the tiles' centres in one row."""
        first = self.side / 2 - 0.5 - self.margin
        x = np.arange(self.counts[1]) * self.hop + first
        return np.stack([x, np.full_like(x, row * self.hop + first)], 1)


def transfer(moves: NDArray[np.float64], down: NDArray[np.float32], across: NDArray[np.float32]) -> Spectra:
    """Return the transfer functions (N, len(down), len(across)) of blurs.

    moves: (N, U, 2), where each of U instants samples the sharp picture, pixels from a tile's own place:
    the blurred picture is the mean of x(p + move), so its spectrum is X times the mean of exp(2 pi i f move).
    down, across: cycles per pixel in the order of `numpy.fft.fftfreq`, of across any part.
    """
    half = waves(down[: len(down) // 2 + 1, None] * moves[:, None, :, 1])
    mirrored = np.conj(half[:, (len(down) - 1) // 2 : 0 : -1])  # the negative frequencies
    ey = np.concatenate([half, mirrored], 1)
    ex = waves(across * moves[:, :, :1])
    ex *= np.float32(1 / moves.shape[1])
    return np.asarray(ey @ ex)
