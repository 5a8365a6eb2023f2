"""RefVSR: parameter counts, matching, fetching, confidence, chunks, cuts, sizes, learning."""

import math
from dataclasses import replace

import pytest
import torch
from factories.networks import random_inputs
from torch import nn

from asled_cli.nets.blend import swap
from asled_cli.nets.interface import ChunkInputs
from asled_cli.nets.refvsr.network import RefVsr, RefVsrConfig
from asled_cli.nets.refvsr.parts import Matching, fetch, fetch_blocks, resample_blocks

FULL = RefVsrConfig()
SMALL = RefVsrConfig(channels=24, trunk_blocks=24)
TINY = RefVsrConfig(channels=4, trunk_blocks=1, radius=3)


def count(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module is not None for p in module.parameters())


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (FULL, (39_760, 90_755, 437_808, 422_896, 298_144, 256_624, 2_538_240, 193_011)),
        (SMALL, (39_760, 90_755, 110_040, 107_920, 76_648, 66_256, 511_680, 48_699)),
    ],
)
def test_parameters_of_each_part_as_published(config: RefVsrConfig, parts: tuple[int, ...]) -> None:
    with torch.device("meta"):
        net = RefVsr(replace(config, task="upscale"))
    assert parts == (
        count(net.matching),
        count(net.affine),
        count(net.encode1, net.refine1, net.encode2, net.refine2),
        count(net.fuse1, net.level1),
        count(net.mix2, net.fuse2, net.level2),
        count(net.fuse_join, net.joined),
        count(net.backward_trunk, net.forward_trunk),
        count(net.join, net.up, net.up2, net.out),
    )
    assert count(net) == sum(parts)


def test_parameters_in_total() -> None:
    with torch.device("meta"):
        assert count(RefVsr(replace(FULL, task="upscale"))) == 4_277_238
        assert count(RefVsr(replace(SMALL, task="upscale"))) == 1_051_758
        assert count(RefVsr(replace(FULL, task="upscale", flow="spynet"))) == 5_717_538
        assert (count(RefVsr(FULL)), count(RefVsr(SMALL))) == (4_201_878, 1_034_814)


def tiny(**changes: object) -> RefVsr:
    torch.manual_seed(0)
    return RefVsr(replace(TINY, **changes)).eval()  # type: ignore[arg-type]


@torch.inference_mode()
def test_a_moved_reference_is_found_exactly() -> None:
    torch.manual_seed(0)
    wide = torch.rand(1, 3, 14, 16)
    places, cosines = Matching(3, everywhere=False)(wide[..., :14], wide[..., 2:])
    inside = places.view(14, 14)[3:-3, 5:-3]
    expected = torch.arange(14 * 14).view(14, 14)[3:-3, 3:-5]  # the same content is 2 px further left
    assert torch.equal(inside, expected)
    assert float(cosines[0, 0, 3:-3, 5:-3].min()) == pytest.approx(1, abs=1e-5)


def test_blocks_are_copied_by_a_neutral_affine() -> None:
    torch.manual_seed(0)
    features, places = torch.randn(1, 2, 8, 10), torch.randint(0, 20, (1, 4, 5))
    blocks = fetch_blocks(features, places)
    for y in range(4):
        for x in range(5):
            row, column = divmod(int(places[0, y, x]), 5)
            one = features[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(blocks[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2], one)
    assert torch.equal(resample_blocks(features, places, torch.ones(1, 3, 4, 5)), blocks)
    small = torch.randn(1, 2, 4, 5)
    assert float(fetch(small, places)[0, 1, 2, 3]) == float(small[0, 1].flatten()[places[0, 2, 3]])


def test_blocks_are_scaled_and_turned_about_their_centres() -> None:
    torch.manual_seed(0)
    features, places = torch.randn(1, 1, 8, 8), torch.full((1, 4, 4), 5)  # the block at (1, 1)
    affine = torch.ones(1, 3, 4, 4)
    affine[:, 0], affine[:, 1], affine[:, 2] = 1.5, 0.5, 1.25
    found = resample_blocks(features, places, affine)[0, 0, :2, :2]
    angle = math.radians(15)
    for i, dy in enumerate((-0.5, 0.5)):
        for j, dx in enumerate((-0.5, 0.5)):
            x = 2.5 + math.cos(angle) * 0.5 * dx - math.sin(angle) * 1.5 * dy
            y = 2.5 + math.sin(angle) * 0.5 * dx + math.cos(angle) * 1.5 * dy
            left, top = int(x), int(y)
            fx, fy = x - left, y - top
            p = features[0, 0]
            expected = (1 - fy) * ((1 - fx) * p[top, left] + fx * p[top, left + 1])
            expected = expected + fy * ((1 - fx) * p[top + 1, left] + fx * p[top + 1, left + 1])
            assert float(found[i, j]) == pytest.approx(float(expected), abs=1e-5)


@torch.inference_mode()
def test_confidence_accumulates_by_the_maximum() -> None:
    network, inputs = tiny(), still(random_inputs(2, 16, 16))
    inputs.flow_previous[:, 1, 0] = 2  # grid pixels of 4 px: 4 pixels at half size
    frames = [network.see(inputs, t) for t in range(2)]
    nobody, all_ = torch.tensor([True]), torch.tensor([False])
    first = network.step(network.forward_trunk, frames[0], inputs.flow_previous[:, 0], None, nobody)
    second = network.step(network.forward_trunk, frames[1], inputs.flow_previous[:, 1], first, all_)
    for y in range(8):
        for x in range(8):
            old = float(frames[0].confidence[0, 0, y, min(x + 4, 7)])
            new = float(frames[1].confidence[0, 0, y, x])
            assert float(second.confidence[0, 0, y, x]) == pytest.approx(max(old, new), abs=1e-6)


def still(inputs: ChunkInputs) -> ChunkInputs:
    zero = torch.zeros_like(inputs.flow_previous)
    return replace(inputs, flow_previous=zero.clone(), flow_next=zero)


@torch.inference_mode()
def test_without_a_reference_it_does_not_matter() -> None:
    network, inputs = tiny(), random_inputs(2, 16, 16)
    bare = replace(inputs, guide=torch.zeros_like(inputs.guide))
    other = replace(bare, reference=1 - bare.reference)
    assert torch.equal(network(bare)[0], network(other)[0])
    assert not torch.equal(network(bare)[0], network(inputs)[0])


@torch.inference_mode()
def test_without_trust_the_target_alone_decides() -> None:
    network, inputs = tiny(), random_inputs(2, 16, 16)
    for fusion in (network.fuse1, network.fuse2, network.fuse_join):
        for parameter in fusion.trust.parameters():
            parameter.zero_()
    other = replace(inputs, reference=1 - inputs.reference)
    assert torch.equal(network(inputs)[0], network(other)[0])


@pytest.mark.parametrize("length", [1, 3])
@torch.inference_mode()
def test_chunks_that_look_ahead_to_the_end_equal_the_whole(length: int) -> None:
    network, inputs = tiny(), random_inputs(5, 12, 16)
    inputs.reset[:, 2] = True
    whole, last = network(inputs)
    first, state = network(inputs, keep=length)
    rest, end = network(inputs.slice(length, 5), state)
    assert torch.equal(torch.cat((first, rest), dim=1), whole)
    assert all(torch.equal(one, other) for one, other in zip(end, last, strict=True))


@torch.inference_mode()
def test_a_cut_makes_two_clips_of_one() -> None:
    network, inputs = tiny(), random_inputs(4, 12, 16)
    alone = [network(inputs.slice(0, 2))[0], network(inputs.slice(2, 4))[0]]
    inputs.reset[:, 2] = True
    assert torch.equal(network(inputs)[0], torch.cat(alone, dim=1))


@pytest.mark.parametrize("height", [4, 5, 7, 18, 40])
@torch.inference_mode()
def test_all_sizes(height: int) -> None:
    network = tiny(trunk_blocks=0)
    for width in (4, 6, 13, 40):
        inputs = random_inputs(1, height, width)
        restored, _ = network(inputs)
        assert restored.shape == inputs.target.shape and bool(restored.isfinite().all())


@torch.inference_mode()
def test_blending_starts_at_the_swap() -> None:
    inputs = random_inputs(2, 13, 16)
    torch.testing.assert_close(tiny(skip="blend")(inputs)[0], swap(inputs))


def test_requests_that_cannot_be_met() -> None:
    with pytest.raises(ValueError, match="keep is 3, expected 1 to 2"):
        tiny()(random_inputs(2, 8, 8), keep=3)
    with pytest.raises(ValueError, match="task is 'upscale', expected 'deblur'"):
        tiny(task="upscale")(random_inputs(1, 8, 8))


@pytest.mark.parametrize("skip", ["target", "blend"])
def test_every_part_learns(skip: str) -> None:
    network, inputs = tiny(skip=skip).train(), random_inputs(2, 12, 12)
    truth = inputs.target * 0.8
    optimizer, values = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(2):
        loss = (network(inputs)[0] - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < values[0]
    assert all(p.grad is not None for p in network.parameters())
