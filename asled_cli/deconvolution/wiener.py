"""The sharp frame in closed form: a multi-frame Wiener filter in every tile.

N. Wiener, "Extrapolation, interpolation, and smoothing of stationary time series" (1949), for several
pictures Y_k of one unknown X with transfer functions H_k, weights w_k and noise over signal N:
X = sum(w_k H_k* Y_k) / (sum(w_k |H_k|^2) + N). What one frame has lost along its blur, another that moved
differently still has.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.tiles import Spectra, TileGrid, transfer
from asled_cli.imaging.homography import Image

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
    solver = _Solver(grid, views, target, noise)
    rows, half = grid.counts[0], solver.half
    luma_sum = np.zeros((3, *solver.luma[0].shape), np.float32)
    tint_sum = np.zeros((2, *solver.tint[0].shape[:2]), np.float32) if solver.tint else None
    with ThreadPoolExecutor(workers) as pool:
        for row, (luma, tint) in enumerate(pool.map(solver.solve, range(rows))):
            grid.fold(luma_sum, row, luma)
            if tint_sum is not None and tint is not None:
                half.fold(tint_sum, row, tint)
    total = grid.inner(luma_sum)
    tint_change = None if tint_sum is None else np.ascontiguousarray(half.inner(tint_sum).transpose(1, 2, 0))
    return Inversion(total[0], tint_change, total[1], total[2])


class _Solver:
    """The tiles of one target frame: luma at full size, tint at half."""

    def __init__(self, grid: TileGrid, views: Sequence[View], target: int, noise: float) -> None:
        self.grid, self.half, self.target = grid, grid.halved(), target
        self.blurs = [view.blur for view in views]
        self.luma = [grid.padded(view.luma) for view in views]
        self.tint = [self.half.padded(view.tint) for view in views if view.tint is not None]
        self.cover = [grid.padded(view.cover) for view in views]
        self.noise = np.float32(noise) * prior(*grid.frequencies)[None, None]

    def solve(self, row: int) -> tuple[Spectra, Spectra | None]:
        """Return what a row of tiles adds: luma with both residuals (N, 3, ...), and tint (N, 2, ...)."""
        responses = np.stack([self._response(blur, row) for blur in self.blurs])  # (K, N, 1, S, S / 2 + 1)
        spectra = self._spectra(self.grid, self.luma, row)
        cover = [np.square(self.grid.cut(c, row).mean(axis=(2, 3), keepdims=True)) for c in self.cover]
        seen = np.stack(cover).astype(np.float32)
        weights = frame_weights(spectra, responses, seen, self.noise)
        t = self.target
        sharp = solve(spectra, responses, weights, self.noise)
        others = weights.copy()
        others[t] = 0
        predicted = responses[t] * solve(spectra, responses, others, self.noise)
        plain = (others * spectra).sum(0) / (others.sum(0) + np.float32(1e-6))
        luma = np.concatenate([sharp - spectra[t], spectra[t] - predicted, spectra[t] - plain], 1)
        if not self.tint:
            return luma, None
        coarse, noise = _low(responses), _low(self.noise.astype(np.complex64)).real
        tint = self._spectra(self.half, self.tint, row)
        return luma, solve(tint, coarse, weights, noise) - tint[t]

    def _response(self, blur: Blur, row: int) -> Spectra:
        moves = blur.moves(self.grid.centres(row), self.grid.side)
        return transfer(moves, *self.grid.frequencies)[:, None]

    def _spectra(self, grid: TileGrid, pictures: Sequence[Image], row: int) -> Spectra:
        tiles = [grid.cut(picture, row) for picture in pictures]
        level = tiles[self.target].mean(axis=(2, 3), keepdims=True)
        return np.stack([grid.spectra(tile - level) for tile in tiles])


def solve(spectra: Spectra, responses: Spectra, weights: NDArray[np.float32], noise: Image) -> Spectra:
    """Return the Wiener estimate (N, C, ...) from spectra (K, N, C, ...) of K frames."""
    found = np.zeros_like(spectra[0])
    power = np.zeros(responses[0].shape, np.float32) + noise
    for spectrum, response, weight in zip(spectra, responses, weights, strict=True):
        found += weight * np.conj(response) * spectrum
        power += weight * (np.square(response.real) + np.square(response.imag))
    return np.asarray(found / power, np.complex64)


def prior(down: NDArray[np.float32], across: NDArray[np.float32]) -> Image:
    """Return noise over signal (len(down), len(across)) at frequencies in cycles per pixel."""
    squared = np.square(down)[:, None] + np.square(across) + np.float32(_CORNER**2)
    return np.asarray(_NOISE * squared, np.float32)


def frame_weights(
    spectra: Spectra, responses: Spectra, seen: NDArray[np.float32], noise: Image
) -> NDArray[np.float32]:
    """Return (K, N, 1, 1, 1): the weight of each frame in each tile, from the residual of the solution.

    seen: the same shape, share of the tile that the frame shows. A frame whose residual is far above the
    usual one of the tile saw something else there: an occlusion, a moving object, a wrong pose.
    """
    weights = seen
    for _ in range(_ROUNDS - 1):
        sharp = solve(spectra, responses, weights, noise)
        left = [_power(y - h * sharp) for y, h in zip(spectra, responses, strict=True)]
        residual = np.stack(left)
        usual = np.median(residual, axis=0) + np.float32(1e-12)
        weights = seen / (1 + np.square(residual / (_OUTLIER * usual)))
    return np.asarray(weights, np.float32)


def _power(spectra: Spectra) -> NDArray[np.float32]:
    power = np.square(spectra.real) + np.square(spectra.imag)
    return np.asarray(power.mean(axis=(1, 2, 3), keepdims=True), np.float32)


def _low(spectra: Spectra) -> Spectra:
    """Return the part of full-size spectra (..., S, S / 2 + 1) that the half-size picture has too."""
    quarter = spectra.shape[-2] // 4
    rows = np.concatenate([spectra[..., :quarter, :], spectra[..., -quarter:, :]], -2)
    return np.ascontiguousarray(rows[..., : quarter + 1], np.complex64)
