"""Error where a worker begins inside a clip: PSNR of a network's output to that of one process, as JSON.

    python benchmarks/seam_error.py [--case NAME ...] [--model NAME] [--size WxH] [--warm-up FRAMES ...]
        [--out benchmarks/results/seam_error.json]

With `--workers` a network does not get its memory from the frames before a seam, but builds it from so many
frames that it sees again. The error is measured on the frames after the seam, in synthetic clips: of a moving
camera, and of a still one with new noise in each frame, where memory matters longest. spatial: such a still
clip as spatial video; spatial_as_files: its two views as two files. Other cases of --out are kept.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
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
from asled_cli.job.match import lens_prior
from asled_cli.job.method import choose_method, load_restorer
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurPlan
from asled_cli.lab.bench import clips
from asled_cli.lab.bench.run import machine
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.restoration.base import restore
from asled_cli.restoration.network import NetworkRestorer
from asled_cli.video.decode.pairing import pair_frames
from asled_cli.video.decode.reader import ClipReader

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from factories.spatial import (  # type: ignore[import-not-found]  # noqa: E402
    FULL,
    make_flat_clip,
    make_spatial_clip,
)

CASES = ("moving", "still", "spatial", "spatial_as_files")
SEAM, AFTER = 60, 24  # frames before the seam, and frames that are measured after it
WARM_UPS = (0, 2, 4, 8, 12, 16, 24, 32, 48)  # frames
NOISE = 8.0  # of 255, deviation in each frame of the still clip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both clips and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--model")
    parser.add_argument("--size", default="480x272", metavar="WxH")
    parser.add_argument("--warm-up", action="append", type=int, metavar="FRAMES", help="default: 0 to 48")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(1)
    cases = {}
    if options.out is not None and options.out.exists():
        cases = json.loads(options.out.read_text())["cases"]
    with tempfile.TemporaryDirectory() as name, opencv_threads(1):
        for case in options.case or CASES:
            job = make_job(Path(name), case, (width, height))
            row = {"size": options.size, "commit": commit()}
            job = replace(job, method="network", model=options.model)
            cases[case] = row | measure(job, options.warm_up or WARM_UPS)
    sys.stdout.write(write_report({"machine": machine(), "cases": cases}, options.out))


def make_job(folder: Path, case: str, size: tuple[int, int]) -> DeblurConfig:
    """Return a job on a clip of SEAM + 2 * AFTER frames: the rest is look-ahead."""
    frames = SEAM + 2 * AFTER
    job = DeblurConfig(folder / "wide.mp4", folder / "ultra.mp4", out=folder / "out.mp4", offset_s=0.0)
    job = replace(job, fov_ratio=2.0, lens_order="given")
    if case == "moving":
        wide, ultra = clips.make_pair(folder, frames, size, case)
        return replace(job, wide=wide, ultra=ultra)
    random = np.random.default_rng(0)
    scene = clips.make_scene(random, size)
    blurred = clips.blurred_view(scene, 0.0, 1.0, size)

    def noisy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seen = picture + random.normal(0, NOISE, picture.shape)
        return np.asarray(np.clip(seen, 0, 255), np.uint8)

    if case == "still":
        sharp = clips.view(scene, 0.0, 2.0, size)
        clips.write_clip(job.wide, frames, size, lambda i: noisy(blurred))
        clips.write_clip(folder / "ultra.mp4", frames, size, lambda i: noisy(sharp))
        return job
    sharp = clips.view(scene, 0.0, 1.0, size)
    pictures = tuple([noisy(view) for _ in range(frames)] for view in (blurred, sharp))
    views = replace(FULL, pictures=pictures, sound=False)
    if case == "spatial":
        return DeblurConfig(make_spatial_clip(folder / "in.mov", views=views), out=folder / "out.mov", view=0)
    wide, ultra = (make_flat_clip(folder / f"view{number}.mov", number, views) for number in (0, 1))
    return replace(job, wide=wide, ultra=ultra, fov_ratio=1.0)


def measure(config: DeblurConfig, warm_ups: Sequence[int]) -> dict[str, Any]:
    """Return the error by frames of warm-up."""
    plan = make_plan(config)
    frames = aligned_frames(plan)
    choice = choose_method(config, plan.wide)
    whole = changes(plan, frames)[SEAM : SEAM + AFTER]
    rows = {}
    for warm_up in warm_ups:
        found = changes(plan, frames[SEAM - warm_up :], warm_up)[warm_up : warm_up + AFTER]
        rows[warm_up] = agreement(whole, found)
    return {"model": choice.model, "precision": choice.precision, "chunk": choice.chunk, "by_warm_up": rows}


def aligned_frames(plan: DeblurPlan) -> list[AlignedFrame]:
    """Return all aligned frames of a pair; it is short."""
    wide, pair = plan.wide, plan.pair
    registration, _ = register_clips(wide, pair.ultra, plan.clock, lens_prior(pair), lambda event: None)
    assert registration.accepted
    with ClipReader(wide) as first, ClipReader(pair.ultra) as second:
        aligned = render_references(pair_frames(first, second, plan.clock), registration)
        return list(fuse_references(aligned, plan.choice.reference_radius))


def changes(plan: DeblurPlan, frames: Sequence[AlignedFrame], warm_up: int = 0) -> list[NDArray[np.float32]]:
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
