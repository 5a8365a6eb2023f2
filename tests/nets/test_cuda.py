"""On an NVIDIA GPU: the networks agree with the CPU in every number format, and learn in bf16."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories.moving_textures import write_clip

from asled_cli.lab.training.loop import update
from asled_cli.lab.training.recipe import TrainConfig
from asled_cli.lab.training.state import begin
from asled_cli.lab.training_data.cached_clip import read_clip, stack_samples, to_inputs, to_tensors
from asled_cli.lab.training_data.crops import CropDataset, SampleConfig
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
# Least agreement in dB; measured with the published weights: 101 (TF32), 97 and 77.
FORMATS = {torch.float32: 85.0, torch.float16: 70.0, torch.bfloat16: 50.0}


@pytest.fixture
def batch(tmp_path: Path) -> dict[str, torch.Tensor]:
    write_clip(tmp_path / "clip.npz", seed=3, frames=5, height=64, width=96)
    return stack_samples([to_tensors(read_clip(tmp_path / "clip.npz"))])


@pytest.mark.parametrize("name", sorted(zoo.PUBLISHED))
@torch.inference_mode()
def test_a_gpu_gives_what_a_cpu_gives(name: str, batch: dict[str, torch.Tensor]) -> None:
    wanted = weights.load(weights.find(name))(to_inputs(batch, torch.device("cpu"))[0])[0]
    inputs, _ = to_inputs(batch, torch.device("cuda"))
    for dtype, least_db in FORMATS.items():
        network = weights.load(weights.find(name)).to("cuda", dtype, memory_format=torch.channels_last)
        error = (network(inputs)[0].float().cpu() - wanted).square().mean().item()
        assert -10 * math.log10(max(error, 1e-16)) > least_db, dtype


@pytest.mark.parametrize("name", sorted(zoo.BUILDERS))
def test_every_network_learns_in_bf16(name: str, batch: dict[str, torch.Tensor]) -> None:
    options = zoo.PUBLISHED[name].options if name in zoo.PUBLISHED else {}
    config = TrainConfig(network=name, options=options, precision="bf16", warmup_steps=0, learning_rate=1e-4)
    torch.manual_seed(0)
    progress = begin(config, zoo.build(name, options), "cuda")
    losses = [update(progress, batch)[0] for _ in range(8)]
    assert np.isfinite(losses).all() and min(losses[-2:]) < losses[0]


def test_samples_are_cut_on_the_gpu_as_on_the_cpu(tmp_path: Path) -> None:
    for seed in range(3):
        write_clip(tmp_path / f"{seed}.npz", seed=seed, frames=6, height=44, width=50)
    config = SampleConfig(frames=(3, 4), crop_px=32, batch=2, reference_dropout=0.5, photometric=0.05)
    usual = CropDataset(tmp_path, config)
    resident = CropDataset(tmp_path, replace(config, cache_on_device=True), "cuda")
    for i in range(12):
        sample = resident[i]
        assert all(tensor.is_cuda for tensor in sample.values())
        assert all(torch.equal(value, sample[name].cpu()) for name, value in usual[i].items())
