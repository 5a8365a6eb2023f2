"""The matching's error on known correspondences: small only for features that find them, and learnt."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from factories.moving_textures import clip_in_memory
from factories.textures import texture
from torch import Tensor

from asled_cli.errors import UsageError
from asled_cli.lab.training.loop import update
from asled_cli.lab.training.matching_loss import matching_error, matching_loss
from asled_cli.lab.training.recipe import LossConfig, TrainConfig
from asled_cli.lab.training.state import begin
from asled_cli.lab.training_data.cached_clip import to_inputs, to_tensors
from asled_cli.zoo import registry as zoo

ASLED = {"channels": 8, "trunk_blocks": 1, "decoder_blocks": 1, "search": {"radius": 2}}
GUESSING = math.log(5**2)


def picture(seed: int) -> Tensor:
    """(1, 3, 64, 64), full of detail."""
    return torch.from_numpy(texture(64, 64, seed=seed, finest=2.0)).permute(2, 0, 1)[None].float() / 255


def patches(frames: Tensor) -> Tensor:
    """Each pixel's 5x5 surroundings less their mean: features that find themselves."""
    found = F.unfold(F.pad(frames, (2, 2, 2, 2), mode="replicate"), 5)
    found = found - found.mean(dim=1, keepdim=True)
    return found.view(len(frames), -1, *frames.shape[-2:])


def error(
    target: Tensor, truth: Tensor, encode: Callable[[Tensor], Tensor] = patches, seed: int = 0
) -> float:
    return float(matching_error(encode, encode, target, truth, 2, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(4))
def test_what_finds_the_moved_truth_has_a_small_error(seed: int) -> None:
    truth, strange = (torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    blurred = F.avg_pool2d(truth, (1, 3), 1, (0, 1))
    exact, soft, other = (error(target, truth, seed=seed) for target in (truth, blurred, strange))
    assert exact < 0.02 and exact < soft < 0.5 * GUESSING and other > 0.9 * GUESSING
    # one pixel off, it is found there, and not where it was sought
    assert error(torch.roll(truth, 1, dims=-1), truth, seed=seed) > GUESSING


def test_features_that_are_all_alike_guess() -> None:
    assert error(picture(1), picture(1), torch.ones_like) == pytest.approx(GUESSING, abs=1e-4)


def test_equal_keys_draw_equally() -> None:
    network = zoo.build("asled", ASLED)
    clip = torch.stack([picture(1), picture(2)], dim=1)
    one, same, other = (matching_loss(network, clip, clip, (1, step)).item() for step in (5, 5, 6))
    assert one == same != other


def test_the_encoders_learn_it() -> None:
    torch.manual_seed(0)
    network = zoo.build("asled", ASLED)
    learning = [*network.target_encoder.parameters(), *network.reference_encoder.parameters()]
    optimizer = torch.optim.Adam(learning, lr=3e-3)
    truth = picture(1)
    blurred = F.avg_pool2d(truth, (1, 5), 1, (0, 2))
    found = []
    for step in range(80):
        loss = matching_loss(network, blurred[:, None], truth[:, None], (0, step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    assert np.mean(found[-20:]) < 0.85 * np.mean(found[:20])


def test_a_recipe_asks_for_it() -> None:
    clip = clip_in_memory(seed=0, frames=2, height=36, width=40)
    sample = {name: value[None] for name, value in to_tensors(clip).items()}
    config = TrainConfig(
        network="asled", options=ASLED, losses=LossConfig(charbonnier=0.0, matching=0.5), warmup_steps=0
    )
    progress = begin(config, zoo.build("asled", ASLED), "cpu")
    inputs, truth = to_inputs(sample, torch.device("cpu"))
    wanted = matching_loss(progress.network, inputs.target, truth, (config.samples.seed, 0, 0)).item()
    assert update(progress, sample)[0] == pytest.approx(0.5 * wanted, rel=1e-5)
    with pytest.raises(UsageError, match="asled-fast has no matching"):
        begin(dataclasses.replace(config, network="asled-fast"), zoo.build("asled-fast", {}), "cpu")
