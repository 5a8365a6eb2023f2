"""The loop: it learns, resumes exactly, survives what is not finite, and reads recipes strictly."""

import csv
import dataclasses
import math
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from factories.moving_textures import clip_in_memory, write_clip
from factories.recipes import TINY_OPTIONS, tiny_recipe

from asled_cli.errors import AsledError, InterruptedRunError, UsageError, WeightsError
from asled_cli.lab.training import loop as training
from asled_cli.lab.training import losses
from asled_cli.lab.training.checkpoints import read_checkpoint, write_checkpoint
from asled_cli.lab.training.loop import train, update
from asled_cli.lab.training.recipe import (
    config_from_table,
    config_to_table,
    read_recipe,
    read_table,
)
from asled_cli.lab.training.run import FLOW, read_flow_recipe
from asled_cli.lab.training.state import TrainState, begin
from asled_cli.lab.training_data.cached_clip import read_clip, stack_samples, to_inputs, to_tensors
from asled_cli.lab.training_data.crops import CropDataset
from asled_cli.metrics.psnr_ssim import ssim
from asled_cli.nets.blend import swap
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

TINY = tiny_recipe(steps=6, warmup_steps=2, checkpoint_every=3, validate_every=3)
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for part, seeds in (("train", (0, 1)), ("valid", (9,))):
        (folder / part).mkdir(parents=True)
        for seed in seeds:
            write_clip(folder / part / f"{seed}.npz", seed=seed, frames=4, height=36, width=40)
    return folder


def same_weights(one: TrainState, other: TrainState) -> bool:
    pairs = [
        *zip(one.network.parameters(), other.network.parameters(), strict=True),
        *zip(one.average.parameters(), other.average.parameters(), strict=True),
    ]
    return all(torch.equal(a, b) for a, b in pairs)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_resumed_run_equals_uninterrupted_run(clips: Path, tmp_path: Path) -> None:
    whole = train(TINY, clips, tmp_path / "whole")
    train(TINY, clips, tmp_path / "parts", stop_at=3)
    resumed = train(TINY, clips, tmp_path / "parts", resume=True)
    assert resumed.step == 6 and same_weights(whole, resumed)
    for log in ("loss.csv", "validation.csv"):
        kept = [{k: v for k, v in row.items() if k != "seconds"} for row in rows(tmp_path / "parts" / log)]
        assert kept == [
            {k: v for k, v in r.items() if k != "seconds"} for r in rows(tmp_path / "whole" / log)
        ]


def test_interrupt_leaves_a_checkpoint(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = training.update

    def interrupted(progress: TrainState, batch: Any) -> tuple[float, float]:
        if progress.step == 4:
            raise KeyboardInterrupt
        return update(progress, batch)

    monkeypatch.setattr(training, "update", interrupted)
    with pytest.raises(InterruptedRunError, match="Stopped after step 4 of 6"):
        train(TINY, clips, tmp_path / "run")
    monkeypatch.undo()
    resumed = train(TINY, clips, tmp_path / "run", resume=True)
    assert same_weights(resumed, train(TINY, clips, tmp_path / "whole"))


@pytest.mark.slow
def test_learns_one_clip() -> None:
    """A tiny network fits one clip to 35 dB, 7 dB above the swap."""
    batch = stack_samples([to_tensors(clip_in_memory(frames=4, height=32, width=32, speed=3))])
    config = dataclasses.replace(
        TINY, options={**TINY_OPTIONS, "fine_channels": 16}, steps=130, learning_rate=6e-3, warmup_steps=20
    )
    torch.manual_seed(0)
    progress = begin(config, zoo.build(config.network, config.options), "cpu")
    for _ in range(config.steps):
        training.update(progress, batch)
    inputs, truth = to_inputs(batch, torch.device("cpu"))
    with torch.inference_mode():
        restored, _ = progress.network(inputs)
    before = losses.psnr_per_frame(swap(inputs), truth).mean()
    after = losses.psnr_per_frame(restored, truth).mean()
    assert after > 35 and after > before + 7


def test_nan_stops_and_keeps_the_last_good_checkpoint(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = training.objective
    calls = 0

    def breaks_after_three(*given: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return objective(*given) * (math.nan if calls > 3 else 1)

    monkeypatch.setattr(training, "objective", breaks_after_three)
    with pytest.raises(AsledError, match="not finite for 11 steps up to step 14"):
        train(dataclasses.replace(TINY, steps=40), clips, tmp_path / "run")
    stored = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert stored["step"] == 3
    assert all(bool(v.isfinite().all()) for v in stored["network"].values())


def test_failed_write_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        write_checkpoint(path, {"step": (i for i in range(2))})
    assert read_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_files_of_others_in_the_folder_of_a_run_are_kept(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights.safetensors").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"weights\.safetensors exists, and asled did not write it"):
        train(TINY, clips, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"weights.safetensors"}


def test_an_old_run_is_not_overwritten(clips: Path, tmp_path: Path) -> None:
    train(TINY, clips, tmp_path / "run", stop_at=3)
    with pytest.raises(UsageError, match="holds a checkpoint already"):
        train(TINY, clips, tmp_path / "run")
    other = dataclasses.replace(TINY, options={**TINY_OPTIONS, "fine_channels": 16})
    with pytest.raises(WeightsError, match="not asled-fast"):
        train(other, clips, tmp_path / "run", resume=True)
    with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
        train(TINY, clips, tmp_path / "nothing", resume=True)


def test_starts_from_other_weights(clips: Path, tmp_path: Path) -> None:
    train(TINY, clips, tmp_path / "first")
    first = tmp_path / "first" / "weights.safetensors"
    config = dataclasses.replace(TINY, init=first, learning_rate=0.0, final_learning_rate=0.0)
    second = train(config, clips, tmp_path / "second", stop_at=1)
    for name, value in weights.load(first).state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value)


def test_logs_and_weights_are_left(clips: Path, tmp_path: Path) -> None:
    train(TINY, clips, tmp_path / "run")
    assert [row["step"] for row in rows(tmp_path / "run" / "loss.csv")] == list("123456")
    scores = rows(tmp_path / "run" / "validation.csv")
    assert [row["step"] for row in scores] == ["3", "6"]
    assert all(float(row["swap_db"]) > 20 and float(row["network_db"]) > 20 for row in scores)
    assert weights.load(tmp_path / "run" / "best.safetensors").config.fine_channels == 8


def test_learning_rate_rises_and_falls() -> None:
    config = dataclasses.replace(TINY, steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [training.learning_rate(config, step) for step in range(100)]
    assert rates[0] == 0.1 and max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.1 <= rates[-1] < 0.11


def test_the_clock_may_end_a_run(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate, end, last validation and checkpoint follow the time; a resumed run has what is left of it."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: 0.5 * next(ticks)))
    config = dataclasses.replace(
        TINY, steps=1000, max_minutes=0.2, validate_every=1000, checkpoint_every=1000
    )
    progress = train(config, clips, tmp_path / "run", stop_at=3)
    assert progress.step == 3 and 3 <= progress.seconds < 12 and not progress.ended
    resumed = train(config, clips, tmp_path / "run", resume=True)
    assert resumed.ended and 12 <= resumed.seconds < 16 and 6 < resumed.step < 24
    assert train(config, clips, tmp_path / "run", resume=True).step == resumed.step
    applied = resumed.optimizer.param_groups[0]["lr"]
    assert applied < 0.1 * config.learning_rate
    rates = [float(row["rate"]) for row in rows(tmp_path / "run" / "loss.csv")][config.warmup_steps :]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.1 * rates[0]
    assert [row["step"] for row in rows(tmp_path / "run" / "validation.csv")] == [str(resumed.step)]
    assert weights.load(tmp_path / "run" / "weights.safetensors").config.fine_channels == 8


def test_bf16_trains(clips: Path, tmp_path: Path) -> None:
    progress = train(dataclasses.replace(TINY, precision="bf16"), clips, tmp_path / "run", stop_at=2)
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in progress.network.parameters())


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_are_valid(path: Path) -> None:
    if read_table(path)["network"] == FLOW:
        assert read_flow_recipe(path).steps > 0
        return
    config = read_recipe(path)
    zoo.build(config.network, config.options)
    assert config_from_table(config_to_table(config)) == config


@pytest.mark.parametrize(
    "name", ["asled_fast_cpu", "asled_fast_gpu", "asled_cpu", "asled_paper", "asled_h200"]
)
def test_recipes_take_a_step(name: str, clips: Path) -> None:
    """Each with its own network, losses and settings, on two frames of 32 px."""
    small = ["samples.frames=[2,2]", "samples.crop_px=32", "samples.batch=1", "compile=false"]
    config = read_recipe(RECIPES / f"{name}.toml", small)
    sample = CropDataset(clips / "train", config.samples)[0]
    progress = begin(config, zoo.build(config.network, config.options), "cpu")
    before = [p.detach().clone() for p in progress.network.parameters()]
    loss, norm = update(progress, stack_samples([sample]))
    assert np.isfinite([loss, norm]).all() and norm > 0
    assert loss > 0 or config.losses.psnr  # which is minus decibels
    after = list(progress.network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network = 'asled-fast'\nsteps = 'many'", "steps is 'many', expected a whole number"),
        ("network = 'asled-fast'\nstep = 3", "step is no setting"),
        ("network = 'asled-fast'\n[losses]\nl1 = 1", "losses.l1 is no setting"),
        ("steps = 1000", "missing"),
        ("network = 'asled-fast'\nsteps = 10\nwarmup_steps = 10", "warmup_steps is 10"),
        ("network = 'asled-fast'\nprecision = 'int8'", "precision is 'int8'"),
        ("network = 'asled-fast'\nmax_minutes = -1", "max_minutes is -1"),
        ("network = 'asled-fast'\n[samples]\ncrop_px = 8\n[losses]\nssim = 1", "losses.ssim"),
        ("network", "cannot be read as a recipe"),
    ],
)
def test_wrong_recipes_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(tmp_path / "recipe.toml")


def test_losses_are_zero_only_for_the_truth() -> None:
    truth = torch.rand(1, 3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for loss in (losses.gradient_difference, losses.spectral_difference, losses.temporal_difference):
        assert loss(truth, truth) == 0 and loss(truth.flip(1), truth) > 0.01
    assert losses.charbonnier(truth, truth) == pytest.approx(1e-3)
    assert losses.negative_psnr(truth, truth) == pytest.approx(-50)
    assert losses.negative_psnr(truth * 0 + 0.6, truth * 0 + 0.5) == pytest.approx(-20, abs=0.01)
    assert losses.temporal_difference(truth[:, :1], truth[:, :1] + 1) == 0
    torch.testing.assert_close(
        losses.psnr_per_frame(truth * 0 + 0.6, truth * 0 + 0.5), torch.full((1, 3), 20.0)
    )


def test_structural_loss_is_what_the_metric_says() -> None:
    truth = torch.rand(2, 3, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    restored = (0.6 * truth + 0.1).requires_grad_()
    pairs = [
        (one.permute(1, 2, 0).double().numpy(), other.permute(1, 2, 0).double().numpy())
        for one, other in zip(restored.detach().flatten(0, 1), truth.flatten(0, 1), strict=True)
    ]
    expected = 1 - fmean(ssim(one, other) for one, other in pairs)
    loss = losses.structural_dissimilarity(restored, truth)
    assert loss.item() == pytest.approx(expected, abs=1e-5) and expected > 0.05
    assert losses.structural_dissimilarity(truth, truth).item() == pytest.approx(0, abs=1e-6)
    flat = torch.zeros(1, 1, 3, 16, 16, requires_grad=True)
    losses.structural_dissimilarity(flat, truth[:1, :1, :, :16, :16]).backward()  # type: ignore[no-untyped-call]
    assert flat.grad is not None and bool(flat.grad.isfinite().all())


def test_cached_clip_round_trip(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.npz", frames=3, height=33, width=30)
    assert read_clip(tmp_path / "a.npz").guide.shape == (3, 9, 8, 6)
