"""Iterative inversion against SciPy's sparse solver."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from asled_cli.deconvolution.exact.conjugate_gradient import ExposedFrame, deconvolve, solve_weighted
from asled_cli.deconvolution.exact.operators import ExposureOperator, gradient

_SIZE = (14, 11)


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0.01, x], [-0.01, 1, y], [0, 0, 1.0]])


def _problem() -> tuple[np.ndarray, list[ExposedFrame]]:
    rng = np.random.default_rng(1)
    sharp = rng.uniform(0, 1, _SIZE[::-1])
    frames = []
    for dx, dy in ((2.0, 0.3), (-0.4, 1.7), (1.1, -1.2)):
        operator = ExposureOperator([_shift(dx * u, dy * u) for u in np.linspace(-0.5, 0.5, 5)], _SIZE)
        picture = operator.forward(sharp) + rng.normal(0, 0.01, sharp.shape)
        frames.append(ExposedFrame(picture, operator, operator.seen * rng.uniform(0.5, 1, sharp.shape)))
    return sharp, frames


def _as_matrix(apply, shape: tuple[int, int]) -> sparse.csr_matrix:
    columns = [apply(unit.reshape(shape)).ravel() for unit in np.eye(shape[0] * shape[1])]
    return sparse.csr_matrix(np.stack(columns, 1))


def test_weighted_solution_is_that_of_a_sparse_solver() -> None:
    sharp, frames = _problem()
    prior = np.random.default_rng(2).uniform(0.001, 0.01, sharp.shape)
    slope = _as_matrix(gradient, sharp.shape)
    normal = slope.T @ sparse.diags(np.tile(prior.ravel(), 2)) @ slope
    right = np.zeros(sharp.size)
    for frame in frames:
        matrix = _as_matrix(frame.operator.forward, sharp.shape)
        weighted = matrix.T @ sparse.diags(frame.weight.ravel())
        normal, right = normal + weighted @ matrix, right + weighted @ frame.picture.ravel()
    expected = spsolve(normal.tocsc(), right).reshape(sharp.shape)
    found = solve_weighted(frames, np.zeros_like(sharp), prior, 400)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_each_round_lowers_the_error_of_a_picture_with_edges() -> None:
    sharp = np.kron([[0.1, 0.8], [0.9, 0.2]], np.ones((8, 8)))
    size = (16, 16)
    frames = []
    for dx, dy in ((4.0, 0.0), (0.0, 3.0)):
        operator = ExposureOperator([_shift(dx * u, dy * u) for u in np.linspace(-0.5, 0.5, 5)], size)
        frames.append(ExposedFrame(operator.forward(sharp), operator, operator.seen.astype(float)))
    start = frames[0].picture
    errors = [
        float(np.abs(deconvolve(frames, start, prior=1e-3, rounds=rounds) - sharp).mean())
        for rounds in (0, 1, 3)
    ]
    assert errors[2] < errors[1] < 0.5 * errors[0]
