"""Accuracy of the registration of two lenses on synthetic pairs with known geometry, as JSON.

    python benchmarks/registration.py PHOTOS --out benchmarks/results/registration.json

Photos under hand shake, 640x360, with noise and other colours: field-of-view ratios of 1.5 to 2.2, up to 2
degrees of rotation, blur of 3 to 30 pixels of a 1080p frame, constant and drifting geometry. Errors: wide
pixels at 1920x1080, median over the frame. "seen" is the error over textured parts, because an empty sky
cannot be located.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from report import write_report

from asled_cli.imaging.homography import Matrix, apply, pixel_grid
from asled_cli.lab.bench.run import machine
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import Lens, draw_hand_motion, film
from asled_cli.lab.datasets.sources import find_sources
from asled_cli.lab.synthesis.shake_blur import read_picture
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import Frame, FramePair

SIZE = (640, 360)  # (width, height) of the clips
TO_1080 = 1920 / SIZE[0]  # errors are given in pixels of a 1080p frame
RUNS = 4  # short runs that the analysis samples
RUN_FRAMES = 11
CLIP_S = 8.0
RATE = 30  # frames per second
EXPOSURE_FRAMES = 0.8  # in frame intervals
NOISE = 2.0  # codes of 255, standard deviation


@dataclass(frozen=True)
class Case:
    """One synthetic clip: geometry at its start and its drift to its end."""

    photo: Path
    seed: int
    ratio: float
    rotation_deg: float
    blur_px: float  # of a 1080p frame
    zoom_drift: float = 0.0  # relative change of the ratio over the clip
    shift_drift_px: float = 0.0  # of a 1080p frame

    def rig(self, time_s: float) -> LensRig:
        """Return the geometry at a time."""
        share = time_s / CLIP_S - 0.5
        drift = self.shift_drift_px / TO_1080 * share
        return LensRig(
            ratio=self.ratio * (1 + self.zoom_drift * share),
            rotation_deg=self.rotation_deg,
            shift_px=(6.0 + drift, -4.0 + 0.5 * drift),
            perspective=(0.004, -0.003),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, register them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of sharp photos")
    parser.add_argument("--clips", type=int, default=48, help="number of clips [48]")
    parser.add_argument("--drifting", action="store_true", help="only the clips that drift")
    parser.add_argument("--out", type=Path, help="JSON file; clips in it are not done again")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    photos = list(find_sources(options.photos, "all").photos.values())
    rows = []
    if options.out is not None and options.out.exists():
        rows = json.loads(options.out.read_text())["clips"]
    done = {row["seed"] for row in rows}
    for case in cases(photos, options.clips):
        if case.seed in done or (options.drifting and not case.zoom_drift):
            continue
        rows.append(measure(case))
        sys.stderr.write(json.dumps(rows[-1]) + "\n")
        write_report({"machine": machine(), "summary": summary(rows), "clips": rows}, options.out)
    sys.stdout.write(json.dumps(summary(rows), indent=1) + "\n")


def cases(photos: Sequence[Path], count: int) -> Iterator[Case]:
    """Return the cases; every third one drifts."""
    ratios, blurs = (1.5, 1.7, 1.85, 2.0, 2.2), (3.0, 10.0, 20.0, 30.0)
    generator = np.random.default_rng(0)
    for i, (ratio, blur) in enumerate(
        itertools.islice(itertools.cycle(itertools.product(ratios, blurs)), count)
    ):
        drifts = i % 3 == 2
        yield Case(
            photo=photos[int(generator.integers(len(photos)))],
            seed=i,
            ratio=ratio,
            rotation_deg=float(generator.uniform(-2, 2)),
            blur_px=blur,
            zoom_drift=float(generator.uniform(-0.03, 0.03)) if drifts else 0.0,
            shift_drift_px=float(generator.uniform(-30, 30)) if drifts else 0.0,
        )


def measure(case: Case) -> dict[str, Any]:
    """Register one clip and return errors to its true geometry, at its runs and between them."""
    began = time.process_time()
    runs = film_runs(case)
    made_s = time.process_time() - began
    began = time.process_time()
    found = analyse(runs, LensPrior())
    times = np.linspace(0.2, CLIP_S - 0.6, 13)
    lens = Lens(SIZE, case.rig)
    errors = [np.median(distance_px(found, float(t), lens.from_wide(float(t), SIZE))) for t in times]
    pair = runs[RUNS // 2][RUN_FRAMES // 2]
    truth = lens.from_wide(float(pair.target.time), SIZE)
    seen = distance_px(found, float(pair.target.time), truth)[structured(pair, truth)]
    middle = found.knots[len(found.knots) // 2].time_s
    return {
        "seed": case.seed,
        "photo": case.photo.stem,
        "ratio": case.ratio,
        "rotation_deg": round(case.rotation_deg, 2),
        "blur_px": case.blur_px,
        "drifts": case.zoom_drift != 0,
        "ratio_error": round(abs(found.fov_ratio / case.rig(middle).ratio - 1), 5),
        "error_px": round(float(np.median(errors)), 3),
        "seen_px": round(float(np.median(seen)), 3),
        "worst_px": round(float(np.max(errors)), 3),
        "correlation": round(found.correlation, 3),
        "accepted": found.accepted,
        "exposure": round(found.exposure.length, 2),
        "analysis_s": round(time.process_time() - began, 1),
        "made_s": round(made_s, 1),
    }


def film_runs(case: Case) -> list[list[FramePair]]:
    """Film short runs of pairs spread over the clip, as the analysis samples them."""
    photo = read_picture(case.photo)
    need = 1.15 * case.ratio * max(SIZE[0] / photo.shape[1], SIZE[1] / photo.shape[0])
    if need > 1:
        photo = cv2.resize(photo, None, fx=need, fy=need, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    exposure_s = EXPOSURE_FRAMES / RATE
    hand = draw_hand_motion(case.seed, case.blur_px / TO_1080 / exposure_s / np.sqrt(2))
    noise = np.random.default_rng(case.seed)
    wide, ultra = Lens(SIZE, None, exposure_s), Lens(SIZE, case.rig, 0.1 * exposure_s)
    runs = []
    for start in np.linspace(0.2, CLIP_S - 0.6, RUNS):
        times = [float(start) + i / RATE for i in range(RUN_FRAMES)]
        views = [_noisy(film(photo, hand, lens, times, SIZE), noise) for lens in (wide, ultra)]
        tinted = np.clip(views[1] * np.array([1.05, 0.95, 0.85]) * 0.95 + 4, 0, 255).astype(np.uint8)
        runs.append([_pair(i, t, views[0][i], tinted[i]) for i, t in enumerate(times)])
    return runs


def _noisy(frames: Any, noise: np.random.Generator) -> Any:
    return np.clip(frames + noise.normal(0, NOISE, frames.shape), 0, 255).astype(np.uint8)


def _pair(index: int, time_s: float, wide: Any, ultra: Any) -> FramePair:
    stamp = Fraction(time_s).limit_denominator(90_000)
    target, reference = (Frame(index, index, stamp, to_16_bit(view), None) for view in (wide, ultra))
    return FramePair(target, reference)


def distance_px(found: Registration, time_s: float, truth: Matrix) -> Any:
    """Return (H, W): each pixel's distance to its true position, in pixels of a 1080p wide frame."""
    knot = found.at(time_s)
    x, y = pixel_grid(SIZE)
    shift = cv2.resize(knot.field, SIZE, interpolation=cv2.INTER_LINEAR)
    u, v = apply(knot.homography, x + shift[..., 0], y + shift[..., 1])
    true_x, true_y = apply(
        np.asarray(np.linalg.inv(truth), np.float64), u, v
    )  # in the wide picture, where a pixel is a pixel
    return np.hypot(true_x - x, true_y - y) * TO_1080


def structured(pair: FramePair, truth: Matrix) -> Any:
    """Return (H, W) bool: where the sharp view, seen as the wide one, has edges stronger than its noise."""
    assert pair.reference is not None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sharp = cv2.warpPerspective(pair.reference.rgb, truth, SIZE, flags=flags).astype(np.float32)
    grey = cv2.GaussianBlur(cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY) / 257, (0, 0), 1.5)
    steepness = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8)
    return steepness > NOISE


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the main figures of all clips, and of constant and drifting ones separately."""
    groups = {
        "all": rows,
        "steady": [r for r in rows if not r["drifts"]],
        "drifting": [r for r in rows if r["drifts"]],
    }
    return {
        name: {
            "clips": len(group),
            "accepted": sum(r["accepted"] for r in group),
            "ratio_error_median": round(float(np.median([r["ratio_error"] for r in group])), 5),
            "ratio_within_1_percent": sum(r["ratio_error"] <= 0.01 for r in group),
            "error_px_median": round(float(np.median([r["error_px"] for r in group])), 3),
            "error_below_0.7_px": sum(r["error_px"] < 0.7 for r in group),
            "error_px_worst": max(r["error_px"] for r in group),
            "seen_px_worst": max((r["seen_px"] for r in group if "seen_px" in r), default=None),
            "worst_moment_px_median": round(float(np.median([r["worst_px"] for r in group])), 3),
        }
        for name, group in groups.items()
        if group
    }


if __name__ == "__main__":
    main()
