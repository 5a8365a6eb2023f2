"""How far ahead AsLeD-Net must look: PSNR of its chunked output against its whole-clip output, as JSON.

    python benchmarks/look_ahead.py --out benchmarks/results/look_ahead.json

There are no trained weights of the network in its full size. So a narrow one (16 channels; trunks of 30
blocks as published) learns for a minute on the worst case for a short look-ahead: noisy clips of a still
scene, every frame blurred in another direction, where every later frame is worth having. No motion stands in
for SPyNet.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from overfit import Still
from torch import Tensor

from asled_cli.lab.bench import machine
from asled_cli.lab.losses import charbonnier, psnr_per_frame
from asled_cli.nets.asled import AsledConfig, AsledNet, SearchConfig
from asled_cli.nets.chunks import ChunkInputs, run_chunks

SIDE, LONGEST_BLUR, NOISE = 24, 9, 0.06
CHUNKS, OVERLAPS = (4, 8), (0, 1, 2, 3, 5, 7)


def main(words: Sequence[str] | None = None) -> None:
    """Train, cut a new clip into chunks, compare, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--frames", type=int, default=8, help="of a training clip; twice as many are cut")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = AsledNet(AsledConfig(channels=16, decoder_blocks=2, search=SearchConfig(radius=3, tile=4)))
    network.flow = Still()  # type: ignore[assignment]
    began = time.process_time()
    train(network, options.steps, options.frames)
    inputs, truth = make_clip(2 * options.frames)
    with torch.inference_mode():
        whole: Tensor = network(inputs)[0]
        frames = [network(inputs.slice(t, t + 1))[0] for t in range(inputs.frames)]
        alone = mean_db(torch.cat(frames, dim=1), truth)
        rows = {
            chunk: {overlap: agreement(network, inputs, whole, chunk, overlap) for overlap in OVERLAPS}
            for chunk in CHUNKS
        }
    found = {
        "machine": machine(),
        "steps": options.steps,
        "cpu_s": round(time.process_time() - began, 1),
        "frames": inputs.frames,
        "input_db": mean_db(inputs.target, truth),
        "whole_clip_db": mean_db(whole, truth),
        "frame_by_frame_db": alone,
        "db_to_whole_clip_by_chunk_and_overlap": rows,
    }
    text = json.dumps(found, indent=2) + "\n"
    if options.out is not None:
        options.out.write_text(text)
    sys.stdout.write(text)


def make_clip(frames: int) -> tuple[ChunkInputs, Tensor]:
    """(inputs, truth) of a still scene: (1, T, 3, SIDE, SIDE); the reference is noisy too, a pixel aside."""
    truth = F.interpolate(torch.rand(1, 3, 8, 8), size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
    blurred = []
    for _ in range(frames):
        length = 1 + 2 * int(torch.randint(LONGEST_BLUR // 2 + 1, ()))
        kernel = (1, length) if torch.rand(()) < 0.5 else (length, 1)
        padding = kernel[0] // 2, kernel[1] // 2
        blurred.append(F.avg_pool2d(truth, kernel, stride=1, padding=padding, count_include_pad=False))
    still = truth.unsqueeze(1).expand(-1, frames, -1, -1, -1)
    target, reference = torch.stack(blurred, dim=1), still.roll(1, dims=-1)
    target, reference = (view + NOISE * torch.randn(view.shape) for view in (target, reference))
    grid = SIDE // 4
    guide, flow = torch.zeros(1, frames, 6, grid, grid), torch.zeros(1, frames, 2, grid, grid)
    reset = torch.zeros(1, frames, dtype=torch.bool)
    return ChunkInputs(target, reference, guide, flow, flow, reset), still


def train(network: AsledNet, steps: int, frames: int) -> None:
    """A new clip for every update."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2.0 * (1.0 - step / steps), (step + 1) / 10)
        inputs, truth = make_clip(frames)
        optimizer.zero_grad()
        charbonnier(network(inputs)[0], truth).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def agreement(network: AsledNet, inputs: ChunkInputs, whole: Tensor, chunk: int, overlap: int) -> float:
    """PSNR in dB of the chunked output against the whole-clip output, over all frames; 120 at most."""
    error = (run_chunks(network, inputs, chunk, overlap) - whole).square().mean().clamp(min=1e-12)
    return round(-10 * float(error.log10()), 1)


def mean_db(restored: Tensor, truth: Tensor) -> float:
    """Mean over frames of their PSNR."""
    return round(float(psnr_per_frame(restored, truth).mean()), 2)


if __name__ == "__main__":
    main()
