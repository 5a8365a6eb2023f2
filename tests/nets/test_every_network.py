"""What holds for every network: frames of a real size, chunks = whole clip, parameters of the recipes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from factories.networks import random_inputs

from asled_cli.lab.training.recipe import read_recipe
from asled_cli.nets.interface import run_chunks
from asled_cli.zoo import registry as zoo

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
TINY: dict[str, dict[str, Any]] = {
    "asled-fast": {"fine_channels": 8, "coarse_channels": 8, "fusion_radius": 0},
    "asled": {"channels": 8, "trunk_blocks": 1, "decoder_blocks": 1, "search": {"radius": 2}},
    "mtu": {"channels": 2, "blocks": 1},
    "deblurnet": {"channels": 2},
    "davanet": {"channels": 2, "disparity_channels": (2, 2, 2, 2), "disparity_features": 2},
    "ifan": {"channels": 1, "filters": 1, "dual": True},
    "refvsr": {"channels": 2, "trunk_blocks": 1},
}


def build(name: str) -> Any:
    """A network with random weights in every layer, those that start at zero too."""
    torch.manual_seed(1)
    network = zoo.build(name, TINY[name]).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return network


def test_every_network_is_here() -> None:
    assert set(TINY) == set(zoo.BUILDERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_frames_of_a_real_size(name: str) -> None:
    inputs = random_inputs(2, 180, 322)
    restored, _ = build(name)(inputs)
    assert restored.shape == inputs.target.shape and bool(restored.isfinite().all())


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_chunks_that_look_ahead_to_the_end_equal_the_whole(name: str) -> None:
    network, inputs = build(name), random_inputs(4, 32, 40)
    inputs.reset[:, 2] = True
    whole, _ = network(inputs)
    assert not torch.equal(whole, inputs.target)
    for length in (1, 3):
        chunked = run_chunks(network, inputs, length, overlap=4)
        torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "changes", "parameters"),
    [
        ("deblurnet", [], 1_149_939),
        ("davanet", ["options.skip=blend"], 2_258_073),
        ("ifan", [], 2_364_196),
        ("ifan", ["options.dual=true", "options.skip=blend"], 2_364_773),
        ("refvsr", ["options.skip=blend"], 1_035_031),
    ],
)
def test_parameters_of_the_small_settings(name: str, changes: list[str], parameters: int) -> None:
    recipe = read_recipe(RECIPES / f"{name}_cpu.toml", changes)
    with torch.device("meta"):
        network = zoo.build(recipe.network, recipe.options)
    assert sum(p.numel() for p in network.parameters()) == parameters
