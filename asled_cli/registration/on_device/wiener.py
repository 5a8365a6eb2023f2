"""Multi-frame Wiener deconvolution of the reference by torch: as `blur.wiener`, many tiles at once.

What is known per tile or cell is small and comes from the CPU; pictures and spectra stay on the device.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from asled_cli.imaging.homography import Image
from asled_cli.imaging.on_device.codes import upload
from asled_cli.registration.blur.tile_spectra import Tiles
from asled_cli.registration.blur.wiener import (
    LENGTH_UNCERTAINTY,
    MAX_NOISE,
    MIN_VARIANCE,
    deconvolution_share,
    noise_to_power,
    tile_side,
)

_ROWS = 16  # of tiles at a time, which bounds the memory


def wiener_deconvolve(
    greys: Sequence[Tensor], weights: Sequence[Image], travels: Sequence[Image], mean: Tensor
) -> Tensor:
    """Return (H, W) float32: the luma `mean` (H, W) of the views with their blur removed, not clipped.

    greys: (H, W) luma 0..1 of each view. weights, travels: (h, w) and (h, w, 2) as in `blur.wiener.View`.
    """
    height, width = mean.shape
    tiles = Tiles(tile_side(travels), (width, height))
    wiener = _Wiener(tiles, mean.device)
    pictures = [_padded(tiles, grey) for grey in greys]
    motion = [tiles.averaged(travel) for travel in travels]
    trust = [tiles.averaged(weight)[..., None] for weight in weights]
    base = _padded(tiles, mean)
    total = torch.zeros_like(base)
    for first in range(0, tiles.counts[0], _ROWS):
        rows = range(first, min(first + _ROWS, tiles.counts[0]))
        vectors = [_at_centres(tiles, travel, rows) for travel in motion]
        counts = [_at_centres(tiles, weight, rows) for weight in trust]
        cuts = [_cut(tiles, picture, rows) for picture in pictures]
        missing = wiener.missing(cuts, vectors, counts, _cut(tiles, base, rows))
        share = upload(deconvolution_share(vectors, tiles.side), mean.device)
        _add(tiles, total, rows, wiener.pictures(missing * share[..., None, None]))
    return mean + total[tiles.hop :, tiles.hop :][:height, :width]


class _Wiener:
    """The Wiener filter for tiles of one size."""

    def __init__(self, tiles: Tiles, device: torch.device) -> None:
        self._device = device
        self._side = tiles.side
        self._window = upload(tiles.window, device)
        self._down, self._across = (upload(axis, device) for axis in tiles.frequencies)
        self._noise_to_power = upload(noise_to_power(tiles, tiles.frequencies), device)

    def missing(
        self, cuts: Sequence[Tensor], vectors: Sequence[Image], weights: Sequence[Image], base: Tensor
    ) -> Tensor:
        """Return the spectra (R, N, side, side // 2 + 1) that blur removed from the mean of the views.

        cuts, base: tiles (R, N, side, side) of each view and of the mean. vectors, weights: (R, N, 2) pixels
        and (R, N, 1) of each view.
        """
        level = base.mean(dim=(2, 3), keepdim=True)
        variance = base.var(dim=(2, 3), correction=0, keepdim=True).clamp_(min=MIN_VARIANCE)
        noise = (self._noise_to_power / variance).clamp_(max=MAX_NOISE)
        filtered = mean = energy = count = torch.zeros(1, device=self._device)
        for cut, vector, own in zip(cuts, vectors, weights, strict=True):
            weight = upload(own, self._device)[..., None]
            spectrum = torch.fft.rfft2((cut - level) * self._window)
            x, y = upload(vector, self._device)[..., None, None].unbind(dim=2)
            cycles = self._across * x + self._down * y
            h = torch.sinc(cycles)
            uncertainty = ((LENGTH_UNCERTAINTY * 2 * np.pi * cycles) ** 2 / 12).clamp_(max=1)
            filtered = filtered + weight * h * spectrum
            energy = energy + weight * (h * h + uncertainty)
            mean = mean + weight * spectrum
            count = count + weight
        return filtered / (energy + noise) * ((count + noise) / count) - mean / count

    def pictures(self, spectra: Tensor) -> Tensor:
        """Return the windowed tiles (R, N, side, side) of spectra."""
        tiles: Tensor = torch.fft.irfft2(spectra, s=(self._side, self._side))
        return tiles * self._window


def _padded(tiles: Tiles, picture: Tensor) -> Tensor:
    """Return a picture (H, W) with mirrored borders as far as tiles reach."""
    for axis, (count, side) in enumerate(zip(tiles.counts, picture.shape, strict=True)):
        after = (count + 1) * tiles.hop - side - tiles.hop
        mirrored = np.pad(np.arange(side), (tiles.hop, after), mode="symmetric")
        picture = picture.index_select(axis, upload(mirrored, picture.device))
    return picture


def _cut(tiles: Tiles, padded: Tensor, rows: range) -> Tensor:
    """Return rows of tiles (R, N, side, side) of a padded picture, as a view."""
    band = padded[rows.start * tiles.hop : (rows.stop - 1) * tiles.hop + tiles.side]
    return band.unfold(0, tiles.side, tiles.hop).unfold(1, tiles.side, tiles.hop)


def _add(tiles: Tiles, padded: Tensor, rows: range, parts: Tensor) -> None:
    """Add rows of tiles (R, N, side, side) to a padded picture, in place."""
    for top in (0, 1):
        for left in (0, 1):
            some = parts[top::2, left::2]  # these do not overlap
            joined = some.permute(0, 2, 1, 3).reshape(some.shape[0] * tiles.side, -1)
            band = padded[(rows.start + top) * tiles.hop :, left * tiles.hop :]
            band[: joined.shape[0], : joined.shape[1]] += joined


def _at_centres(tiles: Tiles, values: Image, rows: range) -> Image:
    """Return (R, N, C): values (h, w, C), on any grid over the picture, at the centres of rows of tiles."""
    return np.stack([tiles.at_centres(values, row) for row in rows])
