"""What a codebook and `--adapt` change on the ten validation clips, as JSON.

    python benchmarks/adaptation.py SOURCES CODEBOOK --out benchmarks/results/adaptation.json

SOURCES: a folder of sharp photos and videos; only held-out ones are used. CODEBOOK: weights of asled-fast
with `options.memory`. Gains are PSNR over the input, mean over frames, before encoding: of the published
asled-fast, of the network with its codebook as trained, and with it tuned to the frames of each clip's own
ultra-wide view. rebuilt_error: mean absolute error of these frames, rebuilt in the first and the last epoch.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report
from throughput import commit

from asled_cli.lab.bench.run import machine
from asled_cli.lab.datasets.sources import find_sources
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS
from asled_cli.lab.training_data.register import frame_pairs, register
from asled_cli.metrics.psnr_ssim import Picture, psnr
from asled_cli.nets.memory import ReferenceMemory
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.restoration.adaptation import adapt
from asled_cli.restoration.base import FULL_SCALE, restore
from asled_cli.restoration.network import NetworkRestorer, NetworkSetting
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

CPU = torch.device("cpu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Register the clips, restore them three times each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("codebook", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    sources, clips = find_sources(options.sources, "held-out"), EVAL_SETS["valid"]
    rows: dict[str, dict[str, Any]] = {}
    for name in clips.clips:
        pair = clips.make(sources, name)
        pairs = frame_pairs(pair)
        _, aligned = register(pairs, LensPrior())
        truth = [frame / 255 for frame in pair.truth]
        sharp = [one.reference.rgb for one in pairs if one.reference is not None]
        rows[name] = _row(aligned, truth, sharp, options.codebook, options.epochs)
        sys.stderr.write(f"{name}: {rows[name]}\n")
    gains = [key for key in rows[name] if key.endswith("_db")]
    means = {key: round(fmean(row[key] for row in rows.values()), 3) for key in gains}
    facts = {"machine": machine(), "commit": commit(), "epochs": options.epochs, "means": means}
    write_report({**facts, "codebook": weights.hash_file(options.codebook), "clips": rows}, options.out)


def _row(
    aligned: list[AlignedFrame],
    truth: Sequence[Picture],
    sharp: Sequence[NDArray[np.uint16]],
    codebook: Path,
    epochs: int,
) -> dict[str, Any]:
    plain, held = weights.load(weights.find(zoo.DEFAULT)), weights.load(codebook)
    found = {"plain_gain_db": _gain(plain, aligned, truth), "codebook_gain_db": _gain(held, aligned, truth)}
    memory: ReferenceMemory = held.memory
    before = [value.detach().clone() for value in memory.codebook()]
    errors = adapt(memory, sharp, epochs)
    kept = any(not torch.equal(a, b) for a, b in zip(before, memory.codebook(), strict=True))
    tuned = {"tuned_gain_db": _gain(held, aligned, truth)}
    return {**found, **tuned, "kept": kept, "rebuilt_error": [round(errors[0], 5), round(errors[-1], 5)]}


def _gain(network: Any, aligned: list[AlignedFrame], truth: Sequence[Picture]) -> float:
    setting = NetworkSetting(
        device=CPU,
        dtype=torch.float32,
        chunk=len(aligned),
        overlap=0,
        tile=0,
        halo_px=network.info.halo_px,
        strength=1.0,
    )
    restorer = NetworkRestorer(network.eval(), setting)
    gains = []
    fused = fuse_references(aligned, network.info.reference_radius)
    for one, true in zip(restore(fused, restorer), truth, strict=True):
        frame = one.target.rgb / FULL_SCALE
        result = frame if one.change is None else np.clip(frame + one.change, 0, 1)
        gains.append(psnr(result, true) - psnr(frame, true))
    return round(fmean(gains), 3)


if __name__ == "__main__":
    main()
