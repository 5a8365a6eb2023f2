"""The closed form against SciPy's sparse solver, and tiles that add up."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from asled_cli.deconvolution.tiles import TileGrid, transfer
from asled_cli.deconvolution.views import PathBlur
from asled_cli.deconvolution.wiener import Observations, View, frame_weights, invert

_SIDE = 16


def _circulant(spectrum: np.ndarray) -> sparse.csr_matrix:
    """Return the matrix that multiplies the spectrum of a (16, 16) picture by a full `spectrum`."""
    kernel = np.fft.ifft2(spectrum).real
    rows = [np.roll(kernel, (y, x), (0, 1)).ravel() for y in range(_SIDE) for x in range(_SIDE)]
    return sparse.csr_matrix(np.stack(rows, 1))


def test_closed_form_is_the_solution_of_a_sparse_solver() -> None:
    rng = np.random.default_rng(0)
    moves = np.cumsum(rng.uniform(-1.0, 1.0, (3, 6, 2)), 1)
    moves[..., :] = np.rint(moves)  # whole pixels: no doubt about the highest frequency
    full, half = np.fft.fftfreq(_SIDE).astype(np.float32), np.fft.rfftfreq(_SIDE).astype(np.float32)
    pictures = rng.uniform(0, 1, (3, _SIDE, _SIDE))
    noise_full = (0.05 + full[:, None] ** 2 + full**2).astype(np.float32)
    normal, right = _circulant(noise_full), np.zeros(_SIDE * _SIDE)
    for move, picture in zip(moves, pictures, strict=True):
        blur = _circulant(transfer(move[None], full, full)[0])
        normal, right = normal + blur.T @ blur, right + blur.T @ picture.ravel()
    expected = spsolve(normal.tocsc(), right).reshape(_SIDE, _SIDE)
    spectra = np.fft.rfft2(pictures)[:, None, None].astype(np.complex64)
    responses = np.stack([transfer(move[None], full, half)[:, None] for move in moves])
    noise = noise_full[:, : _SIDE // 2 + 1][None, None]
    weights = np.ones((3, 1, 1, 1, 1), np.float32)
    found = np.fft.irfft2(Observations(spectra, responses).estimate(weights, noise))[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(200, 130), (131, 257), (40, 30)])
def test_tiles_add_up_to_the_picture(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (size[1], size[0], 2)).astype(np.float32)
    grid = TileGrid(64, 48, size)
    padded = grid.padded(picture)
    total = np.zeros((2, *padded.shape[:2]), np.float32)
    for row in range(grid.counts[0]):
        grid.fold(total, row, grid.pictures(grid.spectra(grid.cut(padded, row))))
    np.testing.assert_allclose(grid.inner(total).transpose(1, 2, 0), picture, atol=1e-5)


def test_still_frames_stay_as_they_are_but_for_noise() -> None:
    rng = np.random.default_rng(0)
    base = np.tile(np.linspace(0.2, 0.4, 160, dtype=np.float32), (140, 1))
    tint = np.zeros((70, 80, 2), np.float32)
    still = PathBlur([np.eye(3)] * 5, (160, 140))
    views = [
        View(base + rng.normal(0, 0.01, base.shape).astype(np.float32), tint, np.ones_like(base), still)
        for _ in range(5)
    ]
    change = invert(views, 2).luma
    before, after = views[2].luma - base, views[2].luma + change - base
    assert float(after.std()) < 0.7 * float(before.std())
    assert invert(views, 2, workers=2).luma == pytest.approx(change)


def test_a_frame_that_shows_something_else_counts_little() -> None:
    rng = np.random.default_rng(0)
    spectra = np.fft.rfft2(np.tile(rng.uniform(0, 1, (1, 1, 16, 16)), (5, 1, 1, 1, 1))).astype(np.complex64)
    spectra[3] = np.fft.rfft2(rng.uniform(0, 1, (1, 1, 16, 16)))
    ones = np.ones((5, 1, 1, 1, 1), np.float32)
    noise = np.full((1, 1, 16, 9), 0.1, np.float32)
    weights = frame_weights(Observations(spectra, np.ones_like(spectra)), ones, noise)
    assert weights[3] < 0.1 * weights[0]


@pytest.mark.parametrize("side", [16, 15])
def test_transfer_functions_are_means_of_waves(side: int) -> None:
    down, across = np.fft.fftfreq(side).astype(np.float32), np.fft.rfftfreq(side).astype(np.float32)
    moves = np.random.default_rng(0).uniform(-9, 9, (3, 5, 2))
    phases = moves[..., None, None, 1] * down[:, None] + moves[..., None, None, 0] * across
    np.testing.assert_allclose(transfer(moves, down, across), np.exp(2j * np.pi * phases).mean(1), atol=1e-5)
