"""The normal equations of blended frames: adjoints, symmetry, and equal bits from any number of threads."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asled_cli.deconvolution.blended.normal_equations import NormalEquations, Strengths, dot, solve
from asled_cli.runtime import stages

COUNT, FRAMES, CHANNELS, SIZE = 3, 5, 2, (13, 9)
INSTANTS = FRAMES + COUNT - 1


def _random(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, *SIZE[::-1], generator=torch.Generator().manual_seed(seed))


def _product(first: Tensor, second: Tensor) -> float:
    return sum(dot(one, other) for one, other in zip(first, second, strict=True))


@pytest.fixture
def equations() -> NormalEquations:
    """Sampled far beyond the borders too, where the same pixel counts many times."""
    grids = 3 * torch.rand(INSTANTS - 1, *SIZE[::-1], 2, generator=torch.Generator().manual_seed(0)) - 1.5
    trust, still = _random(INSTANTS - 1, 1, seed=1), _random(FRAMES, 1, seed=2)
    return NormalEquations(grids, trust, still, Strengths(flow=0.3, smooth=0.02))


def _energy(equations: NormalEquations, x: Tensor) -> float:
    """x . A x, term by term as the energy is written."""
    found = 0.0
    for t in range(FRAMES):
        found += float(x[t : t + COUNT].mean(0).square().sum())
        found += float((equations.still[t] * x[t + COUNT // 2].square()).sum())
    for j in range(INSTANTS - 1):
        found += 0.3 * float((equations.trust[j] * equations.jump(x, j).square()).sum())
    return found + 0.02 * sum(float(x.diff(dim=dim).square().sum()) for dim in (-1, -2))


def test_they_are_half_the_gradient_of_the_energy(equations: NormalEquations) -> None:
    x, y = (_random(INSTANTS, CHANNELS, seed=seed) for seed in (3, 4))
    times_x, times_y = torch.empty_like(x), torch.empty_like(x)
    assert equations.times(x, times_x) == pytest.approx(_energy(equations, x), rel=1e-5)
    assert equations.times(y, times_y) == pytest.approx(_product(y, times_y), rel=1e-6)
    assert _product(x, times_y) == pytest.approx(_product(y, times_x), rel=1e-5)  # the adjoints are exact
    # The energy is quadratic: E(x + y) - E(x - y) = 4 x . A y.
    across = _energy(equations, x + y) - _energy(equations, x - y)
    assert across == pytest.approx(4 * _product(x, times_y), rel=1e-4)


def test_the_right_side_is_the_adjoint_of_the_means(equations: NormalEquations) -> None:
    x, frames = _random(INSTANTS, CHANNELS, seed=5), _random(FRAMES, CHANNELS, seed=6)
    expected = 0.0
    for t, frame in enumerate(frames):
        seen = x[t : t + COUNT].mean(0) + equations.still[t] * x[t + COUNT // 2]
        expected += float((seen * frame).sum())
    assert _product(x, equations.right(frames)) == pytest.approx(expected, rel=1e-5)


def test_steps_lower_what_is_left(equations: NormalEquations) -> None:
    true = _random(INSTANTS, CHANNELS, seed=7)
    right = torch.empty_like(true)
    equations.times(true, right)
    errors = [
        float((solve(equations, right, torch.zeros_like(true), steps) - true).square().mean())
        for steps in (0, 5, 20, 200)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-5 * errors[0]


def test_nothing_left_ends_the_steps(equations: NormalEquations) -> None:
    nothing = torch.zeros(INSTANTS, CHANNELS, *SIZE[::-1])
    assert not solve(equations, nothing, nothing, 3).any()


def test_equal_bits_from_any_number_of_threads(
    equations: NormalEquations, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, start = _random(FRAMES, CHANNELS, seed=8), _random(INSTANTS, CHANNELS, seed=9)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(stages, "_helpers", lambda threads=threads: threads)
        found.append(solve(equations, equations.right(frames), start, 8).numpy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
