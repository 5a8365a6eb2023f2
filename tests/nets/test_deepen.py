"""A deeper network computes what the trained shallow one did, and every new block of it learns."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from asled_cli.errors import WeightsError
from asled_cli.lab.training.recipe import TrainConfig, read_recipe
from asled_cli.lab.training.state import start_run
from asled_cli.lab.training.warm_start import copy_deepened
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.blocks import ResidualBlock
from asled_cli.nets.interface import ChunkInputs
from asled_cli.zoo import checkpoint as weights

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
SHALLOW = {
    "asled": AsledConfig(channels=8, trunk_blocks=1, decoder_blocks=2),
    "asled-fast": AsledFastConfig(fine_channels=8, coarse_channels=8, encoder_blocks=0, decoder_blocks=1),
}
DEEP = {
    "asled": AsledConfig(channels=8, encoder_blocks=2, trunk_blocks=3, decoder_blocks=4),
    "asled-fast": AsledFastConfig(fine_channels=8, coarse_channels=8, encoder_blocks=2, decoder_blocks=3),
}


def build(config: AsledConfig | AsledFastConfig, seed: int) -> nn.Module:
    """A network none of whose layers does nothing."""
    torch.manual_seed(seed)
    network = AsledNet(config) if isinstance(config, AsledConfig) else AsledFast(config)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def clip() -> ChunkInputs:
    draw = torch.Generator().manual_seed(2)
    target, reference = torch.rand(2, 1, 3, 3, 24, 32, generator=draw)
    guide, flows = torch.rand(1, 3, 6, 6, 8, generator=draw), torch.randn(2, 1, 3, 2, 6, 8, generator=draw)
    return ChunkInputs(target, reference, guide, flows[0], flows[1], torch.zeros(1, 3, dtype=torch.bool))


@pytest.mark.parametrize("name", SHALLOW)
def test_the_deeper_network_computes_the_same_and_learns_everywhere(name: str) -> None:
    shallow, deep = build(SHALLOW[name], 0), build(DEEP[name], 1)
    copy_deepened(shallow, deep)
    expected, found = (network(clip())[0] for network in (shallow, deep))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    found.square().mean().backward()
    new = [
        m.second.weight for m in deep.modules() if isinstance(m, ResidualBlock) and not m.second.weight.any()
    ]
    held = sum(isinstance(m, ResidualBlock) for m in shallow.modules())
    assert len(new) == sum(isinstance(m, ResidualBlock) for m in deep.modules()) - held > 0
    assert all(_moves(weight) for weight in new)


def _moves(weight: Tensor) -> bool:
    return weight.grad is not None and bool(weight.grad.any())


@pytest.mark.parametrize(
    "config",
    [
        AsledConfig(channels=16, trunk_blocks=3, decoder_blocks=3),
        AsledConfig(channels=8, trunk_blocks=0, decoder_blocks=3),
        AsledConfig(channels=8, trunk_blocks=3, decoder_blocks=3, skip="blend"),
        AsledFastConfig(),
    ],
    ids=["wider", "shallower", "blends", "other"],
)
def test_networks_that_differ_otherwise_are_refused(config: AsledConfig | AsledFastConfig) -> None:
    with pytest.raises(ValueError, match=r"does not match|another size"):
        copy_deepened(build(SHALLOW["asled"], 0), build(config, 1))


def test_a_recipe_may_start_from_shallower_weights(tmp_path: Path) -> None:
    file = tmp_path / "shallow.safetensors"
    shallow = build(SHALLOW["asled"], 0)
    weights.save(file, "asled", shallow, dtype=torch.float32)
    deeper = {"channels": 8, "trunk_blocks": 2, "decoder_blocks": 2}
    begun = start_run(TrainConfig(network="asled", options=deeper, init=file), tmp_path / "run", "cpu")
    torch.testing.assert_close(begun.network(clip())[0], shallow(clip())[0], atol=1e-6, rtol=1e-6)
    for options, message in (
        ({"channels": 8, "trunk_blocks": 2, "decoder_blocks": 1}, "more residual blocks"),
        ({"channels": 8, "neighbours": 2}, "the recipe wants"),
    ):
        with pytest.raises(WeightsError, match=message):
            start_run(TrainConfig(network="asled", options=options, init=file), tmp_path / "run", "cpu")


@pytest.mark.parametrize(
    ("recipe", "name"), [("asled_h200.toml", "asled-blend"), ("asled_fast_memory.toml", "asled-fast")]
)
def test_recipes_go_on_from_published_networks(recipe: str, name: str, tmp_path: Path) -> None:
    begun = start_run(read_recipe(RECIPES / recipe), tmp_path / "run", "cpu").network
    published = weights.load(weights.find(name))
    with torch.inference_mode():
        expected, found = (network(clip())[0] for network in (published, begun))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
