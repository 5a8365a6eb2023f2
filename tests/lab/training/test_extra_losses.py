"""Losses of a network's own: added by the recipe, refused by name where the network has none."""

import math

import pytest
import torch
from factories.moving_textures import clip_in_memory
from factories.recipes import tiny_recipe

from asled_cli.errors import UsageError
from asled_cli.lab.training.loop import update
from asled_cli.lab.training.recipe import LossConfig
from asled_cli.lab.training.state import begin
from asled_cli.lab.training_data.cached_clip import stack_samples, to_tensors
from asled_cli.zoo import registry as zoo

OPTIONS = {"channels": 4, "blocks": 1, "heads": True}


def test_they_are_part_of_the_loss() -> None:
    batch = stack_samples([to_tensors(clip_in_memory(frames=3, height=32, width=32))])
    values = {}
    for extra in ({}, {"motion": 1.0}, {"intermediate": 1.0}):
        torch.manual_seed(0)
        config = tiny_recipe(network="mtu", options=OPTIONS, losses=LossConfig(extra=extra))
        progress = begin(config, zoo.build("mtu", OPTIONS), "cpu")
        values["".join(extra)], norm = update(progress, batch)
        assert math.isfinite(norm)
    assert values["motion"] - values[""] == pytest.approx(math.log(441), rel=0.1)  # untrained: about a guess
    assert values["intermediate"] > values[""]


@pytest.mark.parametrize(("network", "known"), [("mtu", "intermediate, motion"), ("asled-fast", "none")])
def test_unknown_ones_are_refused(network: str, known: str) -> None:
    config = tiny_recipe(network=network, options={}, losses=LossConfig(extra={"focus": 1.0}))
    with torch.device("meta"):
        built = zoo.build(network, {})
    with pytest.raises(UsageError, match=f"losses.extra has 'focus', {network} knows: {known}"):
        begin(config, built, "meta")


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"losses\.extra\.motion is 'x', expected a number"):
        LossConfig(extra={"motion": "x"})  # type: ignore[dict-item]
