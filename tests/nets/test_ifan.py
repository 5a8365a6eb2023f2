"""IFAN: parameter counts, filtering against loops, slices, reach, clamp, sizes, single frames, learning."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from factories.networks import random_inputs
from torch import Tensor, nn

from asled_cli.nets.blend import swap
from asled_cli.nets.ifan.filtering import adaptive_convolution, split_filters
from asled_cli.nets.ifan.network import Ifan, IfanConfig
from asled_cli.nets.interface import run_chunks

TINY = IfanConfig(channels=2, filters=2)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_each_part() -> None:
    with torch.device("meta"):
        network = Ifan()
    parts = (
        network.encoder,
        network.filter_encoder,
        network.disparity,
        network.predictor,
        network.reconstructor,
    )
    assert [count(part) for part in parts] == [923_520, 923_520, 1_329_409, 4_917_760, 2_382_787]


@pytest.mark.parametrize(
    ("config", "inference", "training"),
    [
        (IfanConfig(), 10_476_996, 19_139_685),
        (IfanConfig(filters=8), 9_436_740, None),
        (IfanConfig(filters=26), 11_517_252, None),
        (IfanConfig(filters=35), 12_557_508, None),
        (IfanConfig(filters=44), 13_597_764, None),
        (IfanConfig(dual=True), 10_477_860, 19_139_685),
        (IfanConfig(channels=16, filters=8), 2_364_196, 2_456_808),
        (IfanConfig(channels=16, filters=8, dual=True, skip="blend"), 2_364_773, 2_456_808),
    ],
)
def test_parameters(config: IfanConfig, inference: int, training: int | None) -> None:
    with torch.device("meta"):
        assert count(Ifan(config)) == inference
        if training is not None:
            assert count(Ifan(replace(config, reblurs=True))) == inference + training


def by_loops(u: Tensor, filters: list[Tensor], *, tied: bool) -> Tensor:
    """Every pixel and channel of one picture by itself."""
    _, c, h, w = u.shape
    for one in filters:
        v, out = torch.zeros_like(u), torch.zeros_like(u)
        for k in range(c):
            for y in range(h):
                for x in range(w):
                    a = one[0, 3 * k : 3 * k + 3, y, x]
                    v[0, k, y, x] = sum(a[j] * u[0, k, min(max(y + j - 1, 0), h - 1), x] for j in range(3))
        for k in range(c):
            for y in range(h):
                for x in range(w):
                    b = (
                        one[0, 3 * k : 3 * k + 3, y, x]
                        if tied
                        else one[0, 3 * (c + k) : 3 * (c + k) + 3, y, x]
                    )
                    for j in range(3):
                        place = (
                            (min(max(y + j - 1, 0), h - 1), x) if tied else (y, min(max(x + j - 1, 0), w - 1))
                        )
                        out[0, k, y, x] += b[j] * v[(0, k, *place)]
                    out[0, k, y, x] += one[0, 6 * c + k, y, x]
        u = F.leaky_relu(out, 0.1)
    return u


@pytest.mark.parametrize("tied", [False, True])
def test_filtering_against_loops(tied: bool) -> None:
    torch.manual_seed(0)
    u, joined = torch.randn(1, 2, 4, 5), torch.randn(1, 28, 4, 5)
    filters = split_filters(joined, 2)
    assert torch.equal(filters[1][:, :12], joined[:, 12:24]) and torch.equal(
        filters[1][:, 12:], joined[:, 26:]
    )
    torch.testing.assert_close(adaptive_convolution(u, filters, tied=tied), by_loops(u, filters, tied=tied))


def equal_filters(taps: tuple[float, float, float], steps: int, size: tuple[int, int]) -> list[Tensor]:
    """The same taps in both directions for one channel, no bias."""
    one = torch.tensor([*taps, *taps, 0.0]).view(1, 7, 1, 1).expand(1, 7, *size)
    return [one] * steps


def test_identity_constant_and_reach() -> None:
    torch.manual_seed(0)
    positive = torch.rand(1, 1, 9, 40)
    assert torch.equal(adaptive_convolution(positive, equal_filters((0, 1, 0), 17, (9, 40))), positive)
    even = torch.full((1, 1, 9, 40), 0.5)
    filtered = adaptive_convolution(even, equal_filters((0.25, 0.5, 0.25), 17, (9, 40)))
    torch.testing.assert_close(filtered, even)
    delta = torch.zeros(1, 1, 9, 40)
    delta[0, 0, 4, 2] = 1
    spread = adaptive_convolution(delta, equal_filters((1, 1, 1), 17, (9, 40)))
    assert float(spread[0, 0, 4, 19]) > 0 and float(spread[0, 0, 4, 20]) == 0


def test_slices_equal_the_whole() -> None:
    torch.manual_seed(0)
    predictor = Ifan(TINY).predictor
    nn.init.normal_(predictor.out.bias)  # type: ignore[arg-type]
    features = torch.randn(1, 8, 3, 4)
    whole = split_filters(predictor.joined(features), 8)
    for one, other in zip(predictor.slices(features), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("height", [4, 8, 13, 24, 40])
@torch.inference_mode()
def test_all_sizes_within_the_range(height: int) -> None:
    torch.manual_seed(0)
    network = Ifan(TINY).eval()
    network.reconstructor.out.bias.data.fill_(0.7)  # type: ignore[union-attr]
    for width in (4, 9, 16, 33, 40):
        inputs = random_inputs(1, height, width)
        restored, _ = network(inputs)
        assert restored.shape == inputs.target.shape and float(restored.max()) == 1
    assert float(network.train()(inputs)[0].max()) > 1  # clamped outside of training only


@torch.inference_mode()
def test_frames_are_independent() -> None:
    network, inputs = Ifan(TINY).eval(), random_inputs(3, 16, 20)
    assert torch.equal(run_chunks(network, inputs, 1, 0), network(inputs)[0])


@torch.inference_mode()
def test_only_two_views_need_a_reference() -> None:
    inputs = random_inputs(1, 16, 16)
    other = replace(inputs, reference=1 - inputs.reference)
    for dual in (False, True):
        torch.manual_seed(0)
        network = Ifan(replace(TINY, dual=dual)).eval()
        assert network.info.needs_reference is dual
        assert torch.equal(network(inputs)[0], network(other)[0]) is not dual


@torch.inference_mode()
def test_blending_starts_at_the_swap() -> None:
    inputs = random_inputs(2, 13, 16)
    network = Ifan(replace(TINY, dual=True, skip="blend")).eval()
    torch.testing.assert_close(network(inputs)[0], swap(inputs))
    assert torch.equal(run_chunks(network, inputs, 1, 0), network(inputs)[0])
    with pytest.raises(ValueError, match="dual"):
        replace(TINY, skip="blend")


def test_every_part_learns() -> None:
    torch.manual_seed(0)
    network, inputs = Ifan(replace(TINY, dual=True, reblurs=True)), random_inputs(1, 16, 20)
    truth = inputs.target * 0.8
    optimizer, values = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(4):
        own = (network(inputs)[0] - truth).square().mean()
        extra = network.extra_losses(truth)
        optimizer.zero_grad()
        (own + extra["reblur"] + extra["disparity"]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(own.detach()))
    assert values[-1] < values[0]
    assert all(p.grad is not None for p in network.parameters())
