"""The matching search against a brute-force oracle in float64; gradients, borders and ties."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.nets.asled.matching import Strategy, aggregate, match

Found = tuple[NDArray[np.int64], NDArray[np.float64]]


def oracle(
    query: Tensor, key: Tensor, k: int, radius: int | None = None, shift: NDArray[np.int64] | None = None
) -> Found:
    """One position after the other: candidates in reading order, stable sort by falling similarity.

    radius None: the whole frame. shift: (N, 2, H, W), x then y, added to each position.
    """
    q, r = (features.double().numpy() for features in (query, key))
    count, _, height, width = q.shape
    indices = np.zeros((count, k, height, width), dtype=np.int64)
    similarities = np.zeros((count, k, height, width))
    for n, y, x in np.ndindex(count, height, width):
        dx, dy = (0, 0) if shift is None else shift[n, :, y, x]
        candidates = [
            (v, u)
            for v, u in np.ndindex(height, width)
            if radius is None or (abs(v - y - dy) <= radius and abs(u - x - dx) <= radius)
        ]
        a = q[n, :, y, x]
        cosines = [
            float(a @ r[n, :, v, u] / max(np.linalg.norm(a) * np.linalg.norm(r[n, :, v, u]), 1e-16))
            for v, u in candidates
        ]
        order = np.argsort(-np.array(cosines), kind="stable")[:k]
        indices[n, :, y, x] = [candidates[i][0] * width + candidates[i][1] for i in order]
        similarities[n, :, y, x] = [cosines[i] for i in order]
    return indices, similarities


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(*shape: int, seed: int = 0) -> Tensor:
    """Vectors of +-1: with C = 4 their cosines are exact, so that ties are ties to the last bit."""
    return torch.sign(features(*shape, seed=seed))


def assert_equal(found: tuple[Tensor, Tensor], expected: Found) -> None:
    np.testing.assert_array_equal(found[0].numpy(), expected[0])
    np.testing.assert_allclose(found[1].numpy(), expected[1], atol=1e-12)


@pytest.mark.parametrize("budget", [64, 500, 2**20])
@pytest.mark.parametrize("make", [features, signs])
def test_global_equals_oracle(make: Callable[..., Tensor], budget: int) -> None:
    query, key = make(2, 4, 5, 7), make(2, 4, 5, 7, seed=1)
    assert_equal(match(query, key, 3, "global", budget=budget), oracle(query, key, 3))


@pytest.mark.parametrize("tile", [1, 3, 4, 8])
@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("make", [features, signs])
def test_window_equals_oracle_for_any_tile_and_radius(
    make: Callable[..., Tensor], radius: int, tile: int
) -> None:
    query, key = make(2, 4, 6, 9), make(2, 4, 6, 9, seed=1)
    found = match(query, key, 3, "window", radius=radius, tile=tile, budget=3000)
    assert_equal(found, oracle(query, key, 3, radius))


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 1), (50, -50)])
def test_offset_of_every_pixel_moves_its_window_and_stops_at_the_border(shift: tuple[int, int]) -> None:
    query, key = signs(1, 4, 5, 6), signs(1, 4, 5, 6, seed=1)
    offset = torch.tensor(shift).view(1, 2, 1, 1).expand(1, 2, 5, 6).clone()
    offset[..., 2:, :] = 0
    y, x = np.mgrid[:5, :6]
    expected = offset.numpy().copy()
    expected[0, 0] = np.clip(x + expected[0, 0], 0, 5) - x
    expected[0, 1] = np.clip(y + expected[0, 1], 0, 4) - y
    found = match(query, key, 3, radius=1, tile=1, offset=offset)
    assert_equal(found, oracle(query, key, 3, 1, expected))


def test_offset_of_a_tile_and_of_the_frame() -> None:
    query, key = features(1, 4, 8, 12), features(1, 4, 8, 12, seed=1)
    offset = torch.tensor([[[[4, 0, -4], [99, 1, 0]], [[0, 4, 2], [-3, 0, 9]]]])  # (1, 2, 2, 3): tiles of 4
    stopped = torch.tensor([[[[4, 0, -4], [8, 1, 0]], [[0, 4, 2], [-3, 0, 0]]]])
    everywhere = stopped.repeat_interleave(4, -1).repeat_interleave(4, -2).numpy()
    assert_equal(match(query, key, 3, radius=2, tile=4, offset=offset), oracle(query, key, 3, 2, everywhere))

    found = match(query, key, 3, radius=2, tile=4, offset=torch.tensor([0, 0]))
    assert_equal(found, oracle(query, key, 3, 2))


def test_strategies_agree_where_their_domains_do() -> None:
    query, key = features(2, 5, 9, 11), features(2, 5, 9, 11, seed=1)
    everywhere = match(query, key, 5, "global")
    for strategy in ("window", "coarse"):
        found = match(query, key, 5, strategy, radius=40, tile=16)
        assert torch.equal(found[0], everywhere[0])
        assert torch.equal(found[1], everywhere[1])


def test_coarse_finds_a_shift_far_outside_the_window() -> None:
    key = features(1, 8, 48, 64)
    query = torch.roll(key, (-24, -16), dims=(2, 3))  # query(p) = key(p + (16, 24))
    indices, similarities = match(query, key, 1, "coarse", radius=2, tile=8)
    y, x = torch.meshgrid(torch.arange(24), torch.arange(48), indexing="ij")
    assert torch.equal(indices[0, 0, :24, :48], (y + 24) * 64 + x + 16)
    assert torch.allclose(similarities[0, 0, :24, :48], torch.ones(24, 48, dtype=torch.float64))
    missed = match(query, key, 1, "window", radius=2)[1]
    assert missed.mean() < 0.9


@pytest.mark.parametrize("strategy", ["global", "window", "coarse"])
def test_flat_features_choose_the_lowest_positions(strategy: Strategy) -> None:
    flat = torch.ones(1, 3, 6, 6)
    indices, _ = match(flat, flat, 3, strategy, radius=1, tile=4)
    middle = [0, 1, 2] if strategy == "global" else [2 * 6 + 2, 2 * 6 + 3, 2 * 6 + 4]
    assert indices[0, :, 3, 3].tolist() == middle


@pytest.mark.parametrize("strategy", ["global", "window", "coarse"])
def test_gradients_of_similarities_and_values(strategy: Strategy) -> None:
    query, key, values = (features(1, 3, 4, 5, seed=seed).requires_grad_() for seed in range(3))

    def fetch(query: Tensor, key: Tensor, values: Tensor) -> Tensor:
        return aggregate(values, *match(query, key, 3, strategy, radius=2, tile=4), temperature=0.5)

    assert torch.autograd.gradcheck(fetch, (query, key, values))


def test_aggregate_is_the_weighted_sum_of_chosen_values() -> None:
    values = features(2, 3, 4, 5)
    indices, similarities = match(features(2, 2, 4, 5, seed=1), features(2, 2, 4, 5, seed=2), 3, "global")
    fetched = aggregate(values, indices, similarities, temperature=0.1)
    for n, y, x in ((0, 0, 0), (1, 3, 4), (1, 2, 1)):
        weights = (similarities[n, :, y, x] / 0.1).exp()
        chosen = values[n].flatten(1)[:, indices[n, :, y, x]]  # (C, K)
        torch.testing.assert_close(fetched[n, :, y, x], chosen @ (weights / weights.sum()))


def test_half_precision_searches_as_float32_does() -> None:
    query, key = (features(1, 8, 16, 16, seed=seed).bfloat16() for seed in range(2))
    found = match(query, key, 3)
    expected = match(query.float(), key.float(), 3)
    assert torch.equal(found[0], expected[0])
    assert found[1].dtype == torch.float32
    assert aggregate(key, *found).dtype == torch.bfloat16


def test_memory_layout_does_not_matter() -> None:
    query, key = features(2, 4, 9, 9), features(2, 4, 9, 9, seed=1)
    last = [t.contiguous(memory_format=torch.channels_last) for t in (query, key)]
    for one, other in zip(match(query, key, 3), match(last[0], last[1], 3), strict=True):
        assert torch.equal(one, other)


def test_impossible_requests_say_why() -> None:
    map_ = torch.zeros(1, 2, 4, 4)
    with pytest.raises(ValueError, match="must be equal"):
        match(map_, torch.zeros(1, 2, 4, 5), 1)
    with pytest.raises(ValueError, match="a corner of the map sees fewer"):
        match(map_, map_, 5, "window", radius=1)
    with pytest.raises(ValueError, match="offset has shape"):
        match(map_, map_, 1, offset=torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match="unknown search strategy"):
        match(map_, map_, 1, "nearest")  # type: ignore[arg-type]
