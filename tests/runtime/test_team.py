"""Two processes with half of every batch each train as one process does with the whole batch."""

import csv
import dataclasses
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as processes
from factories.moving_textures import write_clip
from factories.recipes import tiny_recipe

from asled_cli.errors import InterruptedRunError, UsageError
from asled_cli.lab.training.checkpoints import read_checkpoint
from asled_cli.lab.training.loop import train
from asled_cli.lab.training.recipe import TrainConfig
from asled_cli.runtime.distributed import ALONE, Team, join_team

TINY = tiny_recipe(batch=4, validate_every=4)


def member(rank: int, port: int, clips: Path, out: Path, config: TrainConfig) -> None:
    """What torchrun starts."""
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    with join_team("cpu") as team:
        train(config, clips, out, team=team)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def losses(out: Path) -> list[float]:
    with (out / "loss.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    for part in ("train", "valid"):
        (clips / part).mkdir(parents=True)
        write_clip(clips / part / "0.npz", seed=len(part), frames=4, height=36, width=40)
    alone = train(TINY, clips, tmp_path / "alone")
    processes.spawn(member, (free_port(), clips, tmp_path / "team", TINY), nprocs=2)
    assert len(losses(tmp_path / "team")) == 4
    assert losses(tmp_path / "team") == pytest.approx(losses(tmp_path / "alone"), rel=1e-4)
    stored = read_checkpoint(tmp_path / "team" / "checkpoint.pt")
    assert stored["step"] == 4
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(stored["network"][name], value, atol=1e-5, rtol=1e-3)


def test_a_batch_that_cannot_be_shared_is_named() -> None:
    assert Team(0, 2).share(4) == 2
    with pytest.raises(UsageError, match=r"samples\.batch is 4, expected a multiple of the 3"):
        Team(0, 3).share(4)


def test_alone_nothing_is_exchanged() -> None:
    network = torch.nn.Linear(1, 1)
    assert ALONE.wrap(network) is network and ALONE.mean(torch.tensor(3.0)) == 3.0

    def stop() -> None:
        raise InterruptedRunError("stop")

    with pytest.raises(InterruptedRunError):
        ALONE.check(stop, torch.device("cpu"))
    assert dataclasses.replace(ALONE, rank=1).leads is False
