"""Gains on spatial video against the same views as two files, as JSON.

    python benchmarks/spatial_gains.py --out benchmarks/results/spatial_gains.json

Two scenes (a frame of the example pair, and shapes drawn by code) filmed by two lenses of one scale under
hand shake: a nearer layer, parallax along the baseline, and the constant shift of rectified views. Three
kinds: the wide view sharp and the ultra-wide one blurred and noisy, the reverse, and both blurred alike. Each
clip is deblurred once as spatial video, once as two files with offset and ratio given; the files hold the
same coded pictures. Gains are in dB of PSNR against the sharp scene as each lens sees it.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from report import write_report
from throughput import commit

from asled_cli.imaging.light import linear_to_srgb, to_bytes
from asled_cli.job.config import DeblurConfig
from asled_cli.lab.bench.run import machine
from asled_cli.lab.camera.degradation import SensorModel
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.pipeline import run_deblur
from asled_cli.spatial.run import run_job
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from factories.shaken_clip import make_scene  # type: ignore[import-not-found]  # noqa: E402
from factories.spatial import (  # type: ignore[import-not-found]  # noqa: E402
    FULL,
    make_flat_clip,
    make_spatial_clip,
)

SIZE = (384, 208)  # (width, height)
NOISY = SensorModel(noise=(0.008, 0.02), noise_blur=0.6)
CLEAN = SensorModel(noise=(0.003, 0.008), noise_blur=0.6)
# Exposure of the wide and of the ultra-wide lens, frame intervals; blur within the longer one is 16 pixels.
KINDS = {"ultra blurred": (0.08, 0.8), "wide blurred": (0.8, 0.08), "both blurred": (0.8, 0.8)}
BLUR_PX = 16.0

Clip8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """What both lenses recorded and what they would have recorded without blur; (T, H, W, 3)."""

    name: str
    views: tuple[Clip8, Clip8]
    truths: tuple[Clip8, Clip8]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, deblur them both ways, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20, help="of each clip [20]")
    parser.add_argument("--method", default="auto", help="auto or swap [auto]")
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    rows: dict[str, Any] = {}
    for case in cases(options.frames):
        with tempfile.TemporaryDirectory() as folder:
            rows[case.name] = measure(case, Path(folder), options.method)
        sys.stderr.write(f"{case.name}: {rows[case.name]}\n")
        found = {"machine": machine(), "commit": commit(), "summary": summary(rows), "clips": rows}
        text = write_report(found, options.out)
    sys.stdout.write(text)


def cases(frames: int) -> Iterator[Case]:
    """Yield the clips: each scene in each kind."""
    with av.open(str(ROOT / "examples/pair/truth.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    photo = np.asarray(frame, np.uint8)
    drawn = to_bytes(linear_to_srgb(make_scene((576, 320), seed=3)))
    for scene, picture in (("photo", photo), ("shapes", drawn)):
        for kind, (wide, ultra) in KINDS.items():
            blur = BLUR_PX * min(1.0, wide / max(wide, ultra))
            config = ShakeConfig(
                seed=4, size=SIZE, frames=frames, scale=1.0, exposure=wide, ultra_exposure=ultra,
                shake=Shake(blur_px=blur), depths=(Depth(extent=0.45),), baseline_px=(5.0, 0.0),
                rig=LensRig(ratio=1.0, shift_px=(0.019 * SIZE[0], 0.0)),
                wide_sensor=CLEAN, ultra_sensor=NOISY if kind == "ultra blurred" else CLEAN,
            )  # fmt: skip
            pair = shake_pair(picture, config)
            sharp = shake_pair(picture, replace(config, ultra_exposure=0.0))
            yield Case(f"{scene}, {kind}", (pair.wide, pair.ultra), (pair.truth, sharp.ultra_clean))


def measure(case: Case, folder: Path, method: Any) -> dict[str, Any]:
    """Return what each view gained as spatial video and as one of two files, dB."""
    made = replace(FULL, pictures=tuple(map(list, case.views)), sound=False)
    spatial = make_spatial_clip(folder / "in.mov", views=made)
    files = [make_flat_clip(folder / f"view{number}.mov", number, made) for number in (0, 1)]
    both = run_job(DeblurConfig(spatial, out=folder / "out.mov", method=method))
    row: dict[str, Any] = {"views": []}
    for number, role in enumerate(("wide", "ultra")):
        out = folder / f"one{number}.mov"
        run_deblur(
            DeblurConfig(
                files[number], files[1 - number], out=out, method=method, offset_s=0.0, fov_ratio=1.0,
                lens_order="given",
            )
        )  # fmt: skip
        truth = case.truths[number]
        before = psnr(spatial, number, truth)
        view = next((v for v in both.views if v.plan.wide.view == number), None)
        row["views"].append({
            "view": role,
            "method": None if view is None else view.plan.choice.method,
            "changed": 0 if view is None else view.frames_changed,
            "before_db": round(before, 2),
            "spatial_gain_db": round(psnr(folder / "out.mov", number, truth) - before, 2),
            "two_files_gain_db": round(psnr(out, 0, truth) - before, 2),
        })  # fmt: skip
    return row


def psnr(path: Path, number: int, truth: Clip8) -> float:
    """Return the mean PSNR of one view of a clip, dB."""
    clip = probe_clip(path)
    with ClipReader(replace(clip, view=number)) as frames:
        errors = [
            np.square(frame.rgb / 65535 - sharp / 255).mean()
            for frame, sharp in zip(frames, truth, strict=True)
        ]
    return float(np.mean(-10 * np.log10(errors)))


def summary(rows: dict[str, Any]) -> dict[str, float]:
    """Return the extremes over all clips: of the blurred views, and of the sharp ones, dB."""
    views = [(name, view) for name, row in rows.items() for view in row["views"]]
    blurred = [view for name, view in views if "both" in name or view["view"] in name]
    sharp = [view for _, view in views if view not in blurred]
    return {
        "least_gain_of_a_blurred_view_db": min(view["spatial_gain_db"] for view in blurred),
        "largest_loss_of_a_blurred_view_against_two_files_db": round(max(map(_behind, blurred)), 2),
        "largest_loss_of_a_sharp_view_by_coding_it_again_db": round(max(map(_behind, sharp), default=0.0), 2),
    }


def _behind(view: dict[str, Any]) -> float:
    return float(view["two_files_gain_db"] - view["spatial_gain_db"])


if __name__ == "__main__":
    main()
