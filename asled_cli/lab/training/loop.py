"""Training loop: from recipe and cached clips to checkpoints, weights and logs, exactly resumable.

In the output folder: checkpoint.pt (everything to resume), weights.safetensors (the moving average),
best.safetensors (the one with the best validation), loss.csv and validation.csv.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from asled_cli.errors import AsledError, InterruptedRunError
from asled_cli.lab.training import losses
from asled_cli.lab.training.matching_loss import matching_loss
from asled_cli.lab.training.monitor import SkippedSteps, Watch
from asled_cli.lab.training.recipe import LossConfig, TrainConfig
from asled_cli.lab.training.state import (
    TrainState,
    flow_parameters,
    resume_run,
    save_run,
    save_weights,
    start_run,
)
from asled_cli.lab.training.validation import draw_strip, validate
from asled_cli.lab.training_data.cached_clip import find_clips, stack_samples, to_inputs
from asled_cli.lab.training_data.crops import CropDataset
from asled_cli.nets.interface import ChunkInputs
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.distributed import ALONE, Team
from asled_cli.runtime.processes import START, batches_of, start_worker

log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    stop_at: int | None = None,
    team: Team = ALONE,
    tensorboard: bool = False,
    report: Report = ignore,
    check: Callable[[], None] = lambda: None,
) -> TrainState:
    """Train until `config.steps` (or `stop_at`) and write the files of the module docstring to `out`.

    data: folder with train/*.npz and valid/*.npz (or *.npz directly, then without validation); clips may be
    added during the run. check: called before each update, raises InterruptedRunError to stop; the checkpoint
    is written first. Raises AsledError, keeping the last checkpoint, if the loss is no longer finite.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    progress = (
        resume_run(out / "checkpoint.pt", config, device, team)
        if resume
        else start_run(config, out, device, team)
    )
    team.wait()  # the first process must not write a checkpoint while another one looks for an old one
    watch = Watch(out, progress.step, active=team.leads, tensorboard=tensorboard)
    clips = find_clips(data / "valid")
    if not clips:
        log.warning("%s holds no clips: the run goes without validation.", data / "valid")
    last = min(config.steps, stop_at or config.steps)
    folder = data / "train" if (data / "train").is_dir() else data
    loader = _loader(folder, config, progress.step, last, team, device)
    try:
        with _explained(progress, out), batches_of(loader) as batches:
            _run(progress, batches, last, clips, out, watch, report, check)
    finally:
        watch.close()
    return progress


@contextmanager
def _explained(progress: TrainState, out: Path) -> Iterator[None]:
    """Save the run when it is interrupted, and explain the death of a worker process."""
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError) as stop:
        save_run(progress, out)
        raise InterruptedRunError(
            f"Stopped after step {progress.step} of {progress.config.steps}.", "Continue with --resume."
        ) from stop
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise AsledError(
            f"A process that reads clips died at step {progress.step}, most often for lack of memory; the "
            f"last good checkpoint is kept in {out}.",
            "Continue with --resume --set workers=0.",
        ) from error


def _run(
    progress: TrainState,
    batches: Iterator[dict[str, Tensor]],
    last: int,
    clips: Sequence[Path],
    out: Path,
    watch: Watch,
    report: Report,
    check: Callable[[], None],
) -> None:
    config, skipped, began, total = progress.config, SkippedSteps(out), time.perf_counter(), 0.0
    device = next(progress.network.parameters()).device
    started = began - progress.seconds

    def count() -> None:
        """Bring the time trained up to date; where it decides, it is the same in the whole team."""
        progress.seconds = time.perf_counter() - started
        if config.max_minutes:
            progress.seconds = progress.team.mean(torch.tensor(progress.seconds, device=device))

    while progress.step < last and not progress.ended:
        report(Progress("train", progress.step, _steps_expected(progress)))
        progress.team.check(check, device)
        loss, norm = update(progress, next(batches))
        count()
        skipped.note(progress.step, math.isfinite(norm))
        total += loss
        if progress.step % config.log_every == 0:
            seconds = (time.perf_counter() - began) / config.log_every
            mean, rate = total / config.log_every, progress.optimizer.param_groups[0]["lr"]
            if progress.team.leads:
                log.info("step %d  loss %.5f  gradient %.3f  %.2f s/step", progress.step, mean, norm, seconds)
            watch.losses(step=progress.step, loss=mean, gradient=norm, rate=rate, seconds=seconds)
            total, began = 0.0, time.perf_counter()
        due = progress.step % config.validate_every == 0 or progress.ended
        if clips and due:
            if progress.team.leads:
                _score(progress, clips, out, watch)
            count()
            began = time.perf_counter()
        last_one = progress.step == last or progress.ended
        if last_one:
            skipped.check_share()
        if not skipped.in_a_row and (progress.step % config.checkpoint_every == 0 or last_one):
            save_run(progress, out)


def _steps_expected(progress: TrainState) -> int:
    """Return the steps of the whole run, extrapolated from its pace where time is the limit."""
    config = progress.config
    if not config.max_minutes or not progress.seconds:
        return config.steps
    return max(
        progress.step, min(config.steps, round(progress.step * 60 * config.max_minutes / progress.seconds))
    )


def update(progress: TrainState, batch: dict[str, Tensor]) -> tuple[float, float]:
    """Run one AdamW step on one batch: loss and gradient norm. Skipped, norm nan, if either is not finite."""
    config, network = progress.config, progress.network
    device = next(network.parameters()).device
    inputs, truth = to_inputs(batch, device)
    network.train()
    with autocast(config, device):
        restored, _ = progress.trained(inputs)
        with torch.no_grad():
            taught = None if progress.teacher is None else progress.teacher(inputs)[0].float()
    loss = objective(restored.float(), truth, config.losses)
    if taught is not None:
        distance = losses.charbonnier(restored.float(), taught, config.losses.epsilon)
        loss = loss + config.losses.distillation * distance
    if progress.lpips is not None:
        distance = losses.perceptual_distance(restored.float(), truth, progress.lpips)
        loss = loss + config.losses.perceptual * distance
    if config.losses.matching:
        key = config.samples.seed, progress.step, progress.team.rank
        loss = loss + config.losses.matching * matching_loss(network, inputs.target, truth, key)
    if config.losses.extra:
        own = network.extra_losses(truth)
        loss = loss + sum(weight * own[name] for name, weight in config.losses.extra.items())
    progress.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if progress.step < config.flow_frozen_steps:
        for parameter in flow_parameters(network):
            parameter.grad = None  # no gradient, no step; the team still exchanges it, as on any other step
    norm = float(nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm))
    value = progress.team.mean(loss.detach())
    if math.isfinite(norm) and math.isfinite(value):
        for group in progress.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(config, progress.step, progress.seconds)
        progress.optimizer.step()
        _follow_average(progress)
    else:
        norm = math.nan
        log.warning("step %d: loss %s, gradient not finite: skipped.", progress.step + 1, value)
    progress.step += 1
    return value, norm


def objective(restored: Tensor, truth: Tensor, config: LossConfig) -> Tensor:
    """Return the weighted sum of the losses with non-zero weight."""
    total = config.charbonnier * losses.charbonnier(restored, truth, config.epsilon)
    for weight, loss in (
        (config.psnr, losses.negative_psnr),
        (config.gradient, losses.gradient_difference),
        (config.fft, losses.spectral_difference),
        (config.ssim, losses.structural_dissimilarity),
        (config.temporal, losses.temporal_difference),
    ):
        if weight:
            total = total + weight * loss(restored, truth)
    return total


def learning_rate(config: TrainConfig, step: int, seconds: float = 0.0) -> float:
    """Return the learning rate: linear warm-up over steps, then a cosine to the final rate.

    The cosine is over steps or `config.max_minutes`.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    if config.max_minutes:
        done = max(done, seconds / (60 * config.max_minutes))
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    """Return a context that runs convolutions in the precision of the recipe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


def _follow_average(progress: TrainState) -> None:
    """Update the exponential moving average of the weights; faster at the start of a run."""
    decay = min(progress.config.ema_decay, (1 + progress.step) / (10 + progress.step))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(progress.average.parameters()), list(progress.network.parameters()), 1 - decay
        )


def _loader(
    folder: Path, config: TrainConfig, step: int, last: int, team: Team, device: str
) -> DataLoader[dict[str, Tensor]]:
    """Yield this process's share of the batches of updates step + 1 ... last."""
    batch, share = config.samples.batch, team.share(config.samples.batch)
    own = range(team.rank * share, (team.rank + 1) * share)
    workers = 0 if config.samples.cache_on_device else config.workers
    return DataLoader(
        CropDataset(folder, config.samples, device),
        batch_size=share,
        sampler=[number * batch + place for number in range(step, last) for place in own],
        num_workers=workers,
        collate_fn=stack_samples,
        worker_init_fn=start_worker,
        multiprocessing_context=START if workers else None,
        prefetch_factor=4 if workers else None,
    )


def _score(progress: TrainState, clips: Sequence[Path], out: Path, watch: Watch) -> None:
    config = progress.config
    device = next(progress.average.parameters()).device

    def restore(inputs: ChunkInputs) -> Tensor:
        with autocast(config, device):
            restored: Tensor = progress.average(inputs)[0]
        return restored

    score = validate(restore, clips, config.validation_frames, device)
    log.info("step %d  %s", progress.step, "  ".join(f"{k} {v:.3f}" for k, v in score._asdict().items()))
    watch.score(progress.step, score, draw_strip(restore, clips[0], config.validation_frames, device))
    progress.scores = score._asdict()
    if score.network_db > progress.best_db:
        progress.best_db = score.network_db
        notes = {"step": str(progress.step), "validation_db": f"{score.network_db:.3f}"}
        save_weights(progress, out / "best.safetensors", notes)
