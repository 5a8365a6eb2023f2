"""Spectra of aligned frames in the few tiles that show most detail."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.spectra import real_spectra

_SIDE = 128
_TILES = 8
_LOWEST, _HIGHEST = 0.006, 0.2  # cycles per pixel
_NOISE, _CORNER = 0.3, 0.05  # noise over signal, as in `wiener`
_SEEN = 0.98  # share of a tile that a frame must show


@dataclass(frozen=True)
class Band:
    """Spectra of aligned frames in a band of frequencies.

    values: (K, N, F) complex64. across, down: (F,) cycles per pixel. seen: (K, N), 1 where a frame shows the
    tile, else 0.
    """

    values: NDArray[np.complex64]
    across: NDArray[np.float32]
    down: NDArray[np.float32]
    seen: NDArray[np.float32]

    def below(self, highest: float) -> "Band":
        """Return the part below a frequency."""
        kept = np.hypot(self.across, self.down) < highest
        values = np.ascontiguousarray(self.values[:, :, kept])
        return Band(values, self.across[kept], self.down[kept], self.seen)

    @property
    def noise(self) -> NDArray[np.float32]:
        """(F,): noise over signal."""
        return np.asarray(
            _NOISE * (np.square(self.across) + np.square(self.down) + np.float32(_CORNER**2)), np.float32
        )


def band_of(frames: Sequence[Image], cover: Sequence[Image], target: int) -> tuple[Band, NDArray[np.float64]]:
    """Return the spectra of aligned frames (H, W) in tiles, and the tiles' centres (N, 2), x and y.

    cover: (H, W) 0..1, where each frame shows the scene. target: the frame whose detail counts.
    """
    height, width = frames[0].shape
    side = min(_SIDE, height, width) // 2 * 2
    corners = _busiest(frames[target], side)
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2).astype(np.float32)
    down, across = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    radius = np.hypot(down, across)
    kept = (radius >= _LOWEST) & (radius < _HIGHEST)
    values, seen = [], []
    for frame, shown in zip(frames, cover, strict=True):
        tiles = np.stack([frame[y : y + side, x : x + side] for y, x in corners])
        tiles = (tiles - tiles.mean((1, 2), keepdims=True)) * window
        values.append(real_spectra(tiles)[:, kept])
        seen.append([shown[y : y + side, x : x + side].mean() > _SEEN for y, x in corners])
    band = Band(
        np.stack(values), across[kept].astype(np.float32), down[kept].astype(np.float32),
        np.array(seen, np.float32),
    )  # fmt: skip
    return band, np.array([(x + side / 2 - 0.5, y + side / 2 - 0.5) for y, x in corners])


def _busiest(frame: Image, side: int) -> list[tuple[int, int]]:
    """Return the upper left corners (y, x) of the tiles with most detail, about half overlapping."""
    ys, xs = (
        np.linspace(0, n - side, max(1, round(1.5 * (n - side) / side + 1))).astype(int) for n in frame.shape
    )

    def detail(corner: tuple[int, int]) -> float:
        tile = frame[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        return float(np.abs(np.diff(tile, axis=0)).mean() + np.abs(np.diff(tile, axis=1)).mean())

    return sorted(sorted(((int(y), int(x)) for y in ys for x in xs), key=detail)[-_TILES:])
