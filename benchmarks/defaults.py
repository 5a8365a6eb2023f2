"""Loss of a run with default options, relative to a run with known offset and geometry, as JSON.

    python benchmarks/defaults.py SOURCES --out benchmarks/results/defaults.json

The pairs have different start times and the whole ultra-wide view: two of averaged real videos (played at
twice their speed, the views half a frame apart), two of photos under hand shake; with sound and silent. Each
is deblurred without options, and with --offset, --fov-ratio and --lens-order given. Rows that --out
already has are not measured again.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report

from asled_cli.imaging.warp import warp_homography
from asled_cli.job.config import DeblurConfig, Method
from asled_cli.lab.bench.run import machine
from asled_cli.lab.camera.dual_lens import LensRig, soften_for_ultra
from asled_cli.lab.camera.filming import SOUND_RATE, Lens, Sound, draw_hand_motion, film, write_film
from asled_cli.lab.datasets.sources import find_sources
from asled_cli.lab.synthesis.shake_blur import read_picture
from asled_cli.pipeline import run_deblur

Clip8 = NDArray[np.uint8]

SIZE = (448, 256)  # (width, height), as the evaluation sets
RATE = 30  # frames per second
FRAMES = 72
NOISE = 2.0  # codes of 255
# Colours of the ultra view: gain of R, G, B, and added codes of 255.
TINT = np.array([1.05, 0.95, 0.85]) * 0.95
LIFT = 4.0
AVERAGED = 5  # source frames of one wide frame: an exposure of 2.5 frame intervals
# RMS speed of the hand per axis, and exposure: a blur of about 10 pixels.
SPEED_PX_S = 260.0
EXPOSURE_S = 0.028


@dataclass(frozen=True)
class Case:
    """One pair. late: frames by which the ultra clip starts later. rig: its geometry."""

    source: str
    late: float
    rig: LensRig
    sound: bool

    @property
    def offset_s(self) -> float:
        """Return the true offset."""
        return self.late / RATE


METHODS: tuple[Method, ...] = ("swap", "network")
CASES = (
    Case("gopro_hero7_path_walk", 13.5, LensRig(1.6, 0.8, (4.0, -3.0)), sound=False),
    Case("sam2_cups_shell_game", -17.5, LensRig(1.9, -0.6, (-3.0, 2.0)), sound=True),
    Case("river_pier_restaurant", 13.4, LensRig(1.85, 1.5, (5.0, 3.0)), sound=False),
    Case("british_museum_glass_roof", -11.3, LensRig(2.1, -1.0, (-4.0, -2.0)), sound=True),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pairs, deblur them, write the JSON after every row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path, help="folder with sharp photos and videos")
    parser.add_argument("--out", type=Path, help="JSON file; default: stdout only")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    if options.out is not None and options.out.exists():
        rows = json.loads(options.out.read_text())["rows"]
    done = {(row["source"], row["method"]) for row in rows}
    for case in CASES:
        for method in METHODS:
            if (case.source, method) in done:
                continue
            rows.append(measure(case, method, options.sources))
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
            write_report({"machine": machine(), "rows": rows}, options.out)
    worst = max(row["lost_db"] for row in rows)
    sys.stdout.write(json.dumps({"pairs": len(rows), "worst_lost_db": worst}, indent=1) + "\n")


def measure(case: Case, method: Method, sources: Path) -> dict[str, Any]:
    """Return the scores of one pair with and without given values."""
    found = find_sources(sources, "all")
    with tempfile.TemporaryDirectory(prefix="asled-defaults-") as name:
        folder = Path(name)
        if case.source in found.videos:
            film_video(case, found.videos[case.source], folder)
        else:
            film_photo(case, found.photos[case.source], folder)
        plain = DeblurConfig(
            folder / "wide.mp4", folder / "ultra.mp4", out=folder / "default.mp4",
            truth=folder / "truth.mp4", method=method,
        )  # fmt: skip
        informed = replace(
            plain,
            out=folder / "given.mp4",
            offset_s=case.offset_s,
            fov_ratio=case.rig.ratio,
            lens_order="given",
            skip_sharp=False,
        )
        scores = [run_deblur(config) for config in (plain, informed)]
    default, given = scores
    assert default.psnr_result_db is not None and given.psnr_result_db is not None
    return {
        "source": case.source,
        "method": method,
        "sound": case.sound,
        "offset_s": round(case.offset_s, 4),
        "offset_error_ms": round((float(default.plan.clock.offset_s) - case.offset_s) * 1e3, 2),
        "offset_source": default.plan.pair.timing.description,
        "fov_ratio": case.rig.ratio,
        "fov_ratio_found": default.registration["fov_ratio"],
        "frames_unchanged": default.frames_unchanged,
        "psnr_input_db": round(default.psnr_input_db or 0.0, 3),
        "psnr_default_db": round(default.psnr_result_db, 3),
        "psnr_given_db": round(given.psnr_result_db, 3),
        "lost_db": round(given.psnr_result_db - default.psnr_result_db, 3),
    }


def film_video(case: Case, path: Path, folder: Path) -> None:
    """Write means of frames of a real video for the wide lens, single frames for the ultra-wide one."""
    with av.open(str(path)) as container:
        frames = [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)]
    # Twice as fast: two source frames make one interval. The whole picture is what the ultra lens sees.
    scale = SIZE[0] / frames[0].shape[1] * case.rig.ratio
    home = np.array([[1 / scale, 0, 0], [0, 1 / scale, 0], [0, 0, 1]])
    middle = np.array(frames[0].shape[1::-1]) / 2 * scale - np.array(SIZE) / 2
    wide_map = home @ np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1.0]])
    ultra_map = wide_map @ np.linalg.inv(case.rig.homography(SIZE))
    half = AVERAGED // 2
    first = half + max(0, round(-2 * case.late))
    wide_at = range(first, min(first + 2 * FRAMES, len(frames) - half), 2)
    start = first + round(2 * case.late)
    ultra_at = range(start, min(start + 2 * FRAMES, len(frames)), 2)
    needed = range(min(wide_at) - half, max(wide_at) + half + 1)
    sharp = {i: warp_homography(frames[i], wide_map, SIZE) for i in needed}
    means = [np.mean([sharp[i + k] for k in range(-half, half + 1)], axis=0) for i in wide_at]
    # The source is sampled 1 / scale times as densely as the wide view.
    soft = max(1.0, case.rig.ratio / scale)
    ultra = [warp_homography(soften_for_ultra(frames[i], soft), ultra_map, SIZE) for i in ultra_at]
    write_pair(case, folder, np.stack(means), np.stack([sharp[i] for i in wide_at]), np.stack(ultra))


def film_photo(case: Case, path: Path, folder: Path) -> None:
    """Write a photo under hand shake seen by both lenses."""
    photo = read_picture(path)
    need = 1.25 * case.rig.ratio * max(SIZE[0] / photo.shape[1], SIZE[1] / photo.shape[0])
    if need > 1:
        photo = cv2.resize(photo, None, fx=need, fy=need, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    hand = draw_hand_motion(5, SPEED_PX_S)
    times = [5 + i / RATE for i in range(FRAMES)]
    late = [t + case.offset_s for t in times]
    views = [
        film(photo, hand, Lens(SIZE, None, EXPOSURE_S), times, SIZE),
        film(photo, hand, Lens(SIZE), times, SIZE),
        film(photo, hand, Lens(SIZE, lambda _: case.rig, EXPOSURE_S / 10), late, SIZE),
    ]
    write_pair(case, folder, *views)


def write_pair(
    case: Case, folder: Path, wide: NDArray[Any], truth: NDArray[Any], ultra: NDArray[Any]
) -> None:
    """Write the three clips, with noise on both views and other colours in the ultra view."""
    generator = np.random.default_rng(3)
    moment = np.convolve(generator.normal(0, 0.1, 9 * SOUND_RATE), np.ones(5) / 5, "same").astype(np.float32)
    clips = {"wide": wide, "truth": truth, "ultra": ultra * TINT + LIFT}
    for name, clip in clips.items():
        noise = 0.0 if name == "truth" else generator.normal(0, NOISE, clip.shape)
        frames = np.clip(np.rint(clip + noise), 0, 255).astype(np.uint8)
        start = round((2 + (case.offset_s if name == "ultra" else 0)) * SOUND_RATE)
        part = moment[start : start + len(frames) * SOUND_RATE // RATE]
        sound = Sound(part) if case.sound and name != "truth" else None
        write_film(folder / f"{name}.mp4", frames, [i / RATE for i in range(len(frames))], sound, crf=14)


if __name__ == "__main__":
    main()
