"""Loss by rolling shutter, OIS of the wide lens, and EIS.

    python benchmarks/moving_lenses.py PHOTO... --out benchmarks/results/moving_lenses.json

Each photo is filmed under hand shake (16 frames of 448x256, noise, HEVC) with several readout times (in frame
intervals), OIS (compensated share of the shake) and EIS (frames over which the path of both clips is
smoothed). PSNR in dB of the input, of `swap` with averaged references, and of asled-fast alone. Once with the
program's registration, and once with a registration for rigid lenses without rolling shutter and EIS. Means
over the photos.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from report import write_report

from asled_cli.lab.camera.degradation import SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.lab.training_data.cached_clip import read_clip, stack_samples, to_inputs, to_tensors
from asled_cli.lab.training_data.register import make_sample, write_sample
from asled_cli.nets.blend import swap
from asled_cli.registration import analyse
from asled_cli.zoo import checkpoint as weights

SIZE = (448, 256)  # (width, height), as the evaluation sets
FRAMES = 16
# Readout in frame intervals, OIS share, EIS window in frames.
CASES = (
    (0.0, 0.0, 0.0),
    (0.3, 0.0, 0.0),
    (0.6, 0.0, 0.0),
    (0.0, 0.5, 0.0),
    (0.5, 0.5, 0.0),
    (0.0, 0.0, 8.0),
    (0.0, 0.4, 5.0),
)
WIDE = SensorModel(noise=(0.004, 0.010), noise_blur=0.6, codec="hevc", crf=22)
ULTRA = SensorModel(
    tone=ToneCurve(gain=(1.05, 1, 0.95), gamma=(1.04, 1.04, 1.04), saturation=0.95),
    noise=(0.007, 0.018),
    noise_blur=0.6,
    sharpen=0.3,
    codec="hevc",
    crf=23,
)


def filmed(photo: Path, seed: int, case: tuple[float, float, float]) -> SyntheticPair:
    """Return the photo under hand shake, with about 12 px of blur where nothing stabilises."""
    readout, ois, eis_window = case
    return shake_pair(
        photo, ShakeConfig(seed=seed, size=SIZE, frames=FRAMES, exposure=0.8, ultra_exposure=0.1, scale=0.6,
        shake=Shake(12.0, travel_px=4.0), readout=readout, ois=ois, eis_window=eis_window,
        rig=LensRig(1.93, 0.2, (6.0, -4.0)), lens_blur=0.4, wide_sensor=WIDE, ultra_sensor=ULTRA,
    ))  # fmt: skip


@contextmanager
def rigid() -> Iterator[None]:
    """Return a registration without rolling shutter and stabilisation of any kind."""
    with (
        mock.patch.object(analyse, "detect_ois", lambda *_: None),
        mock.patch.object(analyse, "choose_rolling", lambda _, exposure, __: exposure),
        mock.patch.object(analyse, "detect_eis", lambda *_: None),
    ):
        yield


def psnr(pictures: NDArray[Any], truth: NDArray[np.uint8]) -> float:
    """Return the mean over frames of the PSNR in dB of (T, H, W, 3) images 0..255."""
    errors = np.mean((pictures.astype(np.float64) - truth) ** 2, axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / errors)))


def scores(pair: SyntheticPair, net: torch.nn.Module) -> dict[str, float]:
    """Return the PSNR of swap with averaged references, and of the network."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.npz")
        write_sample(path, make_sample(pair, reach=2))
        inputs, _ = to_inputs(stack_samples([to_tensors(read_clip(path))]), torch.device("cpu"))
    with torch.inference_mode():
        views = {"swap": swap(inputs), "asled-fast": net(inputs)[0]}
    return {name: psnr(_pictures(view), pair.truth) for name, view in views.items()}


def _pictures(view: torch.Tensor) -> NDArray[np.float32]:
    """Return a clip (1, T, 3, H, W) as (T, H, W, 3), 0..255."""
    return np.asarray(view[0].float().clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255, np.float32)


def measure(
    photos: Sequence[Path], case: tuple[float, float, float], net: torch.nn.Module
) -> dict[str, float]:
    """Return the means over the photos of one case, and the lowest gain of asled-fast."""
    inputs: list[float] = []
    columns: dict[str, list[float]] = {}
    for seed, photo in enumerate(photos):
        pair = filmed(photo, seed, case)
        inputs.append(psnr(pair.wide, pair.truth))
        for way, knowing in (("rigid", rigid), ("followed", nullcontext)):
            with knowing():
                for method, score in scores(pair, net).items():
                    columns.setdefault(f"{way}, {method}", []).append(score)
    means = {"input": np.mean(inputs), **{name: np.mean(column) for name, column in columns.items()}}
    gains = {way: np.min(np.subtract(columns[f"{way}, asled-fast"], inputs)) for way in ("rigid", "followed")}
    lowest = {f"{way}, lowest gain": gain for way, gain in gains.items()}
    return {name: round(float(value), 3) for name, value in {**means, **lowest}.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, deblur them, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    net = weights.load(weights.find("asled-fast")).eval()
    found = []
    for case in CASES:
        named = dict(zip(("readout", "ois", "eis_window"), case, strict=True))
        found.append(named | measure(options.photos, case, net))
        sys.stderr.write(f"{found[-1]}\n")
    sys.stdout.write(write_report(found, options.out))


if __name__ == "__main__":
    main()
