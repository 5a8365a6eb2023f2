"""What spatial video costs: decoding of both views at 1080p, and memory against two files, as JSON.

    python benchmarks/spatial_cost.py decoding|memory --out benchmarks/results/spatial_cost.json

decoding: a job on one view reads the file twice, once for each view. What counts is the CPU time per frame of
both readers, as a share of the CPU time of the whole job per frame, by `swap`, the cheapest method. The
registration is known, so that its time does not count as a frame's.
memory: peak of `asled deblur` at 720p on a spatial clip, and on the same coded views as two files, each of
them deblurred in turn. Each run is a process of its own.
The other part of --out is kept.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from report import write_report
from throughput import commit
from throughput import run_job as run_command

from asled_cli.job.config import DeblurConfig
from asled_cli.lab.bench.run import machine
from asled_cli.pipeline import Steps
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import read_pictures
from asled_cli.video.frames import Clip, FramePair

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from factories.spatial import (  # type: ignore[import-not-found]  # noqa: E402
    FULL,
    Views,
    make_flat_clip,
    make_spatial_clip,
)
from factories.textures import texture  # type: ignore[import-not-found]  # noqa: E402

DECODED, REMEMBERED = (1920, 1080), (1280, 720)  # sizes of the clips of both parts
STEP = 6  # pixels that the camera pans per frame
BLUR = 13  # pixels of the main view


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one part and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("decoding", "memory"))
    parser.add_argument("--frames", type=int, help="of the clip [decoding: 12, memory: 24]")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"machine": machine()}
    if options.out is not None and options.out.exists():
        found |= json.loads(options.out.read_text())
    with tempfile.TemporaryDirectory() as folder:
        if options.part == "decoding":
            found["decoding"] = decoding(Path(folder), options.frames or 12)
        else:
            found["memory"] = memory(Path(folder), options.frames or 24)
    sys.stdout.write(write_report(found, options.out))


def decoding(folder: Path, frames: int) -> dict[str, Any]:
    """Return the time of decoding both views and of a frame, seconds."""
    views = panned_views(DECODED, frames)
    path = make_spatial_clip(folder / "in.mov", views=views)
    clip = probe_clip(path)
    seconds = [decoding_s(replace(clip, view=number), frames) for number in (0, 1)]
    began = time.process_time()
    config = DeblurConfig(path, out=folder / "out.mov", method="swap", target="wide")
    run_job(replace(config, output_views="wide"), steps=Steps(analyse=known))
    whole = (time.process_time() - began) / frames
    return {
        "commit": commit(), "size": "{}x{}".format(*DECODED), "frames": frames,
        "megabits_per_second": round(path.stat().st_size * 8e-6 * 30 / frames, 1),
        "main_view_s": round(seconds[0], 4), "second_view_s": round(seconds[1], 4),
        "frame_s": round(whole, 3), "share_of_frame": round(sum(seconds) / whole, 3),
    }  # fmt: skip


def memory(folder: Path, frames: int) -> dict[str, Any]:
    """Return the peak memory of a spatial job and of the jobs on its views as two files."""
    views = panned_views(REMEMBERED, frames)
    spatial = make_spatial_clip(folder / "in.mov", views=views)
    files = [make_flat_clip(folder / f"view{number}.mov", number, views) for number in (0, 1)]
    given = ["--offset", "0", "--fov-ratio", "1", "--lens-order", "given"]
    runs = {
        "spatial": run_command((spatial,), folder, [], out="out.mov"),
        "main view of two files": run_command((files[0], files[1]), folder, given, out="0.mov"),
        "second view of two files": run_command((files[1], files[0]), folder, given, out="1.mov"),
    }
    peaks = {name: run["peak_mib"] for name, run in runs.items()}
    rows = {
        name: {
            "peak_mib": round(run["peak_mib"]),
            "method": run["plan"]["method"],
            "changed": run["result"]["frames_changed"],
        }
        for name, run in runs.items()
    }
    more = peaks.pop("spatial") / max(peaks.values()) - 1
    size = "{}x{}".format(*REMEMBERED)
    return {"commit": commit(), "size": size, "frames": frames, "runs": rows, "spatial_more": round(more, 3)}


def panned_views(size: tuple[int, int], frames: int) -> Views:
    """Return the views of a panning camera, whose main view is blurred."""
    scene: NDArray[np.uint8] = texture(size[0] + STEP * frames, size[1], seed=5)
    sharp = [scene[:, STEP * i : STEP * i + size[0]] for i in range(frames)]
    blurred = [np.asarray(cv2.blur(picture, (BLUR, 1)), np.uint8) for picture in sharp]
    pictures = [np.ascontiguousarray(picture) for picture in sharp]
    return replace(FULL, pictures=(blurred, pictures), crf=24)


def decoding_s(clip: Clip, frames: int) -> float:
    """Return the CPU time of decoding a view, seconds per frame."""
    began = time.process_time()
    count = sum(1 for _ in read_pictures(clip))
    assert count == frames
    return (time.process_time() - began) / count


def known(runs: Sequence[Sequence[FramePair]], prior: LensPrior) -> Registration:
    """Return the registration of two equal views."""
    target = runs[0][0].target.rgb.shape
    size = (target[1], target[0])
    field = np.zeros((size[1], size[0], 2), np.float32)
    knot = Knot(0.2, np.eye(3), field, MotionBlur(BLUR / STEP))
    return Registration(size, size, 1 / 30, (knot,), identity_tone(), 0.01, 1.0, True)


if __name__ == "__main__":
    main()
