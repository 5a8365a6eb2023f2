"""How well the offset of two clips is found by camera motion, and that strangers are not believed, as JSON.

    python benchmarks/clocks.py PHOTOS --out benchmarks/results/clocks.json

Photos under hand shake at 256x144 with noise; equal and unequal frame rates, dropped frames with jitter, and
pairs of two different hands.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.filming import Lens, draw_hand, film
from asled_cli.lab.rig import LensRig
from asled_cli.lab.shake import read_picture
from asled_cli.lab.sources import find_sources
from asled_cli.registration.camera_motion import MotionCurve, measure_motion
from asled_cli.registration.curves import match_curves

SIZE = (256, 144)
LENGTHS_S = (11.0, 9.0)
OFFSETS_S = (-2.37, 5.2, 0.3, 1.234, -1.0, 3.3)
RATES = {"30 and 30": (30, 30), "24 in 30": (24, 30), "30 in 60": (30, 60)}
NOISE = 3.0  # codes of 255
SPEED_PX_S, EXPOSURE_S = 60.0, 0.03


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of sharp photos")
    parser.add_argument("--out", type=Path, help="JSON file; default: stdout only")
    options = parser.parse_args(words)
    cv2.setNumThreads(1)
    photos = list(find_sources(options.photos, "all").photos.values())
    rows = list(measure_all(photos))
    related = [r for r in rows if r["kind"] != "two hands"]
    others = [r for r in rows if r["kind"] == "two hands"]
    found = {
        "related": len(related),
        "believed": sum(r["confidence"] >= 0.5 for r in related),
        "error_ms_median": round(float(np.median([abs(r["error_ms"]) for r in related])), 2),
        "error_ms_worst": max(abs(r["error_ms"]) for r in related),
        "two_hands": len(others),
        "two_hands_believed": sum(r["confidence"] >= 0.5 for r in others),
    }
    if options.out is not None:
        options.out.write_text(json.dumps({"motion": found, "clips": rows}, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def measure_all(photos: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """One row for each clip pair."""
    for seed, offset in enumerate(OFFSETS_S):
        photo = read_picture(photos[seed * 7 % len(photos)])
        photo = cv2.resize(photo, (800, 600), interpolation=cv2.INTER_AREA).astype(np.uint8)
        for name, rates in RATES.items():
            yield measure(photo, seed, offset, rates, name)
        yield measure(photo, seed, offset, (30, 30), "dropped frames", dropped=0.1)
        yield measure(photo, seed, offset, (30, 30), "two hands", other_hand=True)


def measure(
    photo: NDArray[np.uint8],
    seed: int,
    offset_s: float,
    rates: tuple[int, int],
    kind: str,
    *,
    dropped: float = 0.0,
    other_hand: bool = False,
) -> dict[str, Any]:
    """Film one pair and find its offset by motion."""
    noise = np.random.default_rng(seed)
    hands = (draw_hand(seed, SPEED_PX_S), draw_hand(seed + 100 if other_hand else seed, SPEED_PX_S))
    lenses = (
        Lens(SIZE, None, EXPOSURE_S),
        Lens(SIZE, lambda _: LensRig(2.0, 1.0, (5.0, 3.0)), EXPOSURE_S / 10),
    )
    curves: list[MotionCurve] = []
    for lens, hand, rate, length, start in zip(
        lenses, hands, rates, LENGTHS_S, (5.0, 5.0 + offset_s), strict=True
    ):
        times = np.arange(0, length, 1 / rate)
        if dropped:
            times = times[noise.random(len(times)) > dropped]
            times = times + noise.normal(0, 0.001, len(times))
        frames = film(photo, hand, lens, list(times + start), SIZE)
        curves.append(measure_motion(zip(times, (_grey(f, noise) for f in frames), strict=True)))
    found = match_curves(curves[0], curves[1])
    assert found is not None
    return {
        "kind": kind,
        "offset_s": offset_s,
        "error_ms": round((found.offset_s - offset_s) * 1e3, 2),
        "correlation": round(found.correlation, 3),
        "significance": round(found.significance, 2),
        "confidence": round(found.confidence, 3),
    }


def _grey(frame: NDArray[np.uint8], noise: np.random.Generator) -> NDArray[np.uint8]:
    noisy = np.clip(frame + noise.normal(0, NOISE, frame.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(noisy, cv2.COLOR_RGB2GRAY), np.uint8)


if __name__ == "__main__":
    main()
