"""What a recipe can ask for beside the plain loop: frozen flow, teacher, compile; and what a run shows."""

import dataclasses
import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from factories.moving_textures import write_clip
from factories.networks import fixed_lpips
from factories.recipes import TINY_OPTIONS, tiny_recipe
from safetensors.torch import load_file, save_file

from asled_cli.cli import app
from asled_cli.errors import AsledError, UsageError, WeightsError
from asled_cli.lab.training import loop as training
from asled_cli.lab.training import losses
from asled_cli.lab.training import state as progress_module
from asled_cli.lab.training.checkpoints import read_checkpoint, write_checkpoint
from asled_cli.lab.training.loop import train
from asled_cli.lab.training.monitor import Watch
from asled_cli.lab.training.recipe import LossConfig
from asled_cli.lab.training.state import flow_parameters, save_run, start_run
from asled_cli.lab.training.validation import Score
from asled_cli.metrics.lpips import distance
from asled_cli.nets.spynet import SpyNet
from asled_cli.runtime.distributed import ALONE
from asled_cli.runtime.processes import batches_of
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

ASLED = {"channels": 8, "trunk_blocks": 1, "decoder_blocks": 1, "search": {"radius": 2}}
TINY = tiny_recipe(frames=(2, 2), batch=1, warmup_steps=0)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for part in ("train", "valid"):
        (folder / part).mkdir(parents=True)
        write_clip(folder / part / "0.npz", seed=len(part), frames=4, height=36, width=40)
    return folder


def test_the_flow_network_is_frozen_and_then_learns_slower(clips: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    flow = SpyNet()
    save_file(flow.state_dict(), tmp_path / "spynet.safetensors")
    config = dataclasses.replace(
        TINY, network="asled", options=ASLED, flow_frozen_steps=2, flow_rate_factor=0.25, weight_decay=0.1,
        init_flow=tmp_path / "spynet.safetensors", learning_rate=1e-3,
    )  # fmt: skip
    frozen = train(config, clips, tmp_path / "run", stop_at=2)
    for found, given in zip(flow_parameters(frozen.network), flow.parameters(), strict=True):
        assert torch.equal(found, given)
    learnt = train(config, clips, tmp_path / "run", resume=True, stop_at=3)
    assert any(
        not torch.equal(found, given)
        for found, given in zip(flow_parameters(learnt.network), flow.parameters(), strict=True)
    )
    rest, own = (group["lr"] for group in learnt.optimizer.param_groups)
    assert own == pytest.approx(0.25 * rest)


@pytest.mark.slow
def test_a_flow_network_that_never_learns_costs_no_gradients(clips: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, network="asled", options=ASLED, flow_frozen_steps=4, steps=4)
    begun = start_run(config, tmp_path / "run", "cpu")
    given = [parameter.clone() for parameter in flow_parameters(begun.network)]
    done = train(config, clips, tmp_path / "run", stop_at=1)
    assert not any(parameter.requires_grad for parameter in flow_parameters(done.network))
    again = train(dataclasses.replace(config, steps=6), clips, tmp_path / "run", resume=True)
    found = list(flow_parameters(again.network))
    assert all(parameter.requires_grad for parameter in found)  # a longer recipe wakes it
    assert not all(map(torch.equal, found, given))


def test_the_flow_network_that_comes_with_the_program_is_a_start(clips: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, network="asled", options=ASLED, init_flow=Path("spynet"))
    begun = start_run(config, tmp_path / "run", "cpu")
    held = load_file(weights.find_file(zoo.PARTS["spynet"]))
    for name, found in begun.network.flow.named_parameters():
        assert torch.equal(found, held[name].float())


def test_published_networks_go_by_their_names(tmp_path: Path) -> None:
    held = zoo.PUBLISHED["asled-fast"]
    config = dataclasses.replace(
        TINY, options=held.options, init=Path(held.name), teacher=Path(held.name),
        losses=LossConfig(distillation=1.0),
    )  # fmt: skip
    begun = start_run(config, tmp_path / "run", "cpu")
    expected = weights.load(weights.find(held.name)).state_dict()
    for network in (begun.network, begun.teacher):
        found = network.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_flow_settings_need_a_flow_network(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="asled-fast has no flow network"):
        train(dataclasses.replace(TINY, flow_frozen_steps=2), clips, tmp_path / "run")
    config = dataclasses.replace(TINY, network="asled", options=ASLED, init_flow=tmp_path / "none")
    with pytest.raises(WeightsError, match="holds no weights of SPyNet"):
        train(config, clips, tmp_path / "other")


@pytest.mark.slow
def test_a_student_moves_towards_its_teacher(clips: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    teacher = zoo.build("asled-fast", {**TINY_OPTIONS, "fine_channels": 16})
    torch.nn.init.constant_(teacher.decoder.head.bias, 0.05)
    weights.save(tmp_path / "teacher.safetensors", "asled-fast", teacher)
    taught = LossConfig(charbonnier=0.0, distillation=1.0)
    config = dataclasses.replace(
        TINY, teacher=tmp_path / "teacher.safetensors", losses=taught, steps=30, learning_rate=1e-2
    )
    train(config, clips, tmp_path / "run")
    lines = (tmp_path / "run" / "loss.csv").read_text().splitlines()[1:]
    first, last = (float(line.split(",")[1]) for line in (lines[0], lines[-1]))
    assert last < 0.5 * first
    with pytest.raises(UsageError, match="expected both or neither"):
        dataclasses.replace(TINY, losses=LossConfig(distillation=1.0))


def test_a_perceptual_loss_is_lowered(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the official heads on fixed random features, and nothing else."""
    monkeypatch.setattr(progress_module, "load_module", fixed_lpips)
    asked = LossConfig(charbonnier=0.0, perceptual=1.0, perceptual_backbone="alex")
    config = dataclasses.replace(TINY, losses=asked, steps=30, learning_rate=1e-2, validate_every=30)
    train(config, clips, tmp_path / "run")
    lines = (tmp_path / "run" / "loss.csv").read_text().splitlines()[1:]
    found = [float(line.split(",")[1]) for line in lines]
    assert 0 < np.mean(found[-5:]) < 0.9 * np.mean(found[:5])


def test_a_perceptual_loss_is_the_mean_of_lpips() -> None:
    lpips = fixed_lpips("alex")
    one, other = (torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    wanted = [
        distance(lpips, a.permute(1, 2, 0).numpy(), b.permute(1, 2, 0).numpy())
        for a, b in zip(one.flatten(0, 1), other.flatten(0, 1), strict=True)
    ]
    found = losses.perceptual_distance(one.requires_grad_(), other, lpips)
    assert found.item() == pytest.approx(np.mean(wanted), rel=1e-5)
    found.backward()
    assert one.grad is not None and bool((one.grad != 0).any())


def test_a_missing_backbone_is_one_sentence(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="backbone vgg16"):
        train(dataclasses.replace(TINY, losses=LossConfig(perceptual=0.1)), clips, tmp_path / "run")


def test_curves_and_strip_are_drawn(clips: Path, tmp_path: Path) -> None:
    train(TINY, clips, tmp_path / "run")
    curves = cv2.imread(str(tmp_path / "run" / "curves.png"))
    assert curves is not None and curves.shape == (640, 900, 3)
    assert (curves != 255).any(axis=2).mean() > 0.005
    strip = cv2.imread(str(tmp_path / "run" / "strip.png"))
    assert strip is not None and strip.shape == (36, 4 * 40, 3)


def test_without_matplotlib_the_curves_are_left_out_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    watch = Watch(tmp_path, 0)
    watch.score(1, Score(*[1.0] * len(Score._fields)), np.zeros((4, 4, 3), np.uint8))
    assert "asled[plots]" in caplog.text and not (tmp_path / "curves.png").exists()
    assert (tmp_path / "validation.csv").read_text().count("\n") == 2


def test_tensorboard_is_missed_with_a_sentence(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="needs the package tensorboard"):
        train(TINY, clips, tmp_path / "run", tensorboard=True)
    assert "--tensorboard" in Path(app.__file__).with_name("train.py").read_text()


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_disk_that_takes_no_more_is_one_sentence_and_keeps_the_checkpoint(
    number: int, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"step": 1})

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(AsledError, match="what was there before is kept") as caught:
        write_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert os.strerror(number) in caught.value.message and ("Make room" in caught.value.hint) == full
    assert read_checkpoint(path) == {"step": 1} and len(list(tmp_path.iterdir())) == 1


def test_weights_that_are_not_finite_are_never_saved(clips: Path, tmp_path: Path) -> None:
    run = train(TINY, clips, tmp_path / "run")
    with torch.no_grad():
        next(iter(run.network.parameters()))[0] = torch.nan
    run.step = 99
    with pytest.raises(AsledError, match="not finite after step 99; the last good checkpoint is kept"):
        save_run(run, tmp_path / "run")
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 4


def test_processes_that_read_do_not_inherit_opencvs_threads(clips: Path) -> None:
    """A forked one waited for ever to end a thread pool whose threads stayed with its parent."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        picture, places = np.zeros((512, 512), np.float32), np.zeros((512, 512, 2), np.float32)
        cv2.remap(picture, places, None, cv2.INTER_LINEAR)  # starts the pool
        time.sleep(0.2)  # its threads go to sleep
        config = dataclasses.replace(TINY, workers=1)
        loader = training._loader(clips / "train", config, 0, 1, ALONE, "cpu")
        loader.timeout = 100.0
        with batches_of(loader) as batches:
            assert len(next(batches)["target"]) == config.samples.batch
    finally:
        cv2.setNumThreads(threads)
