"""AsLeD-Net: its size, its order of work, chunks and cuts, its ablations, and that it learns."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.lab.training.recipe import read_recipe
from asled_cli.nets.asled.ablations import ABLATIONS
from asled_cli.nets.asled.components import DifferenceCompensation, MotionCompensation
from asled_cli.nets.asled.config import PAPER, AsledConfig, SearchConfig, detail
from asled_cli.nets.asled.costs import count_flops, estimate_memory, parameter_table
from asled_cli.nets.asled.matching import match
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.blend import swap
from asled_cli.nets.interface import ChunkInputs, run_chunks
from asled_cli.nets.warp import warp
from asled_cli.zoo import registry as zoo

TINY = AsledConfig(channels=8, trunk_blocks=1, decoder_blocks=1, search=SearchConfig(radius=2))
VARIANTS = {
    name: replace(config, channels=8, trunk_blocks=1, decoder_blocks=1) for name, config in ABLATIONS.items()
}
OPEN_POINTS = {
    "inside": replace(TINY, fusion="inside"),
    "warped-target": replace(TINY, warped="target"),
    "direct": replace(TINY, refinement="direct"),
    "temperature": replace(TINY, temperature=0.05),
    "two-flows": replace(TINY, flow_sharing="separate"),
    "global": replace(TINY, search=SearchConfig(strategy="global")),
    "blend": replace(TINY, skip="blend"),
    "detail": replace(TINY, input="highpass"),
    "coarse": replace(TINY, search=SearchConfig(strategy="coarse", radius=2)),
    "picture": replace(TINY, warped="picture"),
    "both-sides": replace(TINY, sides="both"),
    "both-sides-inside": replace(TINY, sides="both", fusion="inside"),
    "three-blocks": replace(TINY, dc_blocks=3),
    "away": replace(TINY, dc_start="away"),
    "merge-attention": replace(TINY, merge_attention=True),
}
RECURRENT = ["inside", "both-sides", "both-sides-inside"]
EVERY = VARIANTS | OPEN_POINTS
ONCE = list({config: name for name, config in EVERY.items()}.values())  # tables share configurations


def build(config: AsledConfig = TINY) -> AsledNet:
    torch.manual_seed(0)
    return AsledNet(config).eval()


def clip(frames: int = 4, height: int = 24, width: int = 32, count: int = 1, seed: int = 1) -> ChunkInputs:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(2, count * frames, 3, height // 4 + 1, width // 4 + 1, generator=generator)
    views = F.interpolate(small.flatten(0, 1), size=(height, width), mode="bilinear", align_corners=False)
    target, reference = views.view(2, count, frames, 3, height, width)
    h, w = -(-height // 4), -(-width // 4)
    return ChunkInputs(
        target=target,
        reference=reference,
        guide=torch.zeros(count, frames, 6, h, w),
        flow_previous=torch.zeros(count, frames, 2, h, w),
        flow_next=torch.zeros(count, frames, 2, h, w),
        reset=torch.zeros(count, frames, dtype=torch.bool),
    )


def with_cut(inputs: ChunkInputs, frame: int, clip_index: int = 0) -> ChunkInputs:
    reset = inputs.reset.clone()
    reset[clip_index, frame] = True
    return replace(inputs, reset=reset)


def test_parameters_of_each_part_as_published() -> None:
    with torch.device("meta"):
        table = parameter_table(AsledNet())
    assert table == {
        "flow": 1_440_300,
        "trunks": 4_508_672,
        "fusion": 8_256,
        "encoders": 151_296,
        "alm": 8_256,
        "dc": 73_856,
        "rmc": 153_602,
        "merge": 221_376,
        "decoder": 2_217_411,
        "total": 8_783_025,  # the paper prints 8.8 M
    }


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_are_as_large_as_the_network(name: str) -> None:
    with torch.device("meta"):
        total = parameter_table(AsledNet(ABLATIONS[name]))["total"]
    assert total == pytest.approx(8_783_025, rel=0.01)


@pytest.mark.parametrize("name", ONCE)
def test_every_variant_runs_and_trains_each_of_its_parameters(name: str) -> None:
    network = build(EVERY[name])
    inputs = clip(2, 32, 40)
    restored, state = network(inputs)
    assert restored.shape == inputs.target.shape
    assert state.features.shape == (1, 8, 32, 40)
    restored.square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("config", [TINY, *map(OPEN_POINTS.get, RECURRENT)], ids=["after", *RECURRENT])
@pytest.mark.parametrize("length", [1, 3])
def test_chunks_that_look_ahead_to_the_end_equal_the_whole(config: AsledConfig, length: int) -> None:
    network = build(config)
    inputs = with_cut(clip(frames=4), 2)
    with torch.inference_mode():
        whole, last = network(inputs)
        first, state = network(inputs, keep=length)
        rest, end = network(inputs.slice(length, 4), state)
        assert torch.equal(run_chunks(network, inputs, length, overlap=4), whole)
    assert torch.equal(torch.cat((first, rest), dim=1), whole)
    assert all(torch.equal(one, other) for one, other in zip(end, last, strict=True))


def test_short_look_ahead_changes_only_what_lies_near_the_seam() -> None:
    network = build()
    inputs = clip(frames=4)
    with torch.inference_mode():
        whole = network(inputs)[0]
        for seen in (2, 3):
            assert not torch.equal(network(inputs.slice(0, seen), keep=2)[0], whole[:, :2])
        assert torch.equal(network(inputs, keep=2)[0], whole[:, :2])


class Still(nn.Module):
    """No motion: SPyNet would take three quarters of the time of a tiny network."""

    def forward(self, first: Tensor, _: Tensor) -> Tensor:
        return torch.zeros_like(first[:, :2])


@pytest.fixture(scope="module")
def forgetful() -> AsledNet:
    """Random weights whose memory fades from frame to frame, as it should."""
    network = build()
    network.flow = Still()  # type: ignore[assignment]
    with torch.no_grad():
        for trunk in (network.backward_trunk, network.forward_trunk):
            trunk[0].weight[:, 3:] *= 0.6  # type: ignore[index]
        network.decoder[-1].weight.mul_(3)  # type: ignore[operator]
    return network


@pytest.mark.parametrize("chunk", [1, 2, 4, 7])
@torch.inference_mode()
def test_default_look_ahead_is_within_the_bound(chunk: int, forgetful: AsledNet) -> None:
    """Better than 50 dB, as `NetworkInfo.overlap` says, where memory fades; without look-ahead it is not."""
    inputs = clip(frames=14)
    whole = forgetful(inputs)[0]
    assert (whole - inputs.target).square().mean().sqrt() > 0.05  # more than a trained network changes

    def error_db(overlap: int) -> float:
        error = run_chunks(forgetful, inputs, chunk, overlap) - whole
        return float(10 * error.square().mean().log10())

    default = forgetful.info.overlap
    none, shorter, enough = (error_db(overlap) for overlap in (0, default - 2, default))
    assert enough < -50 < none
    assert enough < shorter - 3 < none - 6


@pytest.mark.parametrize("config", [TINY, *map(OPEN_POINTS.get, RECURRENT)], ids=["after", *RECURRENT])
def test_a_cut_makes_two_clips_of_one(config: AsledConfig) -> None:
    network = build(config)
    inputs = clip(frames=4)
    with torch.inference_mode():
        parted = network(with_cut(inputs, 2))[0]
        alone = [network(inputs.slice(0, 2))[0], network(inputs.slice(2, 4))[0]]
        whole = network(inputs)[0]
    assert torch.equal(parted, torch.cat(alone, dim=1))
    assert not torch.allclose(parted, whole, atol=1e-6)


def test_clips_of_a_batch_do_not_meet() -> None:
    network = build()
    inputs = with_cut(clip(frames=3, count=2), 1, clip_index=1)
    with torch.inference_mode():
        both = network(inputs)[0]
        for n in range(2):
            single = ChunkInputs(
                *(getattr(inputs, name)[n : n + 1] for name in ChunkInputs.__dataclass_fields__)
            )
            torch.testing.assert_close(both[n : n + 1], network(single)[0], atol=1e-5, rtol=0)


def test_order_of_work_equals_a_plain_unrolled_loop() -> None:
    """Three frames written out, figure 3 from left to right; `after` is the paper's main reading."""
    net = build()
    assert isinstance(net.rmc, MotionCompensation)
    assert isinstance(net.dc, DifferenceCompensation)
    refine = net.rmc.refine
    assert refine is not None
    inputs = clip(frames=3)
    x, r = inputs.target.unbind(1), inputs.reference.unbind(1)
    zero = torch.zeros(1, 8, 24, 32)

    def trunk(module: nn.Module, frame: Tensor, moved: Tensor) -> Tensor:
        return module(torch.cat((frame, moved), 1))  # type: ignore[no-any-return]

    with torch.inference_mode():
        b2 = trunk(net.backward_trunk, x[2], zero)
        b1 = trunk(net.backward_trunk, x[1], warp(b2, net.flow(x[1], x[2])))
        b0 = trunk(net.backward_trunk, x[0], warp(b1, net.flow(x[0], x[1])))
        f0 = trunk(net.forward_trunk, x[0], zero)
        f1 = trunk(net.forward_trunk, x[1], warp(f0, net.flow(x[1], x[0])))
        f2 = trunk(net.forward_trunk, x[2], warp(f1, net.flow(x[2], x[1])))
        expected = []
        for t, (backward, forward, near) in enumerate([(b0, f0, r[0]), (b1, f1, r[0]), (b2, f2, r[1])]):
            base = F.leaky_relu(net.fusion(torch.cat((backward, forward), 1)), 0.1)
            seen, sharp = net.target_encoder(x[t]), net.reference_encoder(r[t])
            flow = net.flow(x[t], near)
            flow = flow + refine.out(refine.body(torch.cat((x[t], flow), 1)))
            moved = warp(net.reference_encoder(near), flow) + net.rmc.residual(x[t])
            difference = seen + net.dc.refine(sharp - seen)
            merged = net.merge(torch.cat((net.alm(seen, sharp), difference, moved, base), 1))
            expected.append(x[t] + net.decoder(merged))
        restored = net(inputs)[0]
    torch.testing.assert_close(restored, torch.stack(expected, 1), atol=1e-5, rtol=0)


def test_the_frozen_network_of_the_paper() -> None:
    assert AsledConfig(search=SearchConfig(strategy="global")) == PAPER  # defaults are the paper's readings
    assert (PAPER.fusion, PAPER.sides, PAPER.refinement) == ("after", "previous", "residual")
    with torch.device("meta"):
        table = parameter_table(AsledNet(PAPER))
    assert table["total"] == 8_783_025
    recipe = read_recipe(Path(__file__).parents[2] / "examples" / "recipes" / "asled_paper.toml")
    assert zoo.build(recipe.network, recipe.options).config == PAPER
    assert not recipe.samples.turn_time


def test_difference_compensation_starts_at_the_reference() -> None:
    part = DifferenceCompensation(TINY)
    for weight in part.refine.parameters():
        weight.data.zero_()  # f is the identity, near which it starts
    seen, sharp = torch.rand(1, 8, 4, 4), torch.rand(1, 8, 4, 4)
    torch.testing.assert_close(part(seen, sharp), sharp)
    away = DifferenceCompensation(replace(TINY, dc_start="away"))
    away.load_state_dict(part.state_dict())
    torch.testing.assert_close(away(seen, sharp), 2 * seen - sharp)


def test_half_precision_stays_near_single_precision() -> None:
    inputs = clip(frames=2)
    with torch.inference_mode():
        exact = build()(inputs)[0]
        half = build().to(torch.bfloat16)(inputs)[0]
    assert half.dtype == torch.float32
    assert (half - exact).square().mean().sqrt() < 0.01


def test_guides_and_registered_flows_are_not_used() -> None:
    network = build()
    inputs = clip(frames=2)
    other = replace(inputs, guide=inputs.guide + 1, flow_next=inputs.flow_next + 3)
    with torch.inference_mode():
        assert torch.equal(network(inputs)[0], network(other)[0])


@pytest.mark.parametrize(
    "name", ["table2-h", "table2-a", "supplement-m", "inside", "coarse", "both-sides-inside", "picture"]
)
def test_counted_operations_equal_those_of_a_run(name: str) -> None:
    network = build(EVERY[name])
    counted = {}
    for frames in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(clip(frames, 32, 64))
        counted[frames] = counter.get_total_flops()
    expected = count_flops(EVERY[name], 32, 64)["total"]
    assert counted[2] - counted[1] == pytest.approx(expected, rel=0.01)


def test_costs_of_a_1080p_frame() -> None:
    assert count_flops(AsledConfig(), 1080, 1920)["total"] == pytest.approx(34.9e12, rel=0.01)
    assert estimate_memory(AsledConfig(), 1080, 1920, frames=15, keep=10) < 12e9


def test_unusable_requests_say_why() -> None:
    with pytest.raises(ValueError, match="keep is 5, expected 1 to 2"):
        build()(clip(frames=2), keep=5)
    with pytest.raises(ValueError, match="temperature is 0"):
        AsledConfig(temperature=0.0)


@pytest.mark.slow
def test_it_learns_one_clip_by_heart() -> None:
    """A blurry clip and a sharp reference one pixel aside: from 23 to above 35 dB within seconds."""
    torch.manual_seed(0)
    network = AsledNet(replace(TINY, channels=16))
    network.flow = Still()  # type: ignore[assignment]
    texture = F.interpolate(torch.rand(1, 3, 8, 8), size=(40, 40), mode="bicubic").clamp(0, 1)
    truth = torch.stack([texture[..., 8:32, 4 + 2 * t : 28 + 2 * t] for t in range(3)], dim=1)
    blurry = F.avg_pool2d(truth[0], (1, 7), stride=1, padding=(0, 3), count_include_pad=False)
    inputs = replace(clip(3, 24, 24), target=blurry.unsqueeze(0), reference=truth.roll(1, dims=-1))
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    for _ in range(150):
        error = (network(inputs)[0] - truth).square()
        if error.mean() < 10**-3.55:
            break
        optimizer.zero_grad()
        (error + 1e-6).sqrt().mean().backward()  # Charbonnier, as the paper trains
        optimizer.step()
    assert -10 * error.mean().log10() > 35


def test_untrained_it_equals_the_plain_swap_where_it_blends() -> None:
    inputs = clip(3, 22, 31)
    guide = torch.rand(inputs.guide.shape, generator=torch.Generator().manual_seed(5))
    inputs = replace(inputs, guide=guide)
    network = build(OPEN_POINTS["blend"])
    with torch.inference_mode():
        torch.testing.assert_close(network(inputs)[0], swap(inputs), atol=1e-6, rtol=0)
    assert network.info.reference_radius == 2 and AsledNet.info.reference_radius == 0


def test_a_view_of_itself_is_found_by_untrained_features() -> None:
    """Both encoders start alike, so that the nearest position in a copy of the frame is the same one."""
    network, frame = build(), clip(1).target[:, 0]
    with torch.inference_mode():
        own, other = network.target_encoder(frame), network.reference_encoder(frame)
    indices, similarities = match(own, other, 1, "window", radius=2)
    assert torch.equal(indices.flatten(), torch.arange(24 * 32))
    torch.testing.assert_close(similarities, torch.ones_like(similarities))


def test_detail_leaves_broad_shades_away() -> None:
    """Against OpenCV's box filter; a constant is nothing, and a step shows on both its sides."""
    picture = clip(1).target[0, 0]
    box = cv2.blur(picture.permute(1, 2, 0).numpy(), (17, 17), borderType=cv2.BORDER_REPLICATE)
    expected = 4 * (picture - torch.from_numpy(box).permute(2, 0, 1))
    torch.testing.assert_close(detail(picture[None])[0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(detail(picture[None] + 0.3)[0], expected, atol=1e-5, rtol=0)
