"""State of a training run between two steps: start, save and resume."""

import copy
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asled_cli.errors import AsledError, UsageError, WeightsError
from asled_cli.lab.training.checkpoints import (
    KEPT,
    claim_folder,
    read_checkpoint,
    restore_module,
    restore_optimizer,
    write_checkpoint,
)
from asled_cli.lab.training.matching_loss import matches
from asled_cli.lab.training.recipe import TrainConfig, config_from_table, config_to_table
from asled_cli.lab.training.warm_start import are_set_alike, copy_deepened
from asled_cli.metrics.lpips import load_module
from asled_cli.nets.spynet import SpyNet
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.runtime.distributed import ALONE, Team
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo
from asled_cli.zoo.weight_file import read_tensors

FILES = (
    "weights.safetensors", "best.safetensors", "loss.csv", "validation.csv", "curves.png", "strip.png"
)  # fmt: skip

log = logging.getLogger(__name__)

_CONTENT = {
    "config": dict,
    "network": dict,
    "average": dict,
    "optimizer": dict,
    "step": int,
    "best_db": float,
}


@dataclass(slots=True)
class TrainState:
    """State of a run between two steps: the content of a checkpoint."""

    config: TrainConfig
    network: Any
    average: Any
    optimizer: torch.optim.Optimizer
    trained: Any
    """`network` as updates call it: compiled, or with gradients shared over a team."""
    team: Team = ALONE
    teacher: Any = None
    lpips: Any = None
    """The distance of `losses.perceptual`, if it has a weight."""
    step: int = 0
    seconds: float = 0.0
    """Since the first step, earlier calls included; where the recipe sets `max_minutes`, the same in all
    processes."""
    best_db: float = -math.inf
    scores: dict[str, float] = field(default_factory=dict)
    """The last validation of this call."""

    @property
    def ended(self) -> bool:
        """Return whether the recipe asks for no further step."""
        limit = 60 * self.config.max_minutes
        return self.step >= self.config.steps or 0 < limit <= self.seconds


def start_run(config: TrainConfig, out: Path, device: str, team: Team = ALONE) -> TrainState:
    """Start a new run, with random weights or those of `config.init`.

    Raises UsageError if `out` has a run already, or other files with the names of the run's.
    """
    if (out / "checkpoint.pt").exists():
        raise UsageError(f"{out} holds a checkpoint already.", "Pass --resume, or choose another folder.")
    claim_folder(out, FILES)
    torch.manual_seed(config.samples.seed)
    network = zoo.build(config.network, config.options)
    if config.init:
        _load_initial(network, config.init)
    if config.init_flow:
        _load_flow(network, config.init_flow)
    return begin(config, network, device, team)


def begin(config: TrainConfig, network: Any, device: str, team: Team = ALONE) -> TrainState:
    """Return the initial state of a run that trains `network`."""
    network = network.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    flow = set(flow_parameters(network))
    if not flow and (config.flow_frozen_steps or config.flow_rate_factor != 1.0 or config.init_flow):
        raise UsageError(f"{config.network} has no flow network: init_flow and flow_* mean nothing for it.")
    if config.losses.matching and not matches(network):
        raise UsageError(f"{config.network} has no matching: losses.matching means nothing for it.")
    known = getattr(network, "EXTRA_LOSSES", ())
    if unknown := [name for name in config.losses.extra if name not in known]:
        raise UsageError(
            f"losses.extra has {unknown[0]!r}, {config.network} knows: {', '.join(known) or 'none'}."
        )
    if config.train_only:
        _freeze_others(network, config.train_only)
    rest = [p for p in network.parameters() if p not in flow and p.requires_grad]
    groups = [{"params": rest, "factor": 1.0}]
    if flow:
        own = [p for p in network.parameters() if p in flow]
        if config.flow_frozen_steps >= config.steps:  # it never learns: its gradients need not be computed
            for parameter in own:
                parameter.requires_grad_(False)
        groups.append({"params": own, "factor": config.flow_rate_factor})
    optimizer = torch.optim.AdamW(
        groups, config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )
    trained = team.wrap(torch.compile(network) if config.compile else network)
    teacher = None
    if config.teacher is not None:
        teacher = weights.load(_file_of(config.teacher, zoo.PUBLISHED)).to(device).requires_grad_(False)
    lpips = None
    if config.losses.perceptual:
        lpips = load_module(config.losses.perceptual_backbone).to(device)
    return TrainState(config, network, average, optimizer, trained, team, teacher, lpips)


def _freeze_others(network: Any, part: str) -> None:
    """Freeze all but the part of this name. Raises UsageError if there is none."""
    parts = dict(network.named_children())
    if part not in parts:
        raise UsageError(f"train_only is {part!r}, but the parts of the network are: {', '.join(parts)}.")
    network.requires_grad_(False)
    parts[part].requires_grad_(True)


def flow_parameters(network: Any) -> list[torch.nn.Parameter]:
    """Return the parameters of the flow networks inside a network."""
    flows = [module for module in network.modules() if isinstance(module, SpyNet)]
    return [parameter for flow in flows for parameter in flow.parameters()]


def _file_of(path: Path, published: Mapping[str, zoo.PublishedFile]) -> Path:
    """Return the weight file `path`, or the one published under that name."""
    if str(path) in published and not path.exists():
        return weights.find_file(published[str(path)])
    return path


def _load_initial(network: Any, path: Path) -> None:
    """Load the weights in `path` into `network`, which may have more blocks (`copy_deepened`)."""
    initial = weights.load(_file_of(path, zoo.PUBLISHED))
    if not are_set_alike(initial, network):
        raise WeightsError(f"{path} holds {initial.config}, the recipe wants {network.config}.")
    try:
        copy_deepened(initial, network)
    except ValueError as error:
        raise WeightsError(f"{path} has more residual blocks than the recipe: {error}") from error


def _load_flow(network: Any, path: Path) -> None:
    """Load the weights in `path`, or those published under that name, into every flow network."""
    path = _file_of(path, zoo.PARTS)
    for module in network.modules():
        if isinstance(module, SpyNet):
            try:
                module.load_state_dict(read_tensors(path, module, "spynet"))
            except WeightsError as error:
                raise WeightsError(
                    f"{path} holds no weights of SPyNet: {error.message}", "Train some: flow_cpu.toml."
                ) from error


def resume_run(path: Path, config: TrainConfig, device: str, team: Team = ALONE) -> TrainState:
    """Return the run in the checkpoint `path`. Raises WeightsError if unreadable or of another network."""
    stored = read_checkpoint(path, _CONTENT)
    try:
        before = config_from_table(stored["config"])
    except AsledError as error:
        raise WeightsError(f"{path} has a config that this version does not know: {error.message}") from error
    if (before.network, before.options) != (config.network, config.options):
        raise WeightsError(
            f"{path} is of {before.network} {before.options}, not {config.network} {config.options}."
        )
    if before != config:
        log.warning("The recipe changed since the checkpoint; the run continues with the new one.")
    progress = begin(config, zoo.build(config.network, config.options), device, team)
    for part in ("network", "average"):
        restore_module(path, getattr(progress, part), stored[part])
    restore_optimizer(path, progress.optimizer, stored["optimizer"])
    for group, now in zip(progress.optimizer.param_groups, (1.0, config.flow_rate_factor), strict=False):
        group["factor"] = now
    progress.step, progress.best_db = stored["step"], float(stored["best_db"])
    progress.seconds = float(stored.get("seconds", 0.0))
    if team.leads:
        log.info("Resumed after step %d.", progress.step)
    return progress


def save_run(progress: TrainState, out: Path) -> None:
    """Write the checkpoint and the averaged weights, in the first process of a team only.

    Raises AsledError, and writes nothing, if a weight is not finite or the disk is full.
    """
    if not progress.team.leads:
        return
    if not all(bool(value.isfinite().all()) for value in progress.network.state_dict().values()):
        raise AsledError(
            f"A weight is not finite after step {progress.step}; the last good checkpoint is kept in {out}.",
            "Resume it with a lower learning rate.",
        )
    content = {
        "config": config_to_table(progress.config),
        "network": progress.network.state_dict(),
        "average": progress.average.state_dict(),
        "optimizer": progress.optimizer.state_dict(),
        "step": progress.step,
        "seconds": progress.seconds,
        "best_db": progress.best_db,
    }
    write_checkpoint(out / "checkpoint.pt", content)
    save_weights(progress, out / "weights.safetensors", {"step": str(progress.step)})


def save_weights(progress: TrainState, path: Path, notes: Mapping[str, str]) -> None:
    """Write the averaged weights. Raises AsledError if the disk is full."""
    with explain_full_disk(path, KEPT):
        weights.save(path, progress.config.network, progress.average, notes=notes)
