"""Every operator against its adjoint: <A x, y> = <x, A* y>."""

import numpy as np
import pytest

from asled_cli.deconvolution.exact.operators import ExposureOperator, gradient, gradient_adjoint


def _maps(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    maps = []
    for _ in range(count):
        m = np.eye(3) + rng.normal(0, 0.01, (3, 3))
        m[:2, 2] = rng.uniform(-3, 3, 2)
        m[2] = [*rng.normal(0, 1e-4, 2), 1]
        maps.append(m)
    return maps


@pytest.mark.parametrize("size", [(13, 9), (8, 20)])
def test_exposure_operator_and_its_adjoint(size: tuple[int, int]) -> None:
    operator = ExposureOperator(_maps(5), size)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, size[1], size[0]))
    assert np.vdot(operator.forward(x), y) == pytest.approx(np.vdot(x, operator.adjoint(y)), rel=1e-12)


def test_gradient_and_its_adjoint() -> None:
    rng = np.random.default_rng(0)
    x, field = rng.normal(size=(7, 11)), rng.normal(size=(2, 7, 11))
    assert np.vdot(gradient(x), field) == pytest.approx(np.vdot(x, gradient_adjoint(field)), rel=1e-12)


def test_mean_of_a_flat_picture_is_flat_where_it_is_seen() -> None:
    operator = ExposureOperator(_maps(4), (16, 12))
    assert operator.seen.any() and not operator.seen.all()
    np.testing.assert_allclose(operator.forward(np.full((12, 16), 0.4))[operator.seen], 0.4)
