"""Cost of decoding both views of spatial video at 1080p, against the time that a frame takes, as JSON.

    python benchmarks/spatial_decoding.py --out benchmarks/results/spatial_decoding.json

A job on one view reads the file twice: once for each view. Decoding runs in threads of its own; what counts
here is the CPU time per frame of both readers, as a share of the CPU time of the whole job per frame, by
`swap`, the cheapest method. The registration is known, so that its time does not count as a frame's.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from report import write_report

from asled_cli.job.config import DeblurConfig
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
from factories.spatial import FULL, make_spatial_clip  # type: ignore[import-not-found]  # noqa: E402
from factories.textures import texture  # type: ignore[import-not-found]  # noqa: E402

SIZE = (1920, 1080)
STEP = 6  # pixels that the camera pans per frame
BLUR = 13  # pixels of the main view


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clip, decode it, deblur its main view, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12, help="of the clip [12]")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = make_clip(Path(folder) / "in.mov", options.frames)
        clip = probe_clip(path)
        views = [decoding_s(replace(clip, view=number), options.frames) for number in (0, 1)]
        began = time.process_time()
        config = DeblurConfig(path, out=Path(folder) / "out.mov", method="swap", target="wide")
        run_job(replace(config, output_views="wide"), steps=Steps(analyse=known))
        whole = (time.process_time() - began) / options.frames
        megabits = path.stat().st_size * 8e-6 * 30 / options.frames
    found = {
        "size": f"{SIZE[0]}x{SIZE[1]}", "frames": options.frames, "megabits_per_second": round(megabits, 1),
        "main_view_s": round(views[0], 4), "second_view_s": round(views[1], 4),
        "frame_s": round(whole, 3), "share_of_frame": round(sum(views) / whole, 3),
    }  # fmt: skip
    sys.stdout.write(write_report(found, options.out))


def make_clip(path: Path, frames: int) -> Path:
    """Write a clip of a panning camera, whose main view is blurred."""
    scene: NDArray[np.uint8] = texture(SIZE[0] + STEP * frames, SIZE[1], seed=5)
    sharp = [scene[:, STEP * i : STEP * i + SIZE[0]] for i in range(frames)]
    blurred = [np.asarray(cv2.blur(picture, (BLUR, 1)), np.uint8) for picture in sharp]
    pictures = [np.ascontiguousarray(picture) for picture in sharp]
    made: Path = make_spatial_clip(path, views=replace(FULL, pictures=(blurred, pictures), crf=24))
    return made


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
