"""The compact network: starts as the plain swap, any size, states that obey cuts, what its gate respects."""

import dataclasses

import pytest
import torch
from factories.networks import MIXING, TINY, random_inputs, random_network
from torch import nn

from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.blend import swap


@torch.inference_mode()
def test_untrained_network_is_the_swap() -> None:
    inputs = random_inputs()
    restored, _ = AsledFast(TINY)(inputs)
    torch.testing.assert_close(restored, swap(inputs))


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 7), (24, 32), (25, 30), (27, 33)])
@torch.inference_mode()
def test_any_size_comes_back(height: int, width: int) -> None:
    inputs = random_inputs(2, height, width)
    assert random_network()(inputs)[0].shape == (1, 2, 3, height, width)
    torch.testing.assert_close(AsledFast(TINY)(inputs)[0], swap(inputs))


def test_wrong_guide_size_is_named() -> None:
    inputs = dataclasses.replace(random_inputs(), target=torch.zeros(1, 4, 3, 30, 32))
    with pytest.raises(ValueError, match="guide has"):
        AsledFast(TINY)(inputs)


@torch.inference_mode()
def test_nothing_passes_a_cut() -> None:
    """A cut gives the same output as two clips."""
    inputs, network = random_inputs(6), random_network()
    inputs.reset[:, 3] = True
    whole, _ = network(inputs)
    apart = torch.cat((network(inputs.slice(0, 3))[0], network(inputs.slice(3, 6))[0]), dim=1)
    torch.testing.assert_close(whole, apart)
    inputs.reset[:, 3] = False
    assert (network(inputs)[0] - apart).abs().max() > 1e-4  # without the cut, frames do know each other


@torch.inference_mode()
def test_later_and_earlier_frames_matter() -> None:
    inputs, network = random_inputs(5), random_network()
    before, _ = network(inputs)
    changed = dataclasses.replace(inputs, target=inputs.target.clone())
    changed.target[:, 2] += 0.5
    effect = (network(changed)[0] - before).abs().amax(dim=(0, 2, 3, 4))
    assert (effect > 1e-6).all()


@torch.inference_mode()
def test_gate_stays_closed_where_the_reference_is_not_valid() -> None:
    inputs, network = random_inputs(2), random_network()
    inputs.guide[:, :, 4:] = 0
    whatever = dataclasses.replace(inputs, reference=inputs.target)
    nn.init.zeros_(network.decoder.head.weight[:12])  # no residual: all change comes through the gate
    for some in (inputs, whatever):
        torch.testing.assert_close(network(some)[0], some.target)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_low_precision_keeps_the_picture(dtype: torch.dtype) -> None:
    """Pictures stay in float32; only the correction is computed coarsely."""
    inputs = random_inputs(3)
    for config, head, tolerance in ((TINY, 0.05, 2e-2), (MIXING, 0.1, 3e-2)):
        network = random_network(config, head=head)
        exact, _ = network(inputs)
        coarse, _ = network.to(dtype)(inputs)
        assert coarse.dtype == torch.float32
        torch.testing.assert_close(coarse, exact, atol=tolerance, rtol=0)
    untrained = AsledFast(TINY).to(dtype)
    torch.testing.assert_close(untrained(inputs)[0], swap(inputs))


@pytest.mark.parametrize("config", [TINY, MIXING], ids=["plain", "mixing"])
def test_gradients_reach_every_parameter(config: AsledFastConfig) -> None:
    network = random_network(config).train()
    network(random_inputs())[0].square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_default_size() -> None:
    assert sum(p.numel() for p in AsledFast().parameters()) == 699_760
    assert sum(p.numel() for p in AsledFast(AsledFastConfig(fusion_radius=0)).parameters()) == 672_592
