"""Recipes of networks without weights: readable, and the networks can be built and hold their losses."""

from pathlib import Path

import pytest
import torch

from asled_cli.lab.training.recipe import read_recipe
from asled_cli.lab.training.state import begin
from asled_cli.zoo import registry as zoo

RECIPES = Path(__file__).parents[3] / "examples" / "recipes"
NETWORKS = sorted({*zoo.BUILDERS, *zoo.ESTIMATORS} - set(zoo.PUBLISHED) - {"asled"})


@pytest.mark.parametrize("name", NETWORKS)
def test_each_has_a_recipe_that_fits(name: str) -> None:
    config = read_recipe(RECIPES / f"{name.replace('-', '_')}_cpu.toml")
    assert config.network == name
    with torch.device("meta"):
        network = zoo.build(name, config.options)
    assert begin(config, network, "meta").step == 0
