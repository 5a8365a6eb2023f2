"""One long clip over two workers: the same frames and sound as from one process, and how much faster.

    python benchmarks/workers.py FOLDER make --size 320x180 --seconds 90
    python benchmarks/workers.py FOLDER run --method swap --how core|one|two|exact      one run each
    python benchmarks/workers.py FOLDER report --out benchmarks/results/workers.json

core: one process that may use one core only. one: one process with all cores. two: `--workers 2`. exact: the
same with `--exact`. Each run is timed as a whole, from the start of Python to its end: by the clock, and by
the processor's time of every process, which other programs disturb less. By that, a run with workers takes
the time of the driver and of the slower worker. others_cpu_s: what all other programs took meanwhile.

The bound of the speed-up is that of two workers of no cost of their own: what follows the analysis is halved,
and the analysis takes as long as with two cores. core_seconds: where the time of all cores went in a run with
workers: one process alone needs `one_process`, the workers needed `more`, others and nobody had the rest.
"""

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
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

SAMPLE_S = 0.2  # between two looks at the processes
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
    out = folder / f"out_{method}_{how}_{end or 'whole'}.mp4"
    clips = [str(folder / name) for name in facts["clips"]]
    arguments = ["deblur", *clips, "-o", str(out), "-y", "--json", "--method", method, *HOW[how]]
    arguments += [] if end is None else ["--end", str(end)]
    cores = {min(os.sched_getaffinity(0))} if how == "core" else os.sched_getaffinity(0)
    began, busy = time.perf_counter(), busy_seconds()
    with tempfile.TemporaryFile() as said:
        job = subprocess.Popen(
            [sys.executable, "-m", "asled_cli", *arguments],
            cwd=ROOT, stdout=said, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
        cpu = watch(job)
        seconds, busy = time.perf_counter() - began, busy_seconds() - busy
        said.seek(0)
        result = next(r for r in map(json.loads, said) if r["event"] == "result")
    return {
        "method": method,
        "how": how,
        "end_s": end,
        "wall_s": round(seconds, 1),
        "cpu_s": cpu,
        "others_cpu_s": round(max(0.0, busy - sum(cpu)), 1),
        "analysis_s": result["analysis_s"],
        "frames": result["frames_written"],
        "frames_changed": result["frames_changed"],
        "file": hashlib.sha256(out.read_bytes()).hexdigest(),
        "video": digest(out, "video"),
        "sound": digest(out, "audio"),
    }


def watch(job: subprocess.Popen[bytes]) -> list[float]:
    """Wait for a job and return the processor's seconds of its processes: its own first, then the largest."""
    seen: dict[int, float] = {}
    while job.poll() is None:
        seen |= {pid: spent for pid in family(job.pid) if (spent := cpu_seconds(pid)) is not None}
        time.sleep(SAMPLE_S)
    if job.returncode:
        raise SystemExit(f"asled ended with code {job.returncode}")
    own = seen.pop(job.pid)
    return [round(own, 1), *sorted((round(spent, 1) for spent in seen.values() if spent > 1), reverse=True)]


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [one for child in (task / "children").read_text().split() for one in family(int(child))]
    return found


def cpu_seconds(pid: int) -> float | None:
    """Return the processor's seconds of a process so far; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Return the seconds that all cores of this machine have worked so far."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


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
        found["methods"][f"{method}, {end} s" if end else f"{method}, whole"] = compare(by)
    return found


def compare(by: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what follows from the runs of one method, by how they were done."""
    one = by.get("one")  # a process on one core has an encoder of fewer threads, whose bytes differ
    shared = {how: by[how] for how in ("two", "exact") if how in by}
    found: dict[str, Any] = {}
    for how, row in shared.items():
        if one is not None:
            parts = ("file", "video", "sound")
            found[f"{how}: same"] = {part: row[part] == one[part] for part in parts}
        if "core" in by and len(row["cpu_s"]) > 2:  # a driver and two workers
            core = by["core"]
            if row["wall_s"]:
                found[f"{how}: speed_up"] = round(core["wall_s"] / row["wall_s"], 2)
            found[f"{how}: speed_up_by_cpu"] = round(core["cpu_s"][0] / sum(row["cpu_s"][:2]), 2)
            shared_s = core["wall_s"] - core["analysis_s"]
            found[f"{how}: bound"] = round(core["wall_s"] / (row["analysis_s"] + shared_s / 2), 2)
            if row["wall_s"] and "others_cpu_s" in row:
                found[f"{how}: core_seconds"] = core_seconds(core, row)
    return found


def core_seconds(core: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of all cores during a run with workers, by who had them."""
    whole, own, others = machine()["cores"] * row["wall_s"], sum(row["cpu_s"]), row["others_cpu_s"]
    one = core["cpu_s"][0]
    parts = {"one_process": one, "more": own - one, "others": others, "idle": whole - own - others}
    return {name: round(seconds, 1) for name, seconds in parts.items()}


if __name__ == "__main__":
    main()
