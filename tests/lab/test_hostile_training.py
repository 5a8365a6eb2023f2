"""Training on damaged or hostile files: checkpoints, cached clips, recipes; runs that are not finite."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories.moving_textures import make_clip
from safetensors.torch import save_file

from asled_cli.errors import AsledError, InputError, UsageError, WeightsError
from asled_cli.lab.training import loop
from asled_cli.lab.training.checkpoints import read_checkpoint, write_checkpoint
from asled_cli.lab.training.loop import train
from asled_cli.lab.training.monitor import SkippedSteps
from asled_cli.lab.training.recipe import TrainConfig, config_from_table
from asled_cli.lab.training.state import _load_flow, resume_run, save_run, start_run
from asled_cli.lab.training_data import cached_clip
from asled_cli.lab.training_data.cached_clip import read_clip
from asled_cli.lab.training_data.crops import SampleConfig
from asled_cli.nets.spynet import SpyNet

OPTIONS = {"fine_channels": 4, "coarse_channels": 4, "backward_blocks": 1, "forward_blocks": 1}
TINY = TrainConfig(
    network="asled-fast",
    options={**OPTIONS, "decoder_blocks": 1, "fusion_radius": 0},
    samples=SampleConfig(frames=(2, 2), crop_px=16, batch=1),
    steps=4,
    warmup_steps=1,
    workers=0,
)


class Evil:
    """Runs a command when it is unpickled by a reader that lets it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.place}'",)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = start_run(TINY, tmp_path, "cpu")
    for parameter in state.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimizer.step()
    save_run(state, tmp_path)
    return tmp_path / "checkpoint.pt"


def replace(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: {**content, key: change(content[key])}


def first_of(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(tensors: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(tensors))
        return {**tensors, name: change(tensors[name])}

    return changed


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "config": replace("config", lambda _: 5),
    "unknown setting": replace("config", lambda config: {**config, "older": 1}),
    "setting of another type": replace("config", lambda config: {**config, "steps": "many"}),
    "step": replace("step", lambda _: "three"),
    "negative step": replace("step", lambda _: -1),
    "best": replace("best_db", lambda _: None),
    "size": replace("network", first_of(lambda tensor: tensor[:1])),
    "name": replace("network", lambda tensors: {**tensors, "more": torch.zeros(1)}),
    "integers": replace("average", first_of(lambda tensor: tensor.to(torch.int16))),
    "number": replace("network", first_of(lambda _: 5)),
    "NaN": replace("average", first_of(lambda tensor: tensor * float("nan"))),
    "optimizer": replace("optimizer", lambda _: {}),
    "groups": replace("optimizer", lambda stored: {**stored, "param_groups": []}),
    "state": replace("optimizer", lambda s: {**s, "state": {0: {"exp_avg": torch.zeros(1), "step": 1}}}),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_checkpoints_of_other_content(name: str, checkpoint: Path) -> None:
    write_checkpoint(checkpoint, CHANGES[name](read_checkpoint(checkpoint)))
    with pytest.raises(WeightsError, match=r"checkpoint\.pt"):
        resume_run(checkpoint, TINY, "cpu")


@pytest.mark.parametrize("key", ["config", "network", "average", "optimizer", "step", "best_db"])
def test_checkpoints_without_a_part(key: str, checkpoint: Path) -> None:
    write_checkpoint(checkpoint, {k: v for k, v in read_checkpoint(checkpoint).items() if k != key})
    with pytest.raises(WeightsError, match=f"no complete checkpoint of a training run: {key} is"):
        resume_run(checkpoint, TINY, "cpu")


def test_damaged_checkpoints_and_code_in_them(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    compressed = tmp_path / "bomb.pt"
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    torch.save({"config": Evil(tmp_path / "pwned")}, tmp_path / "evil.pt")
    contents = [
        b"", whole[: len(whole) // 2], whole[:900] + b"\xff" * 200 + whole[1100:], compressed.read_bytes(),
        pickle.dumps({"config": Evil(tmp_path / "pwned")}), (tmp_path / "evil.pt").read_bytes(),
    ]  # fmt: skip
    for content in contents:
        checkpoint.write_bytes(content)
        with pytest.raises(WeightsError, match=r"cannot be read as a checkpoint: [^\n]+\.$"):
            resume_run(checkpoint, TINY, "cpu")
    assert not (tmp_path / "pwned").exists()


def write_cached(path: Path, **changes: Any) -> Path:
    np.savez(path, **{**make_clip(frames=3, height=16, width=16), **changes})
    return path


GOOD = (3, 16, 16, 3)
CLIPS: dict[str, dict[str, Any]] = {
    "one dimension": {"target": np.zeros(8, np.uint8)},
    "no frame": {"target": np.zeros((0, 16, 16, 3), np.uint8)},
    "float64": {"target": np.zeros(GOOD)},
    "NaN": {"guide": np.full((3, 4, 4, 6), np.nan, np.float16)},
    "infinite": {"flow_next": np.full((3, 4, 4, 2), np.inf, np.float16)},
    "integers": {"guide": np.zeros((3, 4, 4, 6), np.int16)},
    "channels": {"guide": np.zeros((3, 4, 4, 5), np.float16)},
    "reset": {"reset": np.zeros(2, bool)},
    "words": {"truth": np.array(["a", "b"])},
}


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_cached_clips_of_other_content(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0\.npz is not a cached training clip"):
        read_clip(write_cached(tmp_path / "0.npz", **CLIPS[name]))


def test_cached_clips_that_unpack_to_more_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_clip, "free_memory", lambda: 1000)
    with pytest.raises(InputError, match="unpacks to"):
        read_clip(write_cached(tmp_path / "0.npz"))


def test_objects_in_cached_clips_are_never_read(tmp_path: Path) -> None:
    path = write_cached(tmp_path / "0.npz", truth=np.array([Evil(tmp_path / "pwned")], dtype=object))
    with pytest.raises(InputError, match="is not a cached training clip"):
        read_clip(path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"data": 5}, "data is 5, expected a table"),
        ({"network": 5}, "network is 5, expected a text"),
        ({"options": [1]}, r"options is \[1\], expected a table"),
        ({"init": 5}, "init is 5, expected a name of a file"),
        ({"samples": {"frames": [3]}}, r"samples.frames is \[3\], expected a list of 2 numbers"),
        ({"samples": {"frames": ["a", "b"]}}, "samples.frames is"),
        ({"samples": {"batch": 0}}, "samples.batch is 0, expected at least 1"),
        ({"samples": {"rescan_every": 0}}, "samples.rescan_every is 0"),
        ({"samples": {"reference_dropout": 2}}, "samples.reference_dropout is 2, expected 0 to 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number"),
        ({"compile": 1}, "compile is 1, expected true or false"),
        ({"precision": "int8"}, "precision is 'int8', expected one of fp32, bf16"),
        ({"betas": [0.9]}, r"betas is \[0\.9\], expected a list of 2 numbers"),
        ({"max_minutes": float("inf")}, "max_minutes is inf"),
    ],
)
def test_recipes_of_other_content(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config_from_table({"network": "asled-fast", **table})


def test_a_short_run_that_is_not_finite_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four steps are skipped: fewer than end a run at once, and yet nothing was learned."""
    (tmp_path / "clips").mkdir()
    write_cached(tmp_path / "clips" / "0.npz")
    monkeypatch.setattr(loop, "objective", lambda restored, *_: restored.sum() * float("nan"))
    with pytest.raises(AsledError, match="not finite in 4 of 4 steps"):
        train(TINY, tmp_path / "clips", tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_few_skipped_steps_do_not_end_a_run(tmp_path: Path) -> None:
    skipped = SkippedSteps(tmp_path)
    for step in range(20):
        skipped.note(step, step % 3 > 0)
    skipped.check_share()


def test_weights_of_a_flow_network_are_checked(tmp_path: Path) -> None:
    network, path = SpyNet(), tmp_path / "spynet.safetensors"
    good = network.state_dict()
    first = next(iter(good))
    for bad in (
        {},
        {**good, first: good[first] * float("nan")},
        {**good, first: good[first][:1].clone()},
        {**good, first: good[first].to(torch.int16)},
    ):
        save_file(bad, path)
        with pytest.raises(WeightsError, match="holds no weights of SPyNet: "):
            _load_flow(network, path)
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="holds no weights of SPyNet: "):
        _load_flow(network, path)
