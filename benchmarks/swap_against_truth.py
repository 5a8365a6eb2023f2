"""Loss by registration: `--method swap` relative to a swap with true geometry and colour, as JSON.

    python benchmarks/swap_against_truth.py SOURCES --out benchmarks/results/swap_against_truth.json

SOURCES: a folder of sharp photos and videos; only held-out ones are used. Clean synthetic pairs, 448x256:
photos under hand shake with blur of 8, 20 and 40 px, the same with a nearer layer, and means of 3, 7 and 9
frames of videos under pans of up to 10 px per frame. The lenses differ in colour, gamma and geometry. One
plane is compared with the swap with true geometry and colour, two layers with the swap that knows only the
geometry of the far layer. Errors are in pixels of the wide frame, medians over the frame.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from report import write_report

from asled_cli.imaging.homography import apply, pixel_grid
from asled_cli.lab.camera.degradation import SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.datasets.sources import Sources, find_sources
from asled_cli.lab.synthesis.average_blur import average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.lab.training_data.register import frame_pairs, register
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight

SIZE = (448, 256)  # (width, height), as the evaluation sets
# Colour difference of the ultra lens, and the geometry of the two kinds of clips.
ULTRA_SENSOR = SensorModel(tone=ToneCurve(gain=(1.1, 0.95, 0.85), gamma=(0.9, 0.9, 0.9)))
SHAKEN = LensRig(ratio=1.9, rotation_deg=-0.3, shift_px=(-5.0, 4.0), perspective=(0.002, -0.001))
PANNED = LensRig(ratio=1.95, rotation_deg=0.3, shift_px=(6.0, -4.0))
FRAMES = 24  # of a shaken clip; the analysis measures 18 of them, as in any longer clip
BLURS = ((8.0, 0.5), (20.0, 0.8), (40.0, 0.9))  # pixels, exposure in frame intervals
AVERAGES = ((3, (10.0, 0.0)), (7, (6.0, 2.0)), (9, (3.0, 5.0)))  # frames, pan in pixels per frame

Make = Callable[[], SyntheticPair]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, deblur them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, help="folder of sharp photos and videos")
    parser.add_argument("--photos", type=int, default=4, help="number of photos [4]")
    parser.add_argument("--out", type=Path, help="JSON file; clips in it are not done again")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    rows: dict[str, dict[str, float]] = {}
    if options.out is not None and options.out.exists():
        rows = json.loads(options.out.read_text())["clips"]
    for name, make in cases(find_sources(options.sources, "held-out"), options.photos):
        if name not in rows:
            rows[name] = measure(make())
            sys.stderr.write(f"{name}: {rows[name]}\n")
        text = write_report({"summary": summary(rows), "clips": rows}, options.out)
    sys.stdout.write(text)


def cases(sources: Sources, count: int) -> Iterator[tuple[str, Make]]:
    """Yield the clips by name; names of clips with two layers begin with `layers`."""
    photos = list(sources.photos.items())
    for i, (name, path) in enumerate(photos[:: max(len(photos) // count, 1)][:count]):
        for blur, exposure in BLURS:
            given: dict[str, Any] = {"seed": i, "size": SIZE, "frames": FRAMES, "exposure": exposure,
                                     "rig": SHAKEN, "ultra_sensor": ULTRA_SENSOR}  # fmt: skip
            given["shake"] = Shake(blur_px=blur)
            yield f"shake {name} {blur:g}", _bind(shake_pair, path, given)
        given = given | {"exposure": 0.8, "shake": Shake(blur_px=20.0, travel_px=4.0)}
        given |= {"depths": (Depth(extent=0.5),), "baseline_px": (6.0, 4.0)}
        yield f"layers {name} 20", _bind(shake_pair, path, given)
    for i, (name, path) in enumerate(sources.videos.items()):
        for frames, pan in AVERAGES:
            given = {"seed": i, "size": SIZE, "count": frames, "pan_px": pan, "start": 8, "rig": PANNED,
                     "ultra_sensor": ULTRA_SENSOR}  # fmt: skip
            yield f"mean {name} {frames}", _bind(average_pair, path, given)


def _bind(make: Callable[..., SyntheticPair], path: Path, given: Mapping[str, Any]) -> Make:
    return lambda: make(path, **given)


def measure(made: SyntheticPair) -> dict[str, float]:
    """Return the error of the geometry and the PSNR in dB of input, swap, and the swaps with true values."""
    found, frames = register(frame_pairs(made), LensPrior())
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    far = np.stack([cv2.warpPerspective(u, made.homography, SIZE, flags=flags) for u in made.ultra_clean])
    rows = {
        "input_db": psnr(made.wide, made.truth),
        "swap_db": psnr(swapped(frames), made.truth),
        "true_swap_db": psnr(made.true_reference, made.truth),
        "far_swap_db": psnr(far, made.truth),
        "error_px": error_px(made, found),
        "exposure": found.exposure.length,
    }
    return {name: round(value, 3) for name, value in rows.items()}


def swapped(frames: Sequence[AlignedFrame]) -> NDArray[np.float32]:
    """Return the result of `--method swap`, (T, H, W, 3) 0..255."""
    pictures = []
    for frame in frames:
        target = frame.pair.target.rgb.astype(np.float32)
        reference = target if frame.reference is None else frame.reference
        pictures.append((target + swap_weight(frame)[..., None] * (reference - target)) / 257)
    return np.stack(pictures)


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the PSNR in dB of two clips 0..255, over all frames at once."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(np.float64) - other) ** 2)))


def error_px(made: SyntheticPair, found: Registration) -> float:
    """Return the median over the frame of the distance to the true geometry, in wide pixels."""
    knot = found.middle
    x, y = pixel_grid(SIZE)
    u, v = apply(knot.homography, x + knot.field[..., 0], y + knot.field[..., 1])
    back = np.asarray(np.linalg.inv(made.homography), np.float64)
    there_x, there_y = apply(back, u, v)
    return float(np.median(np.hypot(there_x - x, there_y - y)))


def summary(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the main figures: one plane against the true swap, two layers against the far layer's."""
    plane = [row for name, row in rows.items() if not name.startswith("layers")]
    layers = [row for name, row in rows.items() if name.startswith("layers")]
    result: dict[str, float] = {}
    if plane:
        errors = [row["error_px"] for row in plane]
        losses = [row["swap_db"] - row["true_swap_db"] for row in plane]
        result |= {
            "plane_clips": len(plane),
            "plane_error_px_median": float(np.median(errors)),
            "plane_error_px_worst": max(errors),
            "plane_gain_over_true_swap_db_mean": float(np.mean(losses)),
            "plane_gain_over_true_swap_db_worst": min(losses),
        }
    if layers:
        gains = [row["swap_db"] - row["far_swap_db"] for row in layers]
        result |= {
            "layer_clips": len(layers),
            "layer_gain_over_far_swap_db_mean": float(np.mean(gains)),
            "layer_gain_over_far_swap_db_worst": min(gains),
        }
    return {name: round(value, 3) for name, value in result.items()}


if __name__ == "__main__":
    main()
