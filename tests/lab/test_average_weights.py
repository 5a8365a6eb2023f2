"""The mean of two files of weights, also where the later network is the deeper one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from asled_cli.cli import app
from asled_cli.errors import UsageError, WeightsError
from asled_cli.lab.training.weight_averaging import average_weights
from asled_cli.nets.asled.config import AsledConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.zoo import checkpoint as weights

SMALL = AsledFastConfig(fine_channels=4, coarse_channels=8, fusion_radius=1, fusion_channels=4)
DEEP = AsledFastConfig(
    fine_channels=4, coarse_channels=8, decoder_blocks=5, fusion_radius=1, fusion_channels=4
)


def write(folder: Path, name: str, config: AsledFastConfig, seed: int) -> Path:
    torch.manual_seed(seed)
    network = AsledFast(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    weights.save(folder / name, "asled-fast", network)
    return folder / name


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_every_weight_is_the_mean(tmp_path: Path, share: float) -> None:
    start, end = write(tmp_path, "start", SMALL, 0), write(tmp_path, "end", SMALL, 1)
    options = ["--out", str(tmp_path / "mean"), "--share", str(share)]
    assert app.main(["average-weights", str(start), str(end), *options]) == 0
    one, other, mean = (load_file(tmp_path / name) for name in ("start", "end", "mean"))
    assert mean.keys() == one.keys()
    for name, found in mean.items():
        wanted = (1 - share) * one[name].double().numpy() + share * other[name].double().numpy()
        np.testing.assert_allclose(found.double().numpy(), wanted, rtol=1e-3, atol=1e-6)  # fp16
    assert weights.load(tmp_path / "mean").config == SMALL


def test_blocks_that_the_start_lacks_count_as_nothing(tmp_path: Path) -> None:
    start, end = write(tmp_path, "start", SMALL, 0), write(tmp_path, "end", DEEP, 1)
    average_weights(start, end, 0.5, tmp_path / "mean")
    mean, later = load_file(tmp_path / "mean"), load_file(end)
    for block in range(SMALL.decoder_blocks, DEEP.decoder_blocks):
        name = f"decoder.blocks.{block}.second.weight"
        np.testing.assert_allclose(mean[name].float(), later[name].float() / 2, rtol=1e-3, atol=1e-6)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    small, deep = write(tmp_path, "small", SMALL, 0), write(tmp_path, "deep", DEEP, 1)
    with pytest.raises(WeightsError, match="is not the start of"):
        average_weights(deep, small, 0.5, tmp_path / "mean")
    with pytest.raises(UsageError, match="--share is"):
        average_weights(small, small, 1.5, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_equal_sizes_of_another_meaning_are_refused(tmp_path: Path) -> None:
    paths = []
    for temperature in (1.0, 0.1):
        network = AsledNet(AsledConfig(channels=4, trunk_blocks=1, decoder_blocks=1, temperature=temperature))
        paths.append(tmp_path / f"{temperature}.safetensors")
        weights.save(paths[-1], "asled", network)
    with pytest.raises(WeightsError, match="cannot be mixed"):
        average_weights(*paths, 0.5, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
