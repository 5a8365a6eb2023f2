"""The reference's own blur taken out: a Wiener filter of several frames, each blurred along its own way.

N. Wiener, "Extrapolation, interpolation, and smoothing of stationary time series", 1949, for more than one
picture of a thing: X = sum(H_i* Y_i) / (sum(|H_i|^2) + noise / power). What one frame has lost along its way,
another that moved less or elsewhere still has. In overlapping tiles, in each of which motion counts as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.registration.blur.tile_spectra import Tiles, response, turns

# Shorter ways (pixels) are left: networks learned on references as blurred as that, and undo it themselves.
# From the second on the whole of a blur is undone; between them a share, so that nothing jumps.
SHORT_PX, _LONG_PX = 2.5, 4.5
# Side of a tile in pixels; one twice as large where ways are longer than a quarter of it.
_SIDE = 64
# Noise and coding of one frame (deviation, 0..1), and the softness of an enlarged reference (pixels). Half
# and twice the noise changed results by less than 0.05 dB.
_NOISE, _SOFT_PX = 0.015, 0.9
# How well a way's length is known, as a share of it.
_UNCERTAIN = 0.1


@dataclass(frozen=True)
class View:
    """One frame's luma (H, W) 0..1, laid onto the frame in the middle.

    weight: (h, w) 0..1, how much to believe it. travel: (h, w, 2), how far things moved while its shutter
    was open, pixels of (H, W).
    """

    grey: Image
    weight: Image
    travel: Image


def longest_travel(travels: Sequence[Image]) -> float:
    """Return how far all but the quickest twentieth moved in the frame that is blurred most, pixels.

    travels: (h, w, 2) of each frame.
    """
    return max(float(np.percentile(np.hypot(t[::2, ::2, 0], t[::2, ::2, 1]), 95)) for t in travels)


def wiener_deconvolve(views: Sequence[View], mean: Image) -> Image:
    """Return (H, W) float32: the luma `mean` of the views as it were without their blur, not clipped.

    It works on coded values, as the views come: in linear light it gained no more. Where views did not move,
    or moved farther than half a tile, it is `mean` again. At least one view has weight everywhere.
    """
    height, width = mean.shape
    side = _SIDE if longest_travel([view.travel for view in views]) <= _SIDE / 4 else 2 * _SIDE
    tiles = Tiles(side, (width, height))
    wiener = _Wiener(tiles)
    pictures = [tiles.padded(view.grey) for view in views]
    travels = [tiles.averaged(view.travel) for view in views]
    weights = [tiles.averaged(view.weight)[..., None] for view in views]
    base = tiles.padded(mean)
    total = np.zeros_like(base)
    for row in range(tiles.counts[0]):
        cut = tiles.cut(base, row)
        level = cut.mean(axis=(1, 2), keepdims=True)
        spectra = [tiles.spectra(tiles.cut(picture, row) - level) for picture in pictures]
        ways = [tiles.at_centres(travel, row) for travel in travels]
        counts = [tiles.at_centres(weight, row)[..., None] for weight in weights]
        lacking = wiener.lacking(spectra, ways, counts, cut.var(axis=(1, 2)))
        tiles.fold(total, row, lacking * _share(ways, side)[:, None, None])
    return mean + tiles.inner(total)


def _share(ways: Sequence[Image], side: int) -> NDArray[np.float32]:
    """Return (N,) 0..1: how much of each tile's blur to undo, by the longest of its ways (N, 2)."""
    longest = np.max([np.hypot(way[:, 0], way[:, 1]) for way in ways], axis=0)
    share = np.clip((longest - SHORT_PX) / (_LONG_PX - SHORT_PX), 0, 1)
    return np.asarray(share * (longest <= side / 2), np.float32)


class _Wiener:
    """The filter for tiles of one size."""

    def __init__(self, tiles: Tiles) -> None:
        self._down, self._across = tiles.frequencies
        radius = np.hypot(self._down, self._across)
        # Power of natural pictures falls with the square of the frequency (D. J. Field, 1987).
        soft = np.exp(-np.square(2 * np.pi * _SOFT_PX * radius))
        power = soft / np.square(np.maximum(radius, 1 / tiles.side))
        self._noise_to_power = (_NOISE**2 * power.mean() / np.maximum(power, 1e-9)).astype(np.float32)

    def lacking(
        self,
        spectra: Sequence[NDArray[np.complex64]],
        ways: Sequence[Image],
        weights: Sequence[Image],
        variance: NDArray[np.float32],
    ) -> NDArray[np.complex64]:
        """Return the spectra (N, side, side // 2 + 1) of what the weighted mean of the views lacks by blur.

        spectra: of each view. ways: (N, 2) pixels. weights: (N, 1, 1). variance: (N,) of the tiles.
        """
        noise = np.minimum(self._noise_to_power / np.maximum(variance, 1e-6)[:, None, None], 1e4)
        found: NDArray[np.complex64] = np.zeros_like(spectra[0])
        mean: NDArray[np.complex64] = np.zeros_like(spectra[0])
        kept = np.zeros(spectra[0].shape, np.float32)
        count = np.zeros((len(variance), 1, 1), np.float32)
        for spectrum, way, weight in zip(spectra, ways, weights, strict=True):
            turned = turns(way, self._down, self._across)
            h = response(turned)
            doubt = np.minimum(np.square(_UNCERTAIN * 2 * np.pi * turned) / 12, 1)
            found += weight * h * spectrum
            kept += weight * (h * h + doubt)
            mean += weight * spectrum
            count += weight
        mean /= count
        sharp = found / (kept + noise)
        return np.asarray(sharp * ((count + noise) / count) - mean, np.complex64)
