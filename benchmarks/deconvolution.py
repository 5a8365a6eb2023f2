"""Gain of multi-frame deconvolution of one clip from its own frames, by kind of clip, as JSON.

    python benchmarks/deconvolution.py SOURCES --out benchmarks/results/deconvolution.json [--held-out]

SOURCES: a folder of sharp photos and videos; the training split is used unless --held-out is given. The clips
are 448x256: photos under hand shake (one plane, and with a nearer layer), means of video frames, sharp clips,
and photos at phone bit rates. Motion and exposure are estimated from the blurred frames. Gains are in dB of
PSNR over the input, mean and minimum over the frames. A clip whose exposure is 0 is left unchanged, and
here one whose blur is not the camera's.
`seconds_per_frame` is CPU time without the search for the exposure.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from report import write_report

from asled_cli.deconvolution.clip_exposure import clip_exposure
from asled_cli.deconvolution.single_lens import deblur_frames
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.datasets.sources import Sources, find_sources
from asled_cli.lab.eval_sets.builders import wide_sensor
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

_FRAMES = 14
_VIDEO_FRAMES = 12  # the shortest video has 109 frames
_SIZE = (448, 256)
_BLUR_PX = (8.0, 16.0, 28.0)


def main() -> None:
    """Make the clips, deconvolve them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--held-out", action="store_true", help="take the sources that no network trains on")
    parser.add_argument("--each", type=int, default=6, help="photos per kind")
    parser.add_argument("--kinds", nargs="*", help="only these kinds")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sources = find_sources(options.sources, "held-out" if options.held_out else "train")
    found: dict[str, dict[str, Any]] = {}
    for kind, name, make in clips(sources, options.each):
        if not options.kinds or kind in options.kinds:
            scores = found.setdefault(kind, {})[name] = measure(make())
            print(kind, name, f"{scores['gain_db']:+.2f} dB", file=sys.stderr, flush=True)  # noqa: T201
    means = {
        kind: {key: float(np.mean([s[key] for s in scores.values()])) for key in ("input_db", "gain_db")}
        | {"lowest_clip_db": min(s["gain_db"] for s in scores.values())}
        for kind, scores in found.items()
    }
    print(write_report({"means": means, "clips": found}, options.out), end="")  # noqa: T201


def clips(sources: Sources, each: int) -> Iterator[tuple[str, str, Callable[[], SyntheticPair]]]:
    """Yield the kind, the source's name and how to make each clip."""
    photos = list(sources.photos)
    chosen = photos[:: max(1, len(photos) // each)][:each]
    for i, name in enumerate(chosen):
        near = Depth(sources.photos[photos[(photos.index(name) + 7) % len(photos)]], extent=0.45)
        shake = Shake(_BLUR_PX[i % len(_BLUR_PX)])
        kinds: dict[str, dict[str, Any]] = {
            "photo": {},
            "photo, low bit rate": {"wide_sensor": wide_sensor("hevc", 32)},
            "photo, half exposure": {"exposure": 0.5},
            "photo, near layer": {
                "depths": (near,), "baseline_px": (5.0, 1.0), "shake": Shake(shake.blur_px, travel_px=4.0),
            },
            "photo, moving object": {
                "depths": (Depth(near.picture, 0.3, 0.0, (3.0, 0.5)),), "baseline_px": (0.0, 0.0),
            },
            "photo, sharp": {"exposure": 0.0},
        }  # fmt: skip
        for kind, settings in kinds.items():
            usual = {"exposure": 0.8, "shake": shake, "wide_sensor": wide_sensor("hevc", 23), "scale": 0.6}
            yield kind, name, _shake(sources.photos[name], i, {**usual, **settings})
    for name, video in sources.videos.items():
        for count, step in ((7, 1), (7, 8)):
            yield f"video, {count} of {step}", name, _average(video, count, step)
        yield "video, sharp", name, _average(video, 1, 1)


def _shake(photo: Path, seed: int, settings: dict[str, Any]) -> Callable[[], SyntheticPair]:
    return lambda: shake_pair(photo, ShakeConfig(seed=seed, size=_SIZE, frames=_FRAMES, **settings))


def _average(video: Path, count: int, step: int) -> Callable[[], SyntheticPair]:
    config = AverageConfig(
        seed=1, size=_SIZE, frames=_VIDEO_FRAMES, count=count, step=step, scale=0.75, start=0,
        pan_px=(2.0 / step, 1.0 / step), wobble=0.8, wide_sensor=wide_sensor("hevc", 23),
    )  # fmt: skip
    return lambda: average_pair(video, config)


def measure(pair: SyntheticPair) -> dict[str, Any]:
    """Return the gain of the deconvolution on the wide clip of a pair."""
    frames = [frame.astype(np.uint16) * 257 for frame in pair.wide]
    began = time.process_time()
    fit = clip_exposure([frames])
    searched = time.process_time()
    exposure = fit.exposure if fit.motion == "camera" else 0.0
    changes = [result.change for result in deblur_frames(frames, exposure)]
    taken = time.process_time() - searched
    before = np.array([_psnr(w, None, t) for w, t in zip(pair.wide, pair.truth, strict=True)])
    after = np.array(
        [_psnr(w, c, t) for w, c, t in zip(pair.wide, changes, pair.truth, strict=True)]
    )  # fmt: skip
    power = np.mean([0.0 if c is None else float(np.square(c).mean()) for c in changes])
    return {
        "input_db": float(before.mean()),
        "gain_db": float((after - before).mean()),
        "lowest_frame_db": float((after - before).min()),
        "to_itself_db": float(-10 * np.log10(power)) if power else None,
        "exposure": pair.exposure,
        "found_exposure": fit.exposure,
        "explained": fit.explained,
        "search_seconds": searched - began,
        "seconds_per_frame": taken / len(frames),
    }


def _psnr(frame: NDArray[np.uint8], change: NDArray[np.float32] | None, truth: NDArray[np.uint8]) -> float:
    coded = frame / 255 if change is None else np.clip(frame / 255 + change, 0, 1)
    return float(-10 * np.log10(np.mean(np.square(coded - truth / 255)) + 1e-12))


if __name__ == "__main__":
    main()
