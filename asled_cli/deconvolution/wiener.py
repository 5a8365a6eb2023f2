"""The sharp frame in closed form: a multi-frame Wiener filter in every tile.

N. Wiener, "Extrapolation, interpolation, and smoothing of stationary time series" (1949), for several
pictures Y_k of one unknown X with transfer functions H_k, weights w_k and noise over signal N:
X = sum(w_k H_k* Y_k) / (sum(w_k |H_k|^2) + N). What one frame has lost along its blur, another that moved
differently still has.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.tiles import TileGrid, transfer
from asled_cli.imaging.homography import Image
from asled_cli.imaging.spectra import Spectra, power_of

_SIDES = (128, 256)  # pixels; three quarters of a side from tile to tile
_LONGEST = 0.375  # of a side: blur that fits between its edges
# Noise over signal: natural pictures' power falls with the square of the frequency (D. J. Field, 1987) down
# to _CORNER cycles per pixel. Half and twice as much changed results by less than 0.05 dB.
_NOISE, _CORNER = 0.3, 0.05
_ROUNDS = 2  # of weighting frames by how well they are explained
_OUTLIER = 2.0  # times the median residual at which a frame counts half


class Blur(Protocol):
    """The motion of the scene within one frame's exposure, in pixels of the sharp target frame."""

    def moves(self, points: NDArray[np.float64], around_px: int) -> NDArray[np.float64]:
        """Return (N, U, 2): how far from each of `points` (N, 2) each instant samples the sharp frame.

        around_px: side of the square about each point whose usual motion is asked for.
        """
        ...

    def applied(self, picture: Image) -> Image:
        """Return a picture of the target's shape at any size, (h, w, C), blurred as the frame is."""
        ...


@dataclass(frozen=True)
class View:
    """One blurred frame aligned with the target frame, in linear light.

    luma: (H, W) float32. tint: ((H + 1) // 2, (W + 1) // 2, 2) float32, red and blue less luma; None in all
    views where it is not wanted. cover: (H, W) float32 0..1, where the frame shows the scene.
    """

    luma: Image
    tint: Image | None
    cover: Image
    blur: Blur


@dataclass(frozen=True)
class Inversion:
    """What the target frame lacks to be sharp, and how well the other frames know it; linear light.

    luma, tint: as in `View`, to be added. residual, plain: (H, W) float32, what is left of the target's luma
    after the sharp frame that the others give, blurred as the target is, and after the others as they are.
    """

    luma: Image
    tint: Image | None
    residual: Image
    plain: Image


def tile_side(blur_px: float) -> int | None:
    """Return the side of the tiles that hold blurs up to this length; None: there are none so large."""
    return next((side for side in _SIDES if blur_px <= _LONGEST * side), None)


def invert(
    views: Sequence[View], target: int, *, side: int = _SIDES[0], workers: int = 1, noise: float = 1.0
) -> Inversion:
    """Return the change to the sharp frame that explains all views; views[target] is the target frame.

    side: of the tiles, see `tile_side`. workers: threads that share the rows of tiles. noise: times the usual
    noise over signal.
    """
    height, width = views[target].luma.shape
    grid = TileGrid(side, side * 3 // 4, (width, height))
    with ThreadPoolExecutor(workers) as pool:
        solver = _Solver(grid, views, target, noise, pool)
        rows, half = grid.counts[0], solver.half
        luma_sum = np.zeros((3, *solver.luma[0].shape), np.float32)
        tint_sum = np.zeros((2, *solver.tint[0].shape[:2]), np.float32) if solver.tint else None
        for row, (luma, tint) in enumerate(pool.map(solver.solve, range(rows))):
            grid.fold(luma_sum, row, luma)
            if tint_sum is not None and tint is not None:
                half.fold(tint_sum, row, tint)
    total = grid.inner(luma_sum)
    tint_change = None if tint_sum is None else np.ascontiguousarray(half.inner(tint_sum).transpose(1, 2, 0))
    return Inversion(total[0], tint_change, total[1], total[2])


class _Solver:
    """The tiles of one target frame: luma at full size, tint at half."""

    def __init__(
        self, grid: TileGrid, views: Sequence[View], target: int, noise: float, pool: Executor
    ) -> None:
        self.grid, self.half, self.target = grid, grid.halved(), target
        self.blurs = [view.blur for view in views]
        self.luma = list(pool.map(grid.padded, [view.luma for view in views]))
        self.tint = list(pool.map(self.half.padded, [view.tint for view in views if view.tint is not None]))
        self.cover = list(pool.map(grid.padded, [view.cover for view in views]))
        self.noise = np.float32(noise) * prior(*grid.frequencies)[None, None]

    def solve(self, row: int) -> tuple[Image, Image | None]:
        """Return what a row of tiles adds: luma with both residuals (N, 3, S, S), and tint (N, 2, ...)."""
        responses = self._responses(row)
        spectra = self._spectra(self.grid, self.luma, row)
        cover = [np.square(self.grid.cut(c, row).mean(axis=(2, 3), keepdims=True)) for c in self.cover]
        seen = np.stack(cover).astype(np.float32)
        observed = Observations(spectra, responses)
        weights = frame_weights(observed, seen, self.noise)
        t = self.target
        sharp = observed.estimate(weights, self.noise)
        others = weights.copy()
        others[t] = 0
        predicted = responses[t] * observed.estimate(others, self.noise)
        plain = _weighted_sum(others, spectra) / (others.sum(0) + np.float32(1e-6))
        found = np.concatenate([sharp - spectra[t], spectra[t] - predicted, spectra[t] - plain], 1)
        luma = self.grid.pictures(found)
        if not self.tint:
            return luma, None
        coarse, noise = _low(responses), _low(self.noise.astype(np.complex64)).real
        tint = self._spectra(self.half, self.tint, row)
        tint_change = Observations(tint, coarse).estimate(weights, noise) - tint[t]
        return luma, self.half.pictures(tint_change)

    def _responses(self, row: int) -> Spectra:
        """Return (K, N, 1, S, S / 2 + 1): how each frame's blur changes each frequency in a row of tiles."""
        centres, side = self.grid.centres(row), self.grid.side
        responses = np.empty((len(self.blurs), len(centres), 1, side, side // 2 + 1), np.complex64)
        for blur, response in zip(self.blurs, responses, strict=True):
            response[:, 0] = transfer(blur.moves(centres, side), *self.grid.frequencies)
        return responses

    def _spectra(self, grid: TileGrid, pictures: Sequence[Image], row: int) -> Spectra:
        shape = len(pictures), *grid.cut(pictures[0], row).shape
        tiles = np.empty(shape, np.float32)
        for picture, cut in zip(pictures, tiles, strict=True):
            cut[:] = grid.cut(picture, row)
        tiles -= tiles[self.target].mean(axis=(2, 3), keepdims=True)
        return grid.spectra(tiles)


@dataclass(frozen=True)
class Observations:
    """Spectra (K, N, C, ...) of K frames in N tiles, and their frames' responses (K, N, 1, ...)."""

    spectra: Spectra
    responses: Spectra

    @cached_property
    def _matched(self) -> tuple[Spectra, Image]:
        """What all estimates share: spectra times the responses' conjugates, and the responses' power."""
        return np.conj(self.responses) * self.spectra, power_of(self.responses)

    def estimate(self, weights: NDArray[np.float32], noise: Image) -> Spectra:
        """Return the Wiener estimate (N, C, ...). weights: (K, N, 1, 1, 1). noise: over signal."""
        products, powers = (_weighted_sum(weights, values) for values in self._matched)
        return np.asarray(products / (powers + noise), np.complex64)


def _weighted_sum(weights: NDArray[np.float32], values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of values (K, N, ...), float32 or complex64, times weights (K, N, 1, ...) over K."""
    frames, tiles = values.shape[:2]
    flat = values.reshape(frames, tiles, -1).view(np.float32)
    summed = weights.reshape(frames, tiles).T[:, None] @ flat.transpose(1, 0, 2)
    return summed.view(values.dtype).reshape(values.shape[1:])


def prior(down: NDArray[np.float32], across: NDArray[np.float32]) -> Image:
    """Return noise over signal (len(down), len(across)) at frequencies in cycles per pixel."""
    squared = np.square(down)[:, None] + np.square(across) + np.float32(_CORNER**2)
    return np.asarray(_NOISE * squared, np.float32)


def frame_weights(observed: Observations, seen: NDArray[np.float32], noise: Image) -> NDArray[np.float32]:
    """Return (K, N, 1, 1, 1): the weight of each frame in each tile, from the residual of the solution.

    seen: the same shape, share of the tile that the frame shows. A frame whose residual is far above the
    usual one of the tile saw something else there: an occlusion, a moving object, a wrong pose.
    """
    weights = seen
    for _ in range(_ROUNDS - 1):
        sharp = observed.estimate(weights, noise)
        pairs = zip(observed.spectra, observed.responses, strict=True)
        left = [_mean_power(y - h * sharp) for y, h in pairs]
        residual = np.stack(left)
        usual = np.median(residual, axis=0) + np.float32(1e-12)
        weights = seen / (1 + np.square(residual / (_OUTLIER * usual)))
    return np.asarray(weights, np.float32)


def _mean_power(spectra: Spectra) -> NDArray[np.float32]:
    return np.asarray(power_of(spectra).mean(axis=(1, 2, 3), keepdims=True), np.float32)


def _low(spectra: Spectra) -> Spectra:
    """Return the part of full-size spectra (..., S, S / 2 + 1) that the half-size picture has too."""
    quarter = spectra.shape[-2] // 4
    rows = np.concatenate([spectra[..., :quarter, :], spectra[..., -quarter:, :]], -2)
    return np.ascontiguousarray(rows[..., : quarter + 1], np.complex64)
