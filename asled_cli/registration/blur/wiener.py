"""Multi-frame Wiener deconvolution of the reference, each frame with its own linear motion blur kernel.

Source: N. Wiener, "Extrapolation, interpolation, and smoothing of stationary time series", 1949, for several
pictures of one scene: X = sum(H_i* Y_i) / (sum(|H_i|^2) + noise / power). A frequency that one frame lost
along its motion is still in a frame that moved less or in another direction. Motion is constant within each
of the overlapping tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.registration.blur.tile_spectra import Tiles, blur_response, cycles_along

# Shorter blur (pixels) is left: networks were trained on references with as much blur and remove it.
SHORT_PX = 2.5
# From this length on all blur is removed; in between a growing share, so that nothing jumps.
_FULL_PX = 4.5
# Side of a tile in pixels, doubled where blur is longer than a quarter of it.
_SIDE = 64
# Standard deviation (0..1) of noise and compression errors of one frame. Half and twice as much changed
# results by less than 0.05 dB.
_NOISE = 0.015
# Softness of an enlarged reference, sigma in pixels.
_SOFT_PX = 0.9
# Relative standard error of a kernel's length.
LENGTH_UNCERTAINTY = 0.1
# Bounds that keep flat tiles regular: of their variance, and of noise over power.
MIN_VARIANCE, MAX_NOISE = 1e-6, 1e4


@dataclass(frozen=True)
class View:
    """One frame's luma (H, W) 0..1, warped onto the middle frame.

    weight: (h, w) 0..1, its confidence.
    travel: (h, w, 2), displacement during its own exposure, pixels of (H, W).
    """

    grey: Image
    weight: Image
    travel: Image


def longest_travel(travels: Sequence[Image]) -> float:
    """Return the 95th percentile of the displacement in the most blurred frame, pixels.

    travels: (h, w, 2) of each frame.
    """
    return max(float(np.percentile(np.hypot(t[::2, ::2, 0], t[::2, ::2, 1]), 95)) for t in travels)


def wiener_deconvolve(views: Sequence[View], mean: Image) -> Image:
    """Return (H, W) float32: the luma `mean` of the views with their blur removed, not clipped.

    It works on coded values as given; linear light gained no more. Where views did not move, or moved farther
    than half a tile, the result is `mean`.
    views: at least one has weight everywhere. mean: (H, W), their weighted mean.
    """
    height, width = mean.shape
    tiles = Tiles(tile_side([view.travel for view in views]), (width, height))
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
        vectors = [tiles.at_centres(travel, row) for travel in travels]
        counts = [tiles.at_centres(weight, row)[..., None] for weight in weights]
        missing = wiener.missing(spectra, vectors, counts, cut.var(axis=(1, 2)))
        tiles.fold(total, row, missing * deconvolution_share(vectors, tiles.side)[:, None, None])
    return mean + tiles.inner(total)


def tile_side(travels: Sequence[Image]) -> int:
    """Return the side of a tile in pixels, by the displacements (h, w, 2) of all frames."""
    return _SIDE if longest_travel(travels) <= _SIDE / 4 else 2 * _SIDE


def deconvolution_share(vectors: Sequence[Image], side: int) -> NDArray[np.float32]:
    """Return (...) 0..1, the share of the deconvolution applied in each tile.

    vectors: (..., 2) pixels, of each view; the longest one decides.
    """
    longest = np.max([np.hypot(vector[..., 0], vector[..., 1]) for vector in vectors], axis=0)
    share = np.clip((longest - SHORT_PX) / (_FULL_PX - SHORT_PX), 0, 1)
    return np.asarray(share * (longest <= side / 2), np.float32)


def noise_to_power(tiles: Tiles) -> NDArray[np.float32]:
    """Return (side, side // 2 + 1): power of noise over power of pictures of variance 1, by frequency."""
    radius = np.hypot(*tiles.frequencies)
    # Power of natural pictures falls with the square of the frequency (D. J. Field, 1987).
    soft = np.exp(-np.square(2 * np.pi * _SOFT_PX * radius))
    power = soft / np.square(np.maximum(radius, 1 / tiles.side))
    return np.asarray(_NOISE**2 * power.mean() / np.maximum(power, 1e-9), np.float32)


class _Wiener:
    """The Wiener filter for tiles of one size."""

    def __init__(self, tiles: Tiles) -> None:
        self._down, self._across = tiles.frequencies
        self._noise_to_power = noise_to_power(tiles)

    def missing(
        self,
        spectra: Sequence[NDArray[np.complex64]],
        vectors: Sequence[Image],
        weights: Sequence[Image],
        variance: NDArray[np.float32],
    ) -> NDArray[np.complex64]:
        """Return the spectra (N, side, side // 2 + 1) that blur removed from the weighted mean of the views.

        spectra: of each view. vectors: (N, 2) pixels. weights: (N, 1, 1). variance: (N,) of the tiles.
        """
        noise = np.minimum(
            self._noise_to_power / np.maximum(variance, MIN_VARIANCE)[:, None, None], MAX_NOISE
        )
        filtered: NDArray[np.complex64] = np.zeros_like(spectra[0])
        mean: NDArray[np.complex64] = np.zeros_like(spectra[0])
        energy = np.zeros(spectra[0].shape, np.float32)
        count = np.zeros((len(variance), 1, 1), np.float32)
        for spectrum, vector, weight in zip(spectra, vectors, weights, strict=True):
            cycles = cycles_along(vector, self._down, self._across)
            h = blur_response(cycles)
            uncertainty = np.minimum(np.square(LENGTH_UNCERTAINTY * 2 * np.pi * cycles) / 12, 1)
            filtered += weight * h * spectrum
            energy += weight * (h * h + uncertainty)
            mean += weight * spectrum
            count += weight
        mean /= count
        sharp = filtered / (energy + noise)
        return np.asarray(sharp * ((count + noise) / count) - mean, np.complex64)
