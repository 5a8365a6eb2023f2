"""`asled train` in one call: chooses the trainer that the recipe needs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asled_cli.errors import UsageError
from asled_cli.lab.training.flow_pretraining import FlowTrainConfig, train_flow
from asled_cli.lab.training.loop import train
from asled_cli.lab.training.recipe import TrainConfig, build_config, parse, read_recipe, read_table
from asled_cli.lab.training_data.prepare import prepare
from asled_cli.progress import Report, ignore
from asled_cli.runtime.device import explain_out_of_memory, resolve_device
from asled_cli.runtime.distributed import join_team
from asled_cli.runtime.signals import StopFlag

log = logging.getLogger(__name__)

FLOW = "flow"
"""The network whose recipe is a FlowTrainConfig: SPyNet, pre-trained on pairs with exact flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """Settings of one call of `asled train`."""

    recipe: Path
    """TOML file."""
    data: Path
    """Training data; see `run_training`."""
    out: Path
    """Folder for checkpoints, weights and logs."""
    cache: Path | None = None
    """Folder of cached clips, which several runs can share; None: in `out`."""
    resume: bool = False
    """Resume from the checkpoint in `out`."""
    changes: Sequence[str] = ()
    """Settings that override the recipe's, NAME=VALUE."""
    tensorboard: bool = False
    """Also write TensorBoard events, in `out`/tensorboard."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """Result of a run."""

    step: int
    """Updates in total, earlier calls included."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """The last validation, name to value; empty where there was none."""
    files: Sequence[Path] = ()
    """Files of the run for use."""
    leads: bool = True
    """Whether this process is the one of a team that reports."""


def run_training(job: TrainJob, report: Report = ignore) -> TrainResult:
    """Train the network of the recipe and return a summary. Raises an AsledError for the user.

    network = "flow": SPyNet, `data` is a folder of sharp photos. Any other network: what `prepare` reads.
    """
    if not job.data.exists():
        raise UsageError(f"--data is {job.data}, which does not exist.")
    device = str(resolve_device(job.device))
    with StopFlag() as stop, explain_out_of_memory():
        if read_table(job.recipe, job.changes).get("network") == FLOW:
            return _train_flow(job, device, report, stop)
        config = read_recipe(job.recipe, job.changes)
        with join_team(device) as team:
            if team.leads:
                _prepare(job, config, report, stop)
            team.wait()
            clips = _prepare(job, config, ignore, stop)
            if team.size > 1 and device.startswith("cuda"):
                device = f"cuda:{team.local_rank}"
            progress = train(
                config, clips, job.out, resume=job.resume, device=device, team=team,
                tensorboard=job.tensorboard, report=report if team.leads else ignore, check=stop.check,
            )  # fmt: skip
    names = (
        "weights.safetensors",
        "best.safetensors",
        "checkpoint.pt",
        "loss.csv",
        "validation.csv",
        "curves.png",
    )
    return TrainResult(
        step=progress.step, scores=progress.scores, files=_present(job.out, names), leads=team.leads
    )


def _prepare(job: TrainJob, config: TrainConfig, report: Report, stop: StopFlag) -> Path:
    """Return the folder of cached clips; existing ones are not made again."""
    cache, jobs = job.cache or job.out / "clips", max(1, config.workers)
    return prepare(job.data, cache, config.data, jobs=jobs, report=report, check=stop.check)


def read_flow_recipe(path: Path, changes: Sequence[str] = ()) -> FlowTrainConfig:
    """Return the recipe of a flow network, as `read_recipe` does for all others."""

    def build(table: Mapping[str, object]) -> FlowTrainConfig:
        return build_config(FlowTrainConfig, {k: v for k, v in table.items() if k != "network"})

    return parse(path, build, changes)


def _train_flow(job: TrainJob, device: str, report: Report, stop: StopFlag) -> TrainResult:
    config = read_flow_recipe(job.recipe, job.changes)
    score = train_flow(
        config, job.data, job.out, resume=job.resume, device=device, report=report, check=stop.check
    )
    names = ("spynet.safetensors", "checkpoint.pt", "scores.csv")
    scores = {f"end-point error of {name}, px": value for name, value in score._asdict().items()}
    return TrainResult(step=config.steps, scores=scores, files=_present(job.out, names))


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]
