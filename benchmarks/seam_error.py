"""Error where a worker begins inside a clip: PSNR of a network's output to that of one process, as JSON.

    python benchmarks/seam_error.py [--model NAME] [--size WxH] [--out benchmarks/results/seam_error.json]

With `--workers` a network does not get its memory from the frames before a seam, but builds it from so many
frames that it sees again. The error is measured on the frames after the seam, in two synthetic clips: of a
moving camera, and of a still one with new noise in each frame, where memory matters longest.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report
from throughput import commit

from asled_cli.imaging.threads import opencv_threads
from asled_cli.job.analysis import register_clips
from asled_cli.job.config import DeblurConfig
from asled_cli.job.method import choose_method, load_restorer
from asled_cli.job.plan import make_plan
from asled_cli.lab.bench import clips
from asled_cli.lab.bench.run import machine
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.restoration.base import restore
from asled_cli.restoration.network import NetworkRestorer
from asled_cli.video.clock import Clock
from asled_cli.video.decode.pairing import pair_frames
from asled_cli.video.decode.reader import ClipReader

SEAM, AFTER = 60, 24  # frames before the seam, and frames that are measured after it
WARM_UPS = (0, 2, 4, 8, 12, 16, 24, 32, 48)  # frames
NOISE = 8.0  # of 255, deviation in each frame of the still clip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both clips and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--size", default="480x272", metavar="WxH")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(1)
    cases = {}
    with tempfile.TemporaryDirectory() as name, opencv_threads(1):
        for case in ("moving", "still"):
            pair = make_clips(Path(name), case, (width, height))
            cases[case] = measure(*pair, options.model)
    found = {"machine": machine(), "commit": commit(), "size": options.size, "cases": cases}
    sys.stdout.write(write_report(found, options.out))


def make_clips(folder: Path, case: str, size: tuple[int, int]) -> tuple[Path, Path]:
    """Return a pair of SEAM + 2 * AFTER frames: the rest is look-ahead."""
    frames = SEAM + 2 * AFTER
    if case == "moving":
        return clips.make_pair(folder, frames, size, case)
    random = np.random.default_rng(0)
    scene = clips.make_scene(random, size)
    wide, ultra = folder / "still_wide.mp4", folder / "still_ultra.mp4"

    def noisy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen = picture + random.normal(0, NOISE, picture.shape)
        return np.asarray(np.clip(seen, 0, 255), np.uint8)

    sharp, blurred = clips.view(scene, 0.0, 2.0, size), clips.blurred_view(scene, 0, size)
    clips.write_clip(wide, frames, size, lambda i: noisy(blurred))
    clips.write_clip(ultra, frames, size, lambda i: noisy(sharp))
    return wide, ultra


def measure(wide: Path, ultra: Path, model: str | None) -> dict[str, Any]:
    """Return the error by frames of warm-up."""
    config = DeblurConfig(wide, ultra, method="network", model=model, offset_s=0.0, lens_order="given")
    plan = make_plan(replace(config, out=wide.with_name("out.mp4")))
    frames = aligned_frames(plan.wide, plan.pair.ultra, plan.choice.reference_radius)
    choice = choose_method(config, plan.wide)
    whole = changes(plan, frames)[SEAM : SEAM + AFTER]
    rows = {}
    for warm_up in WARM_UPS:
        found = changes(plan, frames[SEAM - warm_up :], warm_up)[warm_up : warm_up + AFTER]
        rows[warm_up] = agreement(whole, found)
    return {"model": choice.model, "precision": choice.precision, "chunk": choice.chunk, "by_warm_up": rows}


def aligned_frames(wide: Any, ultra: Any, radius: int) -> list[AlignedFrame]:
    """Return all aligned frames of a pair; it is short."""
    clock = Clock(Fraction(0))
    registration, _ = register_clips(
        wide, ultra, clock, LensPrior(fov_ratio=2.0, source="as made"), lambda event: None,
        wide_range=(None, None), ultra_range=(None, None),
    )  # fmt: skip
    assert registration.accepted
    with ClipReader(wide) as first, ClipReader(ultra) as second:
        return list(
            fuse_references(render_references(pair_frames(first, second, clock), registration), radius)
        )


def changes(plan: Any, frames: Sequence[AlignedFrame], warm_up: int = 0) -> list[NDArray[np.float32]]:
    """Return the change of every frame; after `warm_up` frames a chunk begins, as after a whole segment."""
    restorer = load_restorer(plan, SEAM)
    assert isinstance(restorer, NetworkRestorer)
    restorer._left = warm_up or SEAM
    zero = np.zeros((plan.wide.height, plan.wide.width, 3), np.float32)
    return [zero if done.change is None else done.change for done in restore(frames, restorer)]


def agreement(whole: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the PSNR in dB of the first frame and of the worst, and the largest error in 8-bit levels."""
    errors = [float(np.square(a - b).mean()) for a, b in zip(whole, found, strict=True)]
    largest = max(float(np.abs(a - b).max()) for a, b in zip(whole, found, strict=True))
    db = [round(float(-10 * np.log10(max(error, 1e-12))), 1) for error in errors]
    exact = next((place for place, error in enumerate(errors) if error == 0), -1)
    return {
        "first_db": db[0],
        "worst_db": min(db),
        "largest_levels": round(255 * largest, 2),
        "equal_from": exact,
    }


if __name__ == "__main__":
    main()
