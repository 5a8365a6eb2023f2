"""Pre-training of SPyNet on synthetic pairs with exact flow, without third-party weights.

In the output folder: checkpoint.pt (everything to resume), spynet.safetensors, and scores.csv with the
end-point error on held-out photos, beside that of OpenCV's DIS flow and of zero flow.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asled_cli.errors import InputError, InterruptedRunError, UsageError
from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import to_grey
from asled_cli.lab.datasets.sources import Split, find_sources
from asled_cli.lab.synthesis.flow_pairs import FlowPair, degrade, make_pair, read_picture
from asled_cli.lab.training.checkpoints import (
    KEPT,
    CsvLog,
    claim_folder,
    read_checkpoint,
    restore_module,
    restore_optimizer,
    write_checkpoint,
)
from asled_cli.lab.training.monitor import SkippedSteps
from asled_cli.nets.spynet import LEVELS, SIZE_MULTIPLE, SpyNet
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.runtime.processes import START, batches_of, start_worker

log = logging.getLogger(__name__)

# Error of the flow that a level starts from: shift and noise in pixels of the coarser size.
GUIDE_SHIFT_PX = 0.4
GUIDE_NOISE_PX = 0.1
LEVEL_DECAY = 0.5  # weight of a size in the loss, relative to the next finer one
HELD_OUT_SEED = 1_000_003  # apart from the seeds of training pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTrainConfig:
    """Settings of a pre-training run."""

    steps: int = 40_000
    """Number of updates."""
    batch: int = 8
    """Pairs per update."""
    size_px: int = 160
    """Side of the frames; a multiple of 32."""
    motion_px: float = 24.0
    """Largest shift drawn; half of the shifts are under a quarter of it."""
    rate: float = 2e-4
    """Peak learning rate of Adam; it rises over the first 2 % and falls to zero."""
    guided_steps: int = 0
    """Updates at the start in which every level is given nearly the true flow of the level before and all
    levels have the same weights: none waits for another to learn, and each pair teaches all of them. From
    there each learns what the one before leaves to it."""
    halved_steps: int = 0
    """Updates at the start in which frames have half the size, for a quarter of the cost."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the convolutions; flows and weights stay float32."""
    seed: int = 1
    """Seed of the weights and of every draw."""
    score_every: int = 1000
    """Updates between scores and checkpoints."""
    score_pairs: int = 48
    """Held-out pairs per score."""
    workers: int = 0
    """Processes that make pairs; 0: the main process makes them between updates."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "score_every", "score_pairs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if self.size_px < SIZE_MULTIPLE or self.size_px % SIZE_MULTIPLE:
            raise UsageError(f"size_px is {self.size_px}, expected a multiple of {SIZE_MULTIPLE}.")


class SyntheticPairs(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Pairs of a run: number i is always the same, (3, S, S), (3, S, S), (2, S, S)."""

    def __init__(self, folder: Path, split: Split, config: FlowTrainConfig, seed: int) -> None:
        self.pictures = []
        for path in find_sources(folder, split).photos.values():
            try:
                self.pictures.append(read_picture(path))
            except InputError as error:
                log.warning("%s It is left out.", error.message)
        if not self.pictures:
            raise InputError(f"{folder} holds no photo of the {split} split.")
        self.config, self.seed = config, seed

    def pair(self, number: int) -> FlowPair:
        """Return the pair as images."""
        draw = np.random.default_rng((self.seed, number))
        made = make_pair(self.pictures, draw, self.config.size_px, self.config.motion_px)
        return degrade(made, draw)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        first, second, flow = (torch.from_numpy(part).permute(2, 0, 1) for part in self.pair(number))
        return first, second, flow


class FlowScore(NamedTuple):
    """Mean end-point errors in pixels on the same held-out pairs."""

    spynet: float
    dis: float
    still: float


def pyramid_error(flows: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Return the mean end-point error over all sizes in full-size pixels, coarser ones with less weight.

    flows: coarse to fine, each in pixels of its size (`SpyNet.pyramid`). truth: (N, 2, H, W).
    """
    total, weights = truth.new_zeros(()), 0.0
    for level, flow in enumerate(reversed(flows)):
        shrunk = F.avg_pool2d(truth, 1 << level)
        weight = LEVEL_DECAY**level
        total = total + weight * (flow * (1 << level) - shrunk).norm(dim=1).mean()
        weights += weight
    return total / weights


def train_flow(
    config: FlowTrainConfig,
    photos: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    stop_at: int | None = None,
    report: Report = ignore,
    check: Callable[[], None] = lambda: None,
) -> FlowScore:
    """Train until `config.steps` (or `stop_at`) and return the last score; files in `out` (module docstring).

    photos: folder of sharp photos; the held-out ones are used for the score only. check: called before each
    update, raises InterruptedRunError to stop; the checkpoint is written first.
    Raises UsageError if `out` has a run and `resume` is False.
    """
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise UsageError(f"{out} holds a checkpoint already.", "Pass --resume, or choose another folder.")
    if not resume:
        claim_folder(out, ("spynet.safetensors", "scores.csv"))
    network, optimizer = _start(config, device)
    step = _restore(checkpoint, network, optimizer, config) if resume else 0
    scores = CsvLog(out / "scores.csv", ("step", "loss", *FlowScore._fields, "seconds"), step)
    held_out = _held_out(photos, config)
    last = min(config.steps, stop_at or config.steps)
    score, started = _score(network, held_out, device), time.monotonic()
    losses: list[float] = []
    skipped = SkippedSteps(out)
    loader = _loader(SyntheticPairs(photos, "train", config, config.seed), step, last)
    with batches_of(loader) as batches:
        for batch in batches:
            report(Progress("train", step, config.steps))
            try:
                check()
            except InterruptedRunError as stop:
                _save(out, network, optimizer, config, step, score)
                raise InterruptedRunError(
                    f"Stopped after step {step} of {config.steps}.", "Continue with --resume."
                ) from stop
            loss = _update(network, optimizer, config, step, [part.to(device) for part in batch])
            step += 1
            losses += [] if loss is None else [loss]
            skipped.note(step, loss is not None)
            if step == last:
                skipped.check_share()
            if step % config.score_every == 0 or step == last:
                score = _score(network, held_out, device)
                seconds = time.monotonic() - started
                scores.append(step=step, loss=_mean(losses), **score._asdict(), seconds=seconds)
                log.info("step %d: loss %.3f, %s, %.0f s", step, _mean(losses), score, seconds)
                losses.clear()
                _save(out, network, optimizer, config, step, score)
    return score


def _start(config: FlowTrainConfig, device: str) -> tuple[SpyNet, torch.optim.Adam]:
    """Return a network with random weights of the config's seed, and its optimizer."""
    torch.manual_seed(config.seed)
    network: SpyNet = SpyNet().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.guided_steps:
        _start_alike(network)
    return network, torch.optim.Adam(network.parameters(), lr=config.rate)


def _update(
    network: SpyNet, optimizer: torch.optim.Adam, config: FlowTrainConfig, step: int, batch: Sequence[Tensor]
) -> float | None:
    """Run one Adam step on one batch and return the loss; None, without a step, if it is not finite."""
    for group in optimizer.param_groups:
        group["lr"] = _rate(config, step)
    optimizer.zero_grad()
    first, second, truth = batch
    loss = _learn(network, config, step, first, second, truth)
    norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        return None
    optimizer.step()
    return loss


def _mean(values: Sequence[float]) -> float:
    """Return the mean; not a number for an empty list."""
    return sum(values) / len(values) if values else math.nan


def _learn(
    network: SpyNet, config: FlowTrainConfig, step: int, first: Tensor, second: Tensor, truth: Tensor
) -> float:
    """Compute the gradients of one batch and return the loss."""
    with torch.autocast(first.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        if step < config.halved_steps:
            first, second, truth = (F.avg_pool2d(part, 2) for part in (first, second, truth / 2))
        if step < config.guided_steps:
            loss = guided_error(network, first, second, truth, (config.seed, step))
        else:
            loss = pyramid_error(network.pyramid(first, second), truth)
    loss.backward()  # type: ignore[no-untyped-call]
    if step < config.guided_steps:
        _share_gradients(network)
    return loss.item()


def guided_error(
    network: SpyNet, first: Tensor, second: Tensor, truth: Tensor, seed: tuple[int, int]
) -> Tensor:
    """Return the mean end-point error over all sizes in pixels of each, with levels started near the truth.

    The flow given to a level is the true one of the coarser size, plus a shift and noise.
    """
    draw = np.random.default_rng(seed)
    true_flows = [F.avg_pool2d(truth, 1 << level) / (1 << level) for level in reversed(range(LEVELS))]
    given = []
    for flow in true_flows[:-1]:
        off = draw.normal(0, GUIDE_SHIFT_PX, (len(flow), 2, 1, 1)) + draw.normal(
            0, GUIDE_NOISE_PX, flow.shape
        )
        given.append(flow + torch.from_numpy(off.astype(np.float32)).to(flow.device))
    found = network.pyramid(first, second, given)
    errors = [(one - other).norm(dim=1).mean() for one, other in zip(found, true_flows, strict=True)]
    return torch.stack(errors).mean()


def _start_alike(network: SpyNet) -> None:
    """Give every level the weights of the coarsest."""
    for level in list(network.levels)[1:]:
        level.load_state_dict(network.levels[0].state_dict())


def _share_gradients(network: SpyNet) -> None:
    """Give every level the sum of all levels' gradients, so that equal weights stay equal."""
    for alike in zip(*(level.parameters() for level in network.levels), strict=True):
        total = torch.stack([weight.grad for weight in alike if weight.grad is not None]).sum(0)
        for weight in alike:
            weight.grad = total.clone()


def _loader(pairs: SyntheticPairs, step: int, last: int) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    """Yield the batches of updates step + 1 ... last; equal for interrupted and uninterrupted runs."""
    config = pairs.config
    numbers = range(step * config.batch, last * config.batch)
    return DataLoader(
        pairs,
        config.batch,
        sampler=numbers,
        num_workers=config.workers,
        drop_last=True,
        worker_init_fn=start_worker,
        multiprocessing_context=START if config.workers else None,
    )


def _rate(config: FlowTrainConfig, step: int) -> float:
    """Return the learning rate: linear rise over 2 % of the steps, then half a cosine to zero."""
    done = step / config.steps
    return config.rate * min(done / 0.02 + 1e-3, 0.5 + 0.5 * float(np.cos(np.pi * done)))


def _held_out(photos: Path, config: FlowTrainConfig) -> list[FlowPair]:
    pairs = SyntheticPairs(photos, "held-out", config, HELD_OUT_SEED)
    return [pairs.pair(number) for number in range(config.score_pairs)]


def _score(network: SpyNet, pairs: Sequence[FlowPair], device: str) -> FlowScore:
    @torch.inference_mode()
    def spynet(pair: FlowPair) -> NDArray[np.float32]:
        frames = (torch.from_numpy(f).permute(2, 0, 1).unsqueeze(0).to(device) for f in pair[:2])
        found: Tensor = network(*frames)
        return found[0].permute(1, 2, 0).cpu().numpy()

    return FlowScore(
        *(end_point_error(find, pairs) for find in (spynet, dis_flow, lambda p: np.zeros_like(p.flow)))
    )


def dis_flow(pair: FlowPair) -> NDArray[np.float32]:
    """Return the flow of OpenCV's dense inverse search (DIS), medium preset, on 8-bit luma."""
    first, second = (to_grey(np.rint(frame * 255).astype(np.uint8)) for frame in pair[:2])
    return DenseFlow().between(first, second)


def end_point_error(find: Callable[[FlowPair], NDArray[np.float32]], pairs: Sequence[FlowPair]) -> float:
    """Return the mean distance in pixels between estimated and true flow over all pixels and pairs."""
    return float(np.mean([np.linalg.norm(find(pair) - pair.flow, axis=-1).mean() for pair in pairs]))


def _save(
    out: Path,
    network: SpyNet,
    optimizer: torch.optim.Optimizer,
    config: FlowTrainConfig,
    step: int,
    score: FlowScore,
) -> None:
    content = {"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    write_checkpoint(out / "checkpoint.pt", content | {"config": asdict(config)})
    state = network.state_dict().items()  # half precision, as all published weights
    tensors = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in state}
    header = {"network": "spynet", "step": str(step)} | {k: str(v) for k, v in score._asdict().items()}
    path = out / "spynet.safetensors"
    with explain_full_disk(path, KEPT):
        replace_file(path, lambda part: save_file(tensors, part, metadata=header))


def _restore(path: Path, network: SpyNet, optimizer: torch.optim.Optimizer, config: FlowTrainConfig) -> int:
    """Load a checkpoint into both and return its step. Raises UsageError if it is of another run."""
    content = read_checkpoint(path, {"config": dict, "network": dict, "optimizer": dict, "step": int})
    if content["config"] != asdict(config):
        raise UsageError(f"{path} was made with {content['config']}, asked for is {asdict(config)}.")
    restore_module(path, network, content["network"])
    restore_optimizer(path, optimizer, content["optimizer"])
    return int(content["step"])
