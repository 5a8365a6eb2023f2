"""Peak memory of `asled deblur` on a short clip and on one a hundred times as long.

    python benchmarks/long_clip.py [--frames 36,3600] [--repeats 3] [--method swap] [--out FILE]

The clips are synthetic, 192x108, with sound. Each run is a separate process. The median of the repeated short
runs is compared. Exit code 1 if the peaks differ by more than 5 %.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from kill_points import ROOT
from report import write_report
from throughput import commit, run_job

from asled_cli.lab.bench.clips import RATE, make_pair
from asled_cli.lab.bench.run import machine

SIZE = (192, 108)  # small, so that thousands of frames take minutes
ALLOWED = 0.05  # difference of the peaks


def make_clips(folder: Path, frames: int, size: tuple[int, int] = SIZE) -> tuple[Path, Path]:
    """Make a pair of that length, both with sound."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.small_pair import add_sound  # type: ignore[import-not-found]

    bare = make_pair(folder, frames, size, f"bare{frames}")
    seconds = frames / RATE
    wide, ultra = (add_sound(clip, clip.with_name(f"{clip.stem}_sound.mp4"), seconds) for clip in bare)
    for clip in bare:
        clip.unlink()
    return wide, ultra


def measure(clips: tuple[Path, Path], folder: Path, method: str) -> dict[str, Any]:
    """Return the peak memory of one run."""
    run = run_job(clips, folder, ["--method", method])
    result = run["result"]
    return {
        "frames": result["frames_written"],
        "peak_mib": round(run["peak_mib"], 1),
        "wall_s": round(run["process_s"], 1),
        "method": run["plan"]["method"],
        "problems": result["problems"],
        "differences": result["differences"],
    }


def main() -> None:
    """Measure both lengths and write the JSON; exit code 1 if the peaks differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", default="36,3600", help="of the short and the long clip")
    parser.add_argument("--repeats", type=int, default=3, help="of the short one")
    parser.add_argument("--method", choices=("swap", "network"), default="swap")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    short, long = map(int, options.frames.split(","))
    with tempfile.TemporaryDirectory(prefix="asled-long-") as name:
        folder = Path(name)
        clips = make_clips(folder, short)
        runs = [measure(clips, folder, options.method) for _ in range(options.repeats)]
        runs.append(measure(make_clips(folder, long), folder, options.method))
    base = statistics.median(run["peak_mib"] for run in runs[:-1])
    ratio = runs[-1]["peak_mib"] / base
    report = {
        "machine": machine(),
        "commit": commit(),
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "runs": runs,
        "peak_ratio": round(ratio, 4),
        "more_bytes_per_frame": round((runs[-1]["peak_mib"] - base) * 2**20 / (long - short)),
    }
    sys.stdout.write(write_report(report, options.out))
    sys.exit(abs(ratio - 1) > ALLOWED)


if __name__ == "__main__":
    main()
