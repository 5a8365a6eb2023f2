"""The training loop: recipe + cached clips -> checkpoints, weights and logs that can be resumed exactly.

In the output folder: checkpoint.pt (everything to resume), weights.safetensors (the moving average),
best.safetensors (the one with the best validation), loss.csv and validation.csv.
"""

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from asled_cli import weights
from asled_cli.errors import AsledError, InterruptedRunError
from asled_cli.job.records import Progress as Event
from asled_cli.job.records import Report, ignore
from asled_cli.lab import losses
from asled_cli.lab.cached import find_clips, stack_samples, to_inputs
from asled_cli.lab.checkpoints import CsvLog
from asled_cli.lab.dataset import CropDataset
from asled_cli.lab.progress import Progress, resume_run, save_run, start_run
from asled_cli.lab.recipe import LossConfig, TrainConfig, read_recipe
from asled_cli.lab.validation import Score, validate
from asled_cli.lab.workers import start_worker
from asled_cli.nets.chunks import ChunkInputs

log = logging.getLogger(__name__)

BAD_STEPS_ALLOWED = 10
"""Updates in a row that may be skipped for a gradient that is not finite, before the run gives up."""


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    stop_at: int | None = None,
    report: Report = ignore,
    check: Callable[[], None] = lambda: None,
) -> Progress:
    """Train until `config.steps` (or `stop_at`), leaving files in `out` (module docstring).

    data: folder with train/*.npz and valid/*.npz (or *.npz directly, then without validation); clips may be
    added while it runs. check: called before each update, raises InterruptedRunError to stop; the checkpoint
    is written first. Raises AsledError, keeping the last checkpoint, when the loss stops being finite.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    progress = resume_run(out / "checkpoint.pt", config, device) if resume else start_run(config, out, device)
    loss_log = CsvLog(out / "loss.csv", ("step", "loss", "gradient", "rate", "seconds"), progress.step)
    score_log = CsvLog(out / "validation.csv", ("step", *Score._fields), progress.step)
    clips = find_clips(data / "valid")
    if not clips:
        log.warning("%s holds no clips: the run goes without validation.", data / "valid")
    last = min(config.steps, stop_at or config.steps)
    batches = _batches(data / "train" if (data / "train").is_dir() else data, config, progress.step, last)
    try:
        _run(progress, batches, last, clips, out, loss_log, score_log, report, check)
    except (KeyboardInterrupt, InterruptedRunError) as stop:
        save_run(progress, out)
        raise InterruptedRunError(
            f"Stopped after step {progress.step} of {config.steps}.", "Go on with --resume."
        ) from stop
    return progress


def _run(
    progress: Progress,
    batches: Iterator[dict[str, Tensor]],
    last: int,
    clips: Sequence[Path],
    out: Path,
    loss_log: CsvLog,
    score_log: CsvLog,
    report: Report,
    check: Callable[[], None],
) -> None:
    config, bad_steps, began, total = progress.config, 0, time.perf_counter(), 0.0
    while progress.step < last:
        report(Event("train", progress.step, config.steps))
        check()
        loss, norm = update(progress, next(batches))
        bad_steps = 0 if math.isfinite(norm) else bad_steps + 1
        if bad_steps > BAD_STEPS_ALLOWED:
            raise AsledError(
                f"The loss was not finite for {bad_steps} steps up to step {progress.step}; the last good "
                f"checkpoint is kept in {out}.",
                "Resume it with a lower learning rate.",
            )
        total += loss
        if progress.step % config.log_every == 0:
            seconds = (time.perf_counter() - began) / config.log_every
            mean, rate = total / config.log_every, learning_rate(config, progress.step - 1)
            log.info("step %d  loss %.5f  gradient %.3f  %.2f s/step", progress.step, mean, norm, seconds)
            loss_log.append(step=progress.step, loss=mean, gradient=norm, rate=rate, seconds=seconds)
            total, began = 0.0, time.perf_counter()
        if clips and (progress.step % config.validate_every == 0 or progress.step == config.steps):
            _score(progress, clips, out, score_log)
            began = time.perf_counter()
        if bad_steps == 0 and (progress.step % config.checkpoint_every == 0 or progress.step == last):
            save_run(progress, out)


def update(progress: Progress, batch: dict[str, Tensor]) -> tuple[float, float]:
    """One step of AdamW on one batch: loss and gradient norm. Skipped, norm nan, if either is not finite."""
    config, network = progress.config, progress.network
    device = next(network.parameters()).device
    inputs, truth = to_inputs(batch, device)
    network.train()
    with autocast(config, device):
        restored, _ = network(inputs)
    loss = objective(restored.float(), truth, config.losses)
    progress.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm))
    value = float(loss.detach())
    if math.isfinite(norm) and math.isfinite(value):
        for group in progress.optimizer.param_groups:
            group["lr"] = learning_rate(config, progress.step)
        progress.optimizer.step()
        _follow_average(progress)
    else:
        norm = math.nan
        log.warning("step %d: loss %s, gradient not finite: skipped.", progress.step + 1, value)
    progress.step += 1
    return value, norm


def objective(restored: Tensor, truth: Tensor, config: LossConfig) -> Tensor:
    """The weighted sum of the losses that have a weight."""
    total = config.charbonnier * losses.charbonnier(restored, truth, config.epsilon)
    for weight, loss in (
        (config.psnr, losses.negative_psnr),
        (config.gradient, losses.gradient_difference),
        (config.spectral, losses.spectral_difference),
        (config.temporal, losses.temporal_difference),
    ):
        if weight:
            total = total + weight * loss(restored, truth)
    return total


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to the final rate; a pure function of the step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[None]:
    """Convolutions in the precision of the recipe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


def _follow_average(progress: Progress) -> None:
    """Move the average towards the weights; faster at the start, where there is little to average."""
    decay = min(progress.config.ema_decay, (1 + progress.step) / (10 + progress.step))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(progress.average.parameters()), list(progress.network.parameters()), 1 - decay
        )


def _batches(folder: Path, config: TrainConfig, step: int, last: int) -> Iterator[dict[str, Tensor]]:
    size = config.samples.batch
    loader = DataLoader(
        CropDataset(folder, config.samples),
        batch_size=size,
        sampler=range(step * size, last * size),
        num_workers=config.workers,
        collate_fn=stack_samples,
        worker_init_fn=start_worker,
        prefetch_factor=4 if config.workers else None,
    )
    return iter(loader)


def _score(progress: Progress, clips: Sequence[Path], out: Path, score_log: CsvLog) -> None:
    config = progress.config
    device = next(progress.average.parameters()).device

    def restore(inputs: ChunkInputs) -> Tensor:
        with autocast(config, device):
            restored: Tensor = progress.average(inputs)[0]
        return restored

    score = validate(restore, clips, config.validation_frames, device)
    log.info("step %d  %s", progress.step, "  ".join(f"{k} {v:.3f}" for k, v in score._asdict().items()))
    score_log.append(step=progress.step, **score._asdict())
    progress.scores = score._asdict()
    if score.network_db > progress.best_db:
        progress.best_db = score.network_db
        notes = {"step": str(progress.step), "validation_db": f"{score.network_db:.3f}"}
        weights.save(out / "best.safetensors", config.network, progress.average, notes=notes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the loop, for use without the asled command."""
    parser = argparse.ArgumentParser(prog="python -m asled_cli.lab.training", description=main.__doc__)
    parser.add_argument("recipe", type=Path, help="TOML file")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/*.npz and valid/*.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--device", default="cpu", help="PyTorch device [cpu]")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    train(read_recipe(given.recipe), given.data, given.out, resume=given.resume, device=given.device)


if __name__ == "__main__":
    main()
