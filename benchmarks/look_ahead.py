"""Required look-ahead of AsLeD-Net: PSNR of its chunked output to its whole-clip output, as JSON.

    python benchmarks/look_ahead.py CASE CLIPS RUN --out benchmarks/results/look_ahead_CASE.json

There are no fully trained weights of the network in its full size. So a narrow and shallow one with all parts
trains for minutes on the cached clips in CLIPS/train and is measured on those in CLIPS/valid. RUN keeps the
checkpoint; call again to resume. CASE is one of

    recorded  the clips as they are, played forward and backward; OpenCV's DIS flow replaces SPyNet, which is
              much slower and less accurate;
    still     the case with the longest memory: a still image of each clip with new noise in each frame, half
              of them (in the measurement: all) without a reference. Every later frame helps and none leaves
              the view; zero flow replaces SPyNet.
"""

import argparse
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from report import write_report
from torch import Tensor, nn
from torch.utils.data import DataLoader

from asled_cli.imaging.flow import DenseFlow
from asled_cli.imaging.light import LUMA_BT601
from asled_cli.lab.bench.run import machine
from asled_cli.lab.training.loop import update
from asled_cli.lab.training.losses import psnr_per_frame
from asled_cli.lab.training.recipe import TrainConfig, config_from_table
from asled_cli.lab.training.state import TrainState, resume_run, save_run, start_run
from asled_cli.lab.training_data.cached_clip import (
    find_clips,
    read_clip,
    stack_samples,
    to_inputs,
    to_tensors,
)
from asled_cli.lab.training_data.crops import CropDataset
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.interface import ChunkInputs, plan_chunks, run_chunks

log = logging.getLogger(__name__)

RECIPE: dict[str, Any] = {
    "network": "asled",
    "options": {"channels": 16, "trunk_blocks": 5, "decoder_blocks": 2, "search": {"radius": 3}},
    "samples": {"frames": [7, 9], "crop_px": 48, "batch": 2, "crops_per_clip": 4, "seed": 1},
    "warmup_steps": 50,
    "init_flow": "spynet",
    "ema_decay": 0.98,
    "precision": "bf16",
}
RATES = {"recorded": 1e-3, "still": 1.5e-3}
DROPPED = {"recorded": 0.5, "still": 0.0}  # share of samples that lose their reference on the way
NOISE = 0.08  # of 1.0, drawn for every frame of a still clip
# Share of the neighbour's features that a direction keeps at the start of training on still clips.
MEMORY = 0.6
SAVE_EVERY = 25  # updates between checkpoints
SIDE = 48  # pixels of the square in the middle of a validation clip that is measured
CHUNKS = (4, 8, 12)  # frames
OVERLAPS = range(8)  # frames of look-ahead


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, cut clips into chunks, compare, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=sorted(RATES))
    parser.add_argument("clips", type=Path, help="folder with train/*.npz and valid/*.npz")
    parser.add_argument("run", type=Path, help="folder for the checkpoint")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    still = options.case == "still"
    progress = train(
        read_config(options.case, options.steps), options.clips / "train", options.run, still=still
    )
    inputs, truth = read_clips(find_clips(options.clips / "valid"), still=still)
    found = {
        "machine": machine(),
        "case": options.case,
        "recipe": RECIPE,
        "steps": progress.step,
        **measure(progress.average, inputs, truth),
    }
    sys.stdout.write(write_report(found, options.out))


def read_config(case: str, steps: int) -> TrainConfig:
    """Return the recipe of a case, without SPyNet."""
    samples = {**RECIPE["samples"], "reference_dropout": DROPPED[case]}
    return config_from_table(
        {
            **RECIPE,
            "samples": samples,
            "learning_rate": RATES[case],
            "steps": steps,
            "flow_frozen_steps": steps,
        }
    )


def train(config: TrainConfig, clips: Path, run: Path, *, still: bool) -> TrainState:
    """Train to the end of the run, from the checkpoint in `run` if there is one."""
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "checkpoint.pt"
    progress = resume_run(checkpoint, config, "cpu") if checkpoint.exists() else start_run(config, run, "cpu")
    if still and progress.step == 0:
        start_with_memory(progress.network)
        progress.average.load_state_dict(progress.network.state_dict())
    for network in (progress.network, progress.average):
        network.flow.forward = no_flow if still else dis_flow
    batch = config.samples.batch
    numbers = range(progress.step * batch, config.steps * batch)
    data = CropDataset(clips, config.samples)
    losses, began = [], time.process_time()
    for crops in DataLoader(data, batch, sampler=numbers, collate_fn=stack_samples):
        losses.append(update(progress, stand_still(crops, progress.step) if still else crops)[0])
        if progress.step % SAVE_EVERY == 0 or progress.step == config.steps:
            save_run(progress, run)
            seconds = (time.process_time() - began) / len(losses)
            log.info(
                "step %d: loss %.5f, %.2f processor seconds per step", progress.step, np.mean(losses), seconds
            )
            losses, began = [], time.process_time()
    return progress


@torch.no_grad()
def start_with_memory(network: AsledNet) -> None:
    """Initialise each direction as a fading mean over frames, and their fusion as the mean of both.

    With the usual initialisation the recurrent path is so weak that hundreds of updates leave it unused.
    """
    same = torch.eye(network.config.channels)
    for trunk in (network.backward_trunk, network.forward_trunk):
        entry = trunk[0]
        assert isinstance(entry, nn.Conv2d)
        nn.init.kaiming_normal_(entry.weight[:, :3], nonlinearity="relu")
        entry.weight[:, :3] *= 1 - MEMORY
        entry.weight[:, 3:] = 0
        entry.weight[:, 3:, 1, 1] = MEMORY * same
    network.fusion.weight[:, :, 0, 0] = torch.cat((same, same), dim=1) / 2


def stand_still(batch: dict[str, Tensor], seed: int, missing: float = 0.5) -> dict[str, Tensor]:
    """Return a batch of cached clips as still clips of their sharp middle frame, with noise on both views.

    missing: share of clips without a reference, with a copy of the target in its place.
    """
    draw = torch.Generator().manual_seed(seed)
    frames = batch["truth"].shape[1]
    truth = batch["truth"][:, frames // 2, None].expand_as(batch["truth"])
    target, reference = (
        (truth + 255 * NOISE * torch.randn(truth.shape, generator=draw)).round().clamp(0, 255).byte()
        for _ in range(2)
    )
    there = torch.rand(len(truth), 1, 1, 1, 1, generator=draw) >= missing
    return batch | {"target": target, "reference": torch.where(there, reference, target), "truth": truth}


def no_flow(first: Tensor, _: Tensor) -> Tensor:
    """Return zero flow (N, 2, H, W) for two images (N, 3, H, W)."""
    return torch.zeros_like(first[:, :2])


def dis_flow(first: Tensor, second: Tensor) -> Tensor:
    """Return OpenCV's DIS flow on 8-bit luma, medium preset: (N, 3, H, W) each to (N, 2, H, W)."""
    search = DenseFlow()
    weights = torch.tensor(LUMA_BT601, dtype=torch.float32).view(1, 3, 1, 1)
    one, other = (
        (255 * (view.detach().float() * weights).sum(1)).round().clamp(0, 255).byte().numpy()
        for view in (first, second)
    )
    flows = [search.between(a, b) for a, b in zip(one, other, strict=True)]
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)


def read_clips(paths: Sequence[Path], *, still: bool) -> tuple[ChunkInputs, Tensor]:
    """Return (inputs, truth) of the middle of all clips, SIDE x SIDE, as a batch.

    Clips are played forward and backward. Still ones repeat their last frame, without a reference.
    """
    samples = []
    for path in paths:
        tensors = to_tensors(read_clip(path))
        frames, _, height, width = tensors["target"].shape
        order = [frames - 1] * (2 * frames - 1) if still else [*range(frames), *reversed(range(frames - 1))]
        top, left = (height - SIDE) // 8 * 4, (width - SIDE) // 8 * 4
        sample = {name: tensor[order] for name, tensor in tensors.items()}
        for name, view in sample.items():
            if view.ndim == 4:
                scale = round(height / view.shape[-2])  # 4 for guide and flows
                y, x, side = top // scale, left // scale, SIDE // scale
                sample[name] = view[..., y : y + side, x : x + side]
        samples.append(sample)
    batch = stack_samples(samples)
    return to_inputs(stand_still(batch, 0, missing=1.0) if still else batch, torch.device("cpu"))


@torch.inference_mode()
def measure(network: nn.Module, inputs: ChunkInputs, truth: Tensor) -> dict[str, object]:
    """Return the gain from neighbouring frames, and how much of it remains in chunks."""
    assert isinstance(network, AsledNet)
    whole: Tensor = network(inputs)[0]
    alone = torch.cat([network(inputs.slice(t, t + 1))[0] for t in range(inputs.frames)], dim=1)
    rows = {
        chunk: {overlap: agreement(network, inputs, whole, chunk, overlap) for overlap in OVERLAPS}
        for chunk in CHUNKS
    }
    return {
        "clips": len(whole),
        "frames": inputs.frames,
        "input_db": mean_db(inputs.target, truth),
        "reference_db": mean_db(inputs.reference, truth),
        "frame_by_frame_db": mean_db(alone, truth),
        "whole_clip_db": mean_db(whole, truth),
        "chunks_of_8_db_by_overlap": {
            overlap: mean_db(run_chunks(network, inputs, 8, overlap), truth) for overlap in (0, 2, 5)
        },
        "db_to_whole_clip_by_chunk_and_overlap": rows,
    }


def agreement(
    network: AsledNet, inputs: ChunkInputs, whole: Tensor, chunk: int, overlap: int
) -> Mapping[str, float]:
    """Return the PSNR in dB of chunked to whole-clip output: of all frames together, and the lowest.

    Chunks that see the end of the clip are exact and left out.
    """
    plan = plan_chunks(inputs.frames, chunk, overlap)
    seen = sum(part.keep for part in plan if part.start + part.frames < inputs.frames)
    error = (run_chunks(network, inputs, chunk, overlap) - whole)[:, :seen].square()
    frames = error.mean(dim=(2, 3, 4)).clamp(min=1e-12)  # (N, T)
    db = -10 * torch.stack([frames.mean(), frames.max()]).log10()
    return {"mean": round(float(db[0]), 1), "lowest frame": round(float(db[1]), 1)}


def mean_db(restored: Tensor, truth: Tensor) -> float:
    """Return the mean over frames of their PSNR."""
    return round(float(psnr_per_frame(restored, truth).mean()), 2)


if __name__ == "__main__":
    main()
