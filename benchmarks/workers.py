"""One long clip over two workers: the same frames and sound as from one process, and how much faster.

    python benchmarks/workers.py FOLDER make --size 320x180 --seconds 90
    python benchmarks/workers.py FOLDER run --method swap --how core|one|two|exact      one run each
    python benchmarks/workers.py FOLDER report --out benchmarks/results/workers.json

core: one process that may use one core only. one: one process with all cores. two: `--workers 2`. exact: the
same with `--exact`. Each run is timed as a whole, from the start of Python to its end.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
from kill_points import ROOT
from long_clip import make_clips
from report import write_report
from throughput import commit

from asled_cli.lab.bench.clips import RATE
from asled_cli.lab.bench.run import machine

HOW = {"core": [], "one": [], "two": ["--workers", "2"], "exact": ["--workers", "2", "--exact"]}


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", choices=("make", "run", "report"))
    parser.add_argument("--size", default="320x180", metavar="WxH")
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--method", choices=("swap", "network"), default="swap")
    parser.add_argument("--how", choices=HOW, default="one")
    parser.add_argument("--end", type=int, help="seconds; of a run that is only timed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.step == "make":
        options.folder.mkdir(parents=True, exist_ok=True)
        width, height = map(int, options.size.split("x"))
        clips = make_clips(options.folder, options.seconds * RATE, (width, height))
        facts = {"size": options.size, "seconds": options.seconds, "clips": [clip.name for clip in clips]}
        write_report(facts, options.folder / "facts.json")
    elif options.step == "run":
        row = run(options.folder, options.method, options.how, options.end)
        name = f"row_{options.method}_{options.how}_{options.end or 'whole'}.json"
        sys.stdout.write(write_report(row, options.folder / name))
    else:
        sys.stdout.write(write_report(report(options.folder), options.out))


def run(folder: Path, method: str, how: str, end: int | None) -> dict[str, Any]:
    """Return the time of one run and the digests of its frames and sound."""
    facts = json.loads((folder / "facts.json").read_text())
    out = folder / f"out_{method}_{how}.mp4"
    clips = [str(folder / name) for name in facts["clips"]]
    arguments = ["deblur", *clips, "-o", str(out), "-y", "--json", "--method", method, *HOW[how]]
    arguments += [] if end is None else ["--end", str(end)]
    cores = {min(os.sched_getaffinity(0))} if how == "core" else os.sched_getaffinity(0)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "asled_cli", *arguments],
        cwd=ROOT, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    seconds = time.perf_counter() - began
    result = next(r for r in map(json.loads, done.stdout.splitlines()) if r["event"] == "result")
    return {
        "method": method,
        "how": how,
        "end_s": end,
        "wall_s": round(seconds, 1),
        "analysis_s": result["analysis_s"],
        "frames": result["frames_written"],
        "frames_changed": result["frames_changed"],
        "file": hashlib.sha256(out.read_bytes()).hexdigest(),
        "video": digest(out, "video"),
        "sound": digest(out, "audio"),
    }


def digest(path: Path, kind: str) -> str:
    """Return the SHA-256 of all decoded frames of a track with their times."""
    found = hashlib.sha256()
    with av.open(str(path)) as container:
        frames: Any = container.decode(**{kind: 0})
        for frame in frames:
            found.update(f"{frame.pts} {frame.time_base}".encode())
            found.update(frame.to_ndarray().tobytes())
    return found.hexdigest()


def report(folder: Path) -> dict[str, Any]:
    """Return all rows, and what follows from them."""
    facts = json.loads((folder / "facts.json").read_text())
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("row_*.json"))]
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), **facts, "rows": rows, "methods": {}}
    for method, end in sorted({(row["method"], row["end_s"] or 0) for row in rows}):
        by = {row["how"]: row for row in rows if (row["method"], row["end_s"] or 0) == (method, end)}
        wall = {how: row["wall_s"] for how, row in by.items()}
        two = by["two"]
        found["methods"][f"{method}, {end} s" if end else f"{method}, whole"] = {
            "speed_up_to_one_core": round(wall["core"] / wall["two"], 2) if "core" in wall else None,
            "speed_up_to_one_process": round(wall["one"] / wall["two"], 2) if "one" in wall else None,
            "same_file": by.get("one", {}).get("file") == two["file"],
            "same_sound": by.get("one", {}).get("sound") == two["sound"],
            "exact_same_file": by["exact"]["file"] == by["one"]["file"] if "exact" in by else None,
        }
    return found


if __name__ == "__main__":
    main()
