"""Synthetic 4K phone clip through `asled deblur` and `asled verify`: what is preserved.

    python benchmarks/phone_4k.py [--frames 10] [--method swap] [--out FILE]

HEVC Main10 HLG BT.2020, 3840x2160 rotated to portrait, variable frame times, AAC, a second audio track of an
unknown codec, QuickTime keys of movie and track, a Dolby Vision box; and a simultaneous ultra-wide clip. Exit
code 1 if `asled verify --decode` finds a difference.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from kill_points import ROOT
from report import write_report
from throughput import commit, run_job

from asled_cli.lab.bench.clips import PAIR_PACE, Picture, blurred_view, make_scene, view
from asled_cli.lab.bench.run import machine

SIZE = (3840, 2160)  # 4K UHD, as phones record


def coded(picture: Picture) -> av.VideoFrame:
    """Return the image as 10-bit BT.2020."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return frame.reformat(format="yuv420p10le", dst_colorspace=Colorspace(9), dst_color_range=1)


def make_clips(folder: Path, frames: int) -> tuple[Path, Path]:
    """Make both clips."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.clips import hlg_portrait, phone_ticks  # type: ignore[import-not-found]

    scene = make_scene(np.random.default_rng(0), SIZE)
    shown: dict[str, Callable[[int], av.VideoFrame]] = {
        "wide": lambda i: coded(blurred_view(scene, PAIR_PACE * i, PAIR_PACE, SIZE)),
        "ultra": lambda i: coded(view(scene, PAIR_PACE * i, 2.0, SIZE)),
    }
    wide, ultra = (
        hlg_portrait(folder / f"{name}.mov", size=SIZE, ticks=phone_ticks(frames), shown=shown[name])
        for name in ("wide", "ultra")
    )
    return wide, ultra


def main() -> None:
    """Deblur and verify; write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--method", choices=("auto", "network", "swap"), default="swap")
    parser.add_argument("--preset", default="fast", help="of x265")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asled-4k-") as name:
        clips = make_clips(Path(name), options.frames)
        arguments = ["--method", options.method, "--preset", options.preset, "-o", f"{name}/out.mov"]
        run = run_job(clips, Path(name), arguments)
        arguments = ["verify", str(clips[0]), f"{name}/out.mov", "--decode", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "asled_cli", *arguments], capture_output=True, text=True, cwd=ROOT
        )
    report = {
        "machine": machine(),
        "commit": commit(),
        "frames": run["result"]["frames_written"],
        "changed": run["result"]["frames_changed"],
        "method": run["plan"]["method"],
        "registration": run["result"]["registration"],
        "left out, as named": run["result"]["dropped_tracks"],
        "process_s": round(run["process_s"], 1),
        "peak_mib": round(run["peak_mib"]),
        "verify": [json.loads(line) for line in done.stdout.splitlines()],
        "verify_exit_code": done.returncode,
    }
    sys.stdout.write(write_report(report, options.out))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
