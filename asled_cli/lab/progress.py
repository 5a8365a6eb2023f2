"""A training run between two steps: begun, saved and resumed."""

import copy
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asled_cli import weights, zoo
from asled_cli.errors import UsageError, WeightsError
from asled_cli.lab.checkpoints import read_checkpoint, write_checkpoint
from asled_cli.lab.recipe import TrainConfig, config_from_table, config_to_table

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """A run between two steps: all that a checkpoint holds."""

    config: TrainConfig
    network: Any
    average: Any
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_db: float = -math.inf
    scores: dict[str, float] = field(default_factory=dict)
    """The last validation of this call."""


def start_run(config: TrainConfig, out: Path, device: str) -> Progress:
    """A new run, weights fresh or from `config.init`. Raises UsageError if `out` holds a run already."""
    if (out / "checkpoint.pt").exists():
        raise UsageError(f"{out} holds a checkpoint already.", "Pass --resume, or choose another folder.")
    torch.manual_seed(config.samples.seed)
    network = zoo.build(config.network, config.options)
    if config.init:
        initial = weights.load(config.init)
        if initial.config != network.config:
            raise WeightsError(f"{config.init} holds {initial.config}, the recipe wants {network.config}.")
        network.load_state_dict(initial.state_dict())
    return begin(config, network, device)


def begin(config: TrainConfig, network: Any, device: str) -> Progress:
    """The start of a run that trains `network`."""
    network = network.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )
    return Progress(config, network, average, optimizer)


def resume_run(path: Path, config: TrainConfig, device: str) -> Progress:
    """The run in the checkpoint `path`. Raises WeightsError if it cannot be read or is of another network."""
    stored = read_checkpoint(path)
    before = config_from_table(stored["config"])
    if (before.network, before.options) != (config.network, config.options):
        raise WeightsError(
            f"{path} is of {before.network} {before.options}, not {config.network} {config.options}."
        )
    if before != config:
        log.warning("The recipe changed since the checkpoint; the run goes on with the new one.")
    progress = begin(config, zoo.build(config.network, config.options), device)
    progress.network.load_state_dict(stored["network"])
    progress.average.load_state_dict(stored["average"])
    progress.optimizer.load_state_dict(stored["optimizer"])
    progress.step, progress.best_db = stored["step"], stored["best_db"]
    log.info("Resumed after step %d.", progress.step)
    return progress


def save_run(progress: Progress, out: Path) -> None:
    """Write the checkpoint and, for use, the averaged weights."""
    content = {
        "config": config_to_table(progress.config),
        "network": progress.network.state_dict(),
        "average": progress.average.state_dict(),
        "optimizer": progress.optimizer.state_dict(),
        "step": progress.step,
        "best_db": progress.best_db,
    }
    write_checkpoint(out / "checkpoint.pt", content)
    weights.save(
        out / "weights.safetensors",
        progress.config.network,
        progress.average,
        notes={"step": str(progress.step)},
    )
