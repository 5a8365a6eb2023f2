"""MTU: parameter counts, its unit against a function, recurrence, chunks, cuts, readings, early exit."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from factories.networks import random_inputs
from torch import Tensor, nn

from asled_cli.nets.interface import ChunkInputs, run_chunks
from asled_cli.nets.mtu.config import LARGE, PAPER, PUBLISHED, MtuConfig
from asled_cli.nets.mtu.matching import find_shift, pull
from asled_cli.nets.mtu.network import DetailNetwork, Mtu

TINY = MtuConfig(channels=6, blocks=1)


def random_mtu(config: MtuConfig = TINY, seed: int = 0) -> Mtu:
    """A network whose features and results are of the size of pictures."""
    torch.manual_seed(seed)
    network = Mtu(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
    return network.eval()


def parameters(config: MtuConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Mtu(config).parameters())


@pytest.mark.parametrize(
    ("config", "inference", "training"),
    [
        (replace(PUBLISHED, units=1), 538_073, 538_073),
        (replace(PUBLISHED, units=2), 1_037_325, 1_038_732),
        (replace(PUBLISHED, units=4), 2_035_829, 2_040_050),
        (replace(PUBLISHED, units=10), 5_031_341, 5_044_004),
        (LARGE, 13_802_547, 13_825_902),
        (MtuConfig(units=1), 538_775, 538_775),  # uses its motion compensation
        (replace(PAPER, units=2), 1_035_921, 1_037_328),  # 9 channels fewer in, 26 more out
    ],
)
def test_parameters(config: MtuConfig, inference: int, training: int) -> None:
    assert parameters(config) == inference
    assert parameters(replace(config, heads=True)) == training


def test_parameters_of_each_part() -> None:
    with torch.device("meta"):
        network, large = Mtu(PUBLISHED), Mtu(LARGE)
    counts = [
        [
            sum(p.numel() for p in part.parameters())
            for part in (n.base, n.history, n.units[0], n.motion, n.output)
        ]
        for n in (network, large)
    ]
    assert counts == [
        [728, 3_536, 499_252, 33_852, 705],
        [1_344, 6_528, 1_367_808, 115_296, 1_299],
    ]


def unit_by_hand(weights: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    """F^n written a second time, with explicit weights."""

    def conv(name: str, x: Tensor, **options: Any) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options).relu()

    def up(name: str, x: Tensor) -> Tensor:
        raised = F.conv_transpose2d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2, padding=1
        )
        return raised.relu()

    a = conv("entry", x, padding=2)
    b = conv("down", a, stride=2, padding=1)
    q = conv("deep", b, stride=2, padding=1)
    y = q
    for i in range(blocks):
        y = y + conv(f"body.{i}.second", conv(f"body.{i}.first", y, padding=1), padding=1)
    y = conv("exit", y, padding=1) + q
    return up("up_full", up("up_half", y) + b) + a


@torch.inference_mode()
def test_unit_against_a_function() -> None:
    torch.manual_seed(0)
    unit, x = DetailNetwork(6, 2), torch.randn(2, 12, 16, 20)
    torch.testing.assert_close(unit(x), unit_by_hand(dict(unit.named_parameters()), x, 2))


@pytest.mark.parametrize("units", [1, 2, 4])
@torch.inference_mode()
def test_recurrence_against_a_plain_loop(units: int) -> None:
    """State over four frames; units one after the other."""
    network, inputs = random_mtu(replace(TINY, units=units)), random_inputs(4, 16, 20)
    frames = [inputs.target[:, min(t, 3)] for t in range(6)]
    older = old = result = frames[0]
    held: Tensor | None = None
    before: Tensor | None = None
    expected = []
    for t in range(4):
        s = network.base(frames[t]).relu()
        h = network.history(torch.cat((older, old, result, frames[t + 1], frames[t + 2]), dim=1)).relu()
        x, shift = torch.cat((s, h), dim=1), None
        for unit in network.units:
            f = unit(x)
            if shift is None:
                m = network.motion(s + f).relu()
                shift = find_shift(m, m if before is None else before)
                before = m
            x = torch.cat((f, pull(f if held is None else held, shift, "repeat")), dim=1)
        held = f
        result = frames[t] + network.output(x if units == 1 else f)
        expected.append(result)
        older, old = old if t else frames[0], frames[t]
    assert (torch.stack(expected, 1) - inputs.target).abs().mean() > 0.05  # it does something
    torch.testing.assert_close(network(inputs)[0], torch.stack(expected, 1))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("window", [1, 3, 5])
@torch.inference_mode()
def test_chunks_equal_the_whole_clip(chunk: int, window: int) -> None:
    network, inputs = random_mtu(replace(TINY, window=window)), random_inputs(7, 18, 21)
    inputs.reset[:, 4] = True
    assert network.info.overlap == window // 2
    assert torch.equal(run_chunks(network, inputs, chunk, network.info.overlap), network(inputs)[0])


@torch.inference_mode()
def test_a_cut_is_a_fresh_start_and_an_end() -> None:
    network, inputs = random_mtu(), random_inputs(7, 16, 16)
    inputs.reset[:, 3] = True
    parts = [network(inputs.slice(0, 3))[0], network(inputs.slice(3, 7))[0]]
    torch.testing.assert_close(network(inputs)[0], torch.cat(parts, dim=1))


@torch.inference_mode()
def test_cuts_of_one_clip_leave_the_others_alone() -> None:
    network, one, two = random_mtu(), random_inputs(5, 16, 16), random_inputs(5, 16, 16, seed=1)
    one.reset[:, 2] = True
    both = ChunkInputs(*(torch.cat((getattr(one, f), getattr(two, f))) for f in ChunkInputs.__slots__))
    expected = torch.cat((network(one)[0], network(two)[0]))
    torch.testing.assert_close(network(both)[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("height", range(4, 41, 4))
@pytest.mark.parametrize("border", ["repeat", "zeros"])
@torch.inference_mode()
def test_all_sizes(height: int, border: Any) -> None:
    network = random_mtu(replace(TINY, channels=2, blocks=0, border=border))
    for width in (4, 5, 6, 7, 37, 40):
        inputs = random_inputs(2, height - 3 if height > 4 else 4, width)
        restored, _ = network(inputs)
        assert restored.shape == inputs.target.shape and bool(restored.isfinite().all())


@torch.inference_mode()
def test_given_motion_equals_the_matchers_own() -> None:
    network, inputs = random_mtu(), random_inputs(4, 20, 24)
    flows: list[Tensor] = []
    whole, state = [], None
    for t in range(4):
        step = network.step(inputs, t, torch.tensor([t == 0]), state)
        before = step.state.motion if state is None else state.motion
        flows.append(find_shift(step.state.motion, before))
        whole.append(step.state.restored)
        state = step.state
    given = Mtu(replace(TINY, motion="given")).eval()
    given.load_state_dict(network.state_dict())
    known = replace_flow(inputs, torch.stack(flows, 1))
    assert torch.equal(given(known)[0], torch.stack(whole, 1))
    assert not torch.equal(given(inputs)[0], torch.stack(whole, 1))


def replace_flow(inputs: ChunkInputs, flow: Tensor) -> ChunkInputs:
    return replace(inputs, flow_previous=flow)


@pytest.mark.parametrize("uses", [False, True])
@torch.inference_mode()
def test_a_single_unit_depends_on_its_motion_only_if_asked(uses: bool) -> None:
    network, inputs = random_mtu(replace(TINY, units=1, single_uses_motion=uses)), random_inputs(3)
    before, _ = network(inputs)
    network.motion.weight.zero_()
    network.motion.bias.zero_()  # type: ignore[union-attr]
    assert torch.equal(network(inputs)[0], before) is not uses


@torch.inference_mode()
def test_heads_do_not_change_the_result() -> None:
    full, inputs = random_mtu(replace(TINY, units=3, heads=True)), random_inputs(3)
    bare = Mtu(replace(TINY, units=3)).eval()
    bare.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("heads")})
    assert torch.equal(bare(inputs)[0], full(inputs)[0])


@pytest.mark.parametrize("count", [1, 2])
@torch.inference_mode()
def test_the_first_units_are_a_network_of_their_own(count: int) -> None:
    full, inputs = random_mtu(replace(TINY, units=3, heads=True)), random_inputs(3)
    early = full.first_units(count)
    step = full.step(inputs, 0, torch.tensor([True]), None)
    assert torch.equal(early(inputs)[0][:, 0], step.earlier[count - 1])
    alone = Mtu(replace(TINY, units=count, output="joined")).eval()
    alone.load_state_dict(early.state_dict())
    assert torch.equal(alone(inputs)[0], early(inputs)[0])
    with pytest.raises(ValueError, match="3 units have no head, expected 1 to 2"):
        full.first_units(3)


def test_every_part_learns_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    network, inputs = random_mtu(replace(TINY, heads=True)).train(), random_inputs(3, 8, 12)
    truth = (inputs.target * 0.8 + 0.1).detach()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    values = []
    for _ in range(12):
        restored, _ = network(inputs)
        extra = network.extra_losses(truth)
        own = (restored - truth).abs().mean()
        loss = own + 0.1 * extra["intermediate"] + 0.01 * extra["motion"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(own.detach()))
    assert values[-1] < 0.8 * values[0]
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"), [({"window": 2}, "window is 2"), ({"units": 0}, "units is 0")]
)
def test_refused_options(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MtuConfig(**options)  # type: ignore[arg-type]
