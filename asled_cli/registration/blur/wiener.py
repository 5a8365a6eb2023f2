"""Multi-frame Wiener deconvolution of the reference, each frame with its own linear motion blur kernel.

Source: N. Wiener, "Extrapolation, interpolation, and smoothing of stationary time series", 1949, for several
pictures of one scene: X = sum(H_i* Y_i) / (sum(|H_i|^2) + noise / power). A frequency that one frame lost
along its motion is still in a frame that moved less or in another direction. Motion is constant within each
of the overlapping tiles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.registration.blur.tile_spectra import Tiles

# Shorter blur (pixels) is left: networks were trained on references with as much blur and remove it.
SHORT_PX = 2.5
# From this length on all blur is removed; in between a growing share, so that nothing jumps.
_FULL_PX = 4.5
# Side of a tile in pixels, doubled where blur is longer than a quarter of it.
_SIDE = 64
_TILES = 16  # filtered at a time, to stay in the cache
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
        vectors = [tiles.at_centres(travel, row) for travel in travels]
        counts = [tiles.at_centres(weight, row)[..., None] for weight in weights]
        share = deconvolution_share(vectors, tiles.side)[:, None, None]
        cuts, own = [tiles.cut(picture, row) for picture in pictures], tiles.cut(base, row)
        missing = np.zeros(own.shape, np.float32)
        moved = np.flatnonzero(share)
        for some in np.array_split(moved, -(-len(moved) // _TILES)) if len(moved) else ():
            level, variance = _moments(own[some])
            spectra = (tiles.packed_spectra(cut[some], level) for cut in cuts)
            motion, trust = ([values[some] for values in each] for each in (vectors, counts))
            missing[some] = wiener.missing(spectra, motion, trust, variance) * share[some]
        if len(moved):
            tiles.fold(total, row, missing)
    return mean + tiles.inner(total)


def _moments(tiles: Image) -> tuple[Image, Image]:
    """Return mean and variance (N, 1, 1) of tiles (N, side, side)."""
    return tiles.mean(axis=(1, 2), keepdims=True), tiles.var(axis=(1, 2), keepdims=True)


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


def noise_to_power(
    tiles: Tiles, frequencies: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return power of noise over power of pictures of variance 1, by frequency.

    frequencies: down and across, cycles per pixel, of shapes that broadcast to that of the result.
    """

    def power(radius: NDArray[np.float32]) -> NDArray[np.float32]:
        # Power of natural pictures falls with the square of the frequency (D. J. Field, 1987).
        soft = np.exp(-np.square(2 * np.pi * _SOFT_PX * radius))
        return np.asarray(soft / np.square(np.maximum(radius, 1 / tiles.side)), np.float32)

    mean = power(np.hypot(*tiles.frequencies)).mean()
    return np.asarray(_NOISE**2 * mean / np.maximum(power(np.hypot(*frequencies)), 1e-9), np.float32)


class _Wiener:
    """The Wiener filter for tiles of one size."""

    def __init__(self, tiles: Tiles) -> None:
        self._down, self._across = (np.float32(np.pi) * axis for axis in tiles.packed_frequencies)
        self._noise_to_power = noise_to_power(tiles, tiles.packed_frequencies)

    def missing(
        self,
        spectra: Iterable[Image],
        vectors: Sequence[Image],
        weights: Sequence[Image],
        variance: Image,
    ) -> Image:
        """Return the packed spectra (N, side, side) that blur removed from the weighted mean of the views.

        spectra: of each view, packed. vectors: (N, 2) pixels. weights, variance: (N, 1, 1).
        """
        count = np.sum(weights, axis=0)
        noise = self._noise_to_power / np.maximum(variance, MIN_VARIANCE)
        noise = np.minimum(noise, MAX_NOISE, out=noise) / count
        filtered, mean, energy = (np.zeros_like(noise) for _ in range(3))
        for spectrum, vector, weight in zip(spectra, vectors, weights, strict=True):
            response, gain = self._response(vector)
            spectrum *= weight / count
            mean += spectrum
            filtered += np.multiply(spectrum, response, out=spectrum)
            gain *= weight / count
            energy += gain
        energy += noise
        noise += 1
        filtered *= noise
        filtered /= energy
        return np.asarray(np.subtract(filtered, mean, out=filtered), np.float32)

    def _response(self, vector: Image) -> tuple[Image, Image]:
        """Return the response (N, side, side) of blur by `vector`, as `blur_response`, and its mean square.

        The square is the mean over the lengths that the blur may have.
        """
        angle = self._down * vector[:, 1, None, None]
        angle += self._across * vector[:, 0, None, None]
        angle += np.float32(1e-20)  # so that sin(0) / 0 is 1
        response = np.sin(angle)
        response /= angle
        gain = np.square(angle, out=angle)
        gain *= np.float32((2 * LENGTH_UNCERTAINTY) ** 2 / 12)
        np.minimum(gain, 1, out=gain)
        gain += response * response
        return response, gain
