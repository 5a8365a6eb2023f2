"""Overfitting of one clip by a tiny version of every network, a test of its gradients; PSNR in dB as JSON.

    python benchmarks/overfit.py [--spynet] [--out FILE] [NAME ...]

The clip is a panning texture with motion blur. The reference is the truth shifted by one pixel, so that every
variant can gain. The goal is 35 dB. SPyNet takes nine tenths of the time of so small a network, so zero flow
replaces it unless --spynet is given. Names: asled-fast, asled, and the keys of
`nets.asled.ablations.ABLATIONS`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from report import write_report

from asled_cli.lab.bench.run import machine
from asled_cli.lab.training.losses import charbonnier, psnr_per_frame
from asled_cli.nets.asled.ablations import ABLATIONS
from asled_cli.nets.asled.config import AsledConfig, SearchConfig
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.nets.interface import ChunkInputs

GOAL_DB = 35.0  # counts as learned
STEPS = 600  # maximum of updates
RATE = 4e-3  # learning rate
FRAMES = 3
SIDE = 24  # pixels


def make_clip() -> tuple[ChunkInputs, torch.Tensor]:
    """Return (inputs, truth): FRAMES frames of SIDE x SIDE with a pan of 2 px per frame, blurred over 7."""
    texture = F.interpolate(torch.rand(1, 3, 8, 8), size=(40, 40), mode="bicubic").clamp(0, 1)
    truth = torch.stack(
        [texture[..., 8 : 8 + SIDE, 4 + 2 * t : 4 + 2 * t + SIDE] for t in range(FRAMES)], dim=1
    )
    blurry = F.avg_pool2d(truth[0], (1, 7), stride=1, padding=(0, 3), count_include_pad=False)
    guide = torch.zeros(1, FRAMES, 6, SIDE // 4, SIDE // 4)
    guide[:, :, 4], guide[:, :, 5] = 0.5, 1.0
    flow = torch.zeros(1, FRAMES, 2, SIDE // 4, SIDE // 4)
    reset = torch.zeros(1, FRAMES, dtype=torch.bool)
    return ChunkInputs(blurry.unsqueeze(0), truth.roll(1, dims=-1), guide, flow, flow, reset), truth


def build(name: str, *, spynet: bool = False) -> torch.nn.Module:
    """Build a tiny network of the named kind."""
    if name == "asled-fast":
        return AsledFast(AsledFastConfig(fine_channels=16, coarse_channels=16, backward_blocks=1,
                                         forward_blocks=1, decoder_blocks=2))  # fmt: skip
    config = AsledConfig() if name == "asled" else ABLATIONS[name]
    tiny = replace(
        config, channels=16, trunk_blocks=1, decoder_blocks=2, search=SearchConfig(radius=3, tile=4)
    )
    network = AsledNet(tiny)
    if not spynet:
        network.flow = Still()  # type: ignore[assignment]
    return network


class Still(torch.nn.Module):
    """Flow network that returns zero flow."""

    def forward(self, first: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """Return zero flow (N, 2, H, W) for two images (N, 3, H, W)."""
        return torch.zeros_like(first[:, :2])


def overfit(name: str, *, spynet: bool = False) -> dict[str, float | int | str]:
    """Train until the PSNR exceeds the goal by half a decibel, or for STEPS updates."""
    torch.manual_seed(0)
    inputs, truth = make_clip()
    network = build(name, spynet=spynet)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    began, score, step = time.process_time(), 0.0, 0
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, 2.0 * (1.0 - step / (STEPS + 1)))
        restored = network(inputs)[0]
        score = float(psnr_per_frame(restored.detach(), truth).mean())
        if score > GOAL_DB + 0.5:
            break
        optimizer.zero_grad()
        charbonnier(restored, truth).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    before = float(psnr_per_frame(inputs.target, truth).mean())
    return {
        "network": name,
        "input_db": round(before, 2),
        "db": round(score, 2),
        "steps": step,
        "cpu_s": round(time.process_time() - began, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line per network; exit code 1 if one misses the goal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = ["asled-fast", "asled", *ABLATIONS]
    parser.add_argument("names", nargs="*", choices=[*every, []], metavar="NAME", help="default: every one")
    parser.add_argument("--spynet", action="store_true", help="with its flow network")
    parser.add_argument("--out", type=Path, help="where to write all rows as one JSON file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for name in options.names or every:
        rows.append(overfit(name, spynet=options.spynet))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
    found = {"machine": machine(), "goal_db": GOAL_DB, "spynet": options.spynet, "networks": rows}
    write_report(found, options.out)
    sys.exit(int(any(float(row["db"]) < GOAL_DB for row in rows)))


if __name__ == "__main__":
    main()
