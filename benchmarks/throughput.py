"""Speed and memory of the main job: a made 1080p pair through `asled deblur`, the numbers as JSON.

    python benchmarks/throughput.py --frames 48 --repeats 3 --out benchmarks/results/throughput.json

Each run is a process of its own, so that its peak memory is its own. The first run warms the disk and is not
counted. `--long` adds one run of a clip ten times as long, to see that memory does not grow.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 1920, 1080, 30
BLUR_FRAMES = 5  # instants averaged into one wide frame
ROOT = Path(__file__).resolve().parent.parent
Picture = NDArray[np.uint8]


def main(words: Sequence[str] | None = None) -> None:
    """Make the clips, run the job, write the JSON."""
    options = parse(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = make_pair(folder, options.frames, "short")
        runs = [run_job(clips, folder, options.method) for _ in range(options.repeats + 1)][1:]
        found: dict[str, Any] = {
            "machine": machine(),
            "commit": commit(),
            "job": {"size": f"{WIDTH}x{HEIGHT}", "frames": options.frames, "method": options.method},
            "help_s": spread([time_help() for _ in range(7)]),
            **summarise(runs),
        }
        if options.long:
            long = run_job(make_pair(folder, 10 * options.frames, "long"), folder, options.method)
            ratio = long["peak_mib"] / statistics.median(run["peak_mib"] for run in runs)
            found["ten_times_longer"] = {"peak_mib": long["peak_mib"], "peak_ratio": round(ratio, 3)}
    text = json.dumps(found, indent=2) + "\n"
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    sys.stdout.write(text)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The options of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--method", default="auto", choices=["auto", "network", "swap"])
    parser.add_argument("--long", action="store_true", help="also run a clip ten times as long")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    return parser.parse_args(words)


def make_pair(folder: Path, frames: int, name: str) -> tuple[Path, Path]:
    """A wide clip with motion blur and an ultra clip of twice the view, both of one moving camera."""
    scene = make_scene(np.random.default_rng(0))
    wide, ultra = folder / f"{name}_wide.mp4", folder / f"{name}_ultra.mp4"
    write_clip(wide, frames, lambda i: blurred_view(scene, i))
    write_clip(ultra, frames, lambda i: view(scene, float(i), 2.0))
    return wide, ultra


def make_scene(random: np.random.Generator) -> Picture:
    """A large picture with detail of every size, (2400, 4200, 3)."""
    height, width = 2400, 4200
    scene = np.zeros((height, width, 3), np.float32)
    for step in (2, 4, 8, 16, 32, 64, 128):
        noise = random.normal(0, 1, (height // step + 1, width // step + 1, 3)).astype(np.float32)
        scene += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(step**0.5)
    scene = 128 + 40 * scene / scene.std()
    return np.asarray(np.clip(scene, 0, 255), np.uint8)


def view(scene: Picture, time_frames: float, ratio: float) -> Picture:
    """What a lens with `ratio` times the wide lens's view sees at a time, from a swaying camera."""
    x = scene.shape[1] / 2 + 60 * np.sin(time_frames / 9) + 40 * np.sin(time_frames / 23)
    y = scene.shape[0] / 2 + 30 * np.cos(time_frames / 13)
    matrix = np.array([[ratio, 0, x - ratio * WIDTH / 2], [0, ratio, y - ratio * HEIGHT / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.uint8)


def blurred_view(scene: Picture, index: int) -> Picture:
    """The wide view averaged over its exposure, one frame interval long."""
    shares = (np.arange(BLUR_FRAMES) + 0.5) / BLUR_FRAMES - 0.5
    mean = np.mean([view(scene, index + share, 1.0) for share in shares], axis=0)
    return np.asarray(np.rint(mean), np.uint8)


def write_clip(path: Path, frames: int, picture: Callable[[int], Picture]) -> None:
    """Encode pictures as 8-bit H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))


def run_job(clips: tuple[Path, Path], folder: Path, method: str) -> dict[str, Any]:
    """One run in a process of its own: its result, its wall time and its peak memory."""
    words = ["deblur", *map(str, clips), "-o", str(folder / "out.mp4"), "-y", "--json", "--method", method]
    began = time.perf_counter()
    with (folder / "stdout").open("w+") as stdout:
        process = subprocess.Popen([sys.executable, "-m", "asled_cli", *words], stdout=stdout, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"asled {' '.join(words)} ended with {process.returncode}")
        stdout.seek(0)
        lines = [json.loads(line) for line in stdout]
    plan, result = (next(line for line in lines if line["event"] == kind) for kind in ("plan", "result"))
    return {
        "process_s": time.perf_counter() - began,
        "peak_mib": usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2),
        "plan": plan,
        "result": result,
    }


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and spread over the runs; seconds per frame, stage by stage."""
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
        "analysis_s": spread([one["analysis_s"] for one in results]),
        "render_s_per_frame": spread([seconds / frames for seconds in render]),
        "stage_busy_s_per_frame": stages,
        "render_over_slowest_stage": spread([a / b for a, b in zip(render, slowest, strict=True)]),
        "peak_mib": spread([run["peak_mib"] for run in runs]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def time_help() -> float:
    """Seconds that `asled --help` takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "asled_cli", "--help"], stdout=subprocess.DEVNULL, cwd=ROOT, check=True
    )
    return time.perf_counter() - began


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    names = ("torch", "av", "opencv-python-headless", "numpy")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    """The checked-out commit, marked where files were changed since."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
