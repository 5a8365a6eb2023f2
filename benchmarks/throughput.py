"""Speed and memory of the main job: a synthetic 1080p pair through `asled deblur`, as JSON.

    python benchmarks/throughput.py --frames 48 --repeats 3 --out benchmarks/results/throughput.json

Each run is a separate process with its own peak memory. The first run fills the disk cache and is not
counted.
`--long` adds one run of a clip ten times as long, to check that memory does not grow. `--untrained` times a
network without published weights; training changes neither time nor memory.
`--against COMMIT` runs that commit too, in turn with the present files, on the same clips: on a machine whose
speed changes, only ratios from one run say something. It is checked out in a folder that is removed again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from report import write_report

from asled_cli.lab.bench.clips import make_pair, make_shaken
from asled_cli.lab.bench.run import machine, spread
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the clips, run the job, write the JSON."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        width, height = map(int, options.size.split("x"))
        clips = make_clips(options.method, folder, options.frames, (width, height), "short")
        arguments = ["--method", options.method]
        if options.untrained:
            arguments = ["--weights", str(save_untrained(options.untrained, options.config, folder))]
        with other_commit(options.against, folder) as other:
            trees = [ROOT] if other is None else [other, ROOT]
            first = 0 if options.no_warm_up else 1
            rounds = [
                [run_job(clips, folder, arguments, tree) for tree in trees]
                for _ in range(options.repeats + first)
            ][first:]
        runs = [each[-1] for each in rounds]
        found: dict[str, Any] = {
            "machine": machine(),
            "commit": commit(),
            "job": {
                name: getattr(options, name) for name in ("size", "frames", "method", "untrained", "config")
            },
            "help_s": spread([time_help() for _ in range(7)]),
            **summarise(runs),
        }
        if options.against:
            old = summarise([each[0] for each in rounds])
            found["against"] = {"commit": options.against, **old, "times_as_fast": ratios(old, found)}
        if options.long:
            ten_times = make_clips(options.method, folder, 10 * options.frames, (width, height), "long")
            long = run_job(ten_times, folder, arguments)
            ratio = long["peak_mib"] / statistics.median(run["peak_mib"] for run in runs)
            found["ten_times_longer"] = {"peak_mib": long["peak_mib"], "peak_ratio": round(ratio, 3)}
    sys.stdout.write(write_report(found, options.out))


def make_clips(method: str, folder: Path, frames: int, size: tuple[int, int], name: str) -> tuple[Path, ...]:
    """Write the clips of a job: a pair, or one shaken clip."""
    return (
        (make_shaken(folder, frames, size, name),)
        if method == "single"
        else make_pair(folder, frames, size, name)
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1920x1080", metavar="WxH")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--method", default="auto", choices=["auto", "network", "swap", "single"])
    parser.add_argument("--untrained", metavar="NAME", help="a network with random weights, such as asled")
    parser.add_argument("--config", metavar="JSON", default="{}", help="of the untrained network")
    parser.add_argument("--against", metavar="COMMIT", help="also time this commit, in turn")
    parser.add_argument("--no-warm-up", action="store_true", help="count the first run too")
    parser.add_argument("--long", action="store_true", help="also run a clip ten times as long")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    return parser.parse_args(arguments)


def save_untrained(name: str, config: str, folder: Path) -> Path:
    """Write random weights of the network called `name` with this config, seed 0; return the file."""
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    weights.save(path, name, zoo.build(name, json.loads(config)))
    return path


@contextmanager
def other_commit(name: str | None, folder: Path) -> Iterator[Path | None]:
    """Check out a commit in `folder` and remove it afterwards; None for no commit."""
    if name is None:
        yield None
        return
    tree = folder / "other"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), name], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def ratios(old: dict[str, Any], new: dict[str, Any]) -> dict[str, float]:
    """Return how many times as fast the new one is, by medians."""
    names = ("analysis_s", "render_s_per_frame", "process_s", "process_cpu_s_per_frame")
    found = {name: old[name]["median"] / new[name]["median"] for name in names}
    stages = old["stage_busy_s_per_frame"], new["stage_busy_s_per_frame"]
    for name in stages[0].keys() & stages[1].keys():
        if stages[1][name]["median"] > 0:
            found[name] = stages[0][name]["median"] / stages[1][name]["median"]
    return {name: round(ratio, 2) for name, ratio in found.items()}


def run_job(
    clips: tuple[Path, ...], folder: Path, options: Sequence[str], tree: Path = ROOT, out: str = "out.mp4"
) -> dict[str, Any]:
    """Run a job of `tree` in a separate process; return its result, wall time and peak memory."""
    arguments = ["deblur", *map(str, clips), "-o", str(folder / out), "-y", "--json", *options]
    began = time.perf_counter()
    with (folder / "stdout").open("w+") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "asled_cli", *arguments],
            stdout=stdout,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"asled {' '.join(arguments)} ended with {process.returncode}")
        stdout.seek(0)
        lines = [json.loads(line) for line in stdout]
    plan, result = (next(line for line in lines if line["event"] == kind) for kind in ("plan", "result"))
    return {
        "process_s": time.perf_counter() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2),
        "plan": plan,
        "result": result,
    }


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return median and spread over the runs, and seconds per frame, stage by stage."""
    results = [run["result"] for run in runs]
    frames = results[0]["frames_written"]
    render = [one["wall_s"] - one["analysis_s"] for one in results]
    slowest = [max(stage["busy_s"] for stage in one["stages"]) for one in results]
    stages = {
        stage["name"]: spread([one["stages"][index]["busy_s"] / frames for one in results])
        for index, stage in enumerate(results[0]["stages"])
    }
    plan = runs[0]["plan"]
    return {
        "plan": {
            key: plan[key] for key in ("method", "model", "device", "precision", "chunk", "overlap", "tile")
        },
        "frames_written": frames,
        "process_s": spread([run["process_s"] for run in runs]),
        "process_cpu_s_per_frame": spread([run["cpu_s"] / frames for run in runs]),
        "analysis_s": spread([one["analysis_s"] for one in results]),
        "render_s_per_frame": spread([seconds / frames for seconds in render]),
        "stage_busy_s_per_frame": stages,
        "render_over_slowest_stage": spread([a / b for a, b in zip(render, slowest, strict=True)]),
        "peak_mib": spread([run["peak_mib"] for run in runs]),
        "planned_mib": round(plan["memory_bytes"] / 2**20),
    }


def time_help() -> float:
    """Return the seconds that `asled --help` takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "asled_cli", "--help"], stdout=subprocess.DEVNULL, cwd=ROOT, check=True
    )
    return time.perf_counter() - began


def commit() -> str:
    """Return the checked-out commit, with a mark if files have changed."""
    arguments = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
