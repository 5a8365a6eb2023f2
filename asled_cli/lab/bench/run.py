"""Timing of the installed program on this machine, stage by stage: the work behind `asled bench`."""

import os
import platform
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asled_cli import __version__
from asled_cli.errors import UsageError
from asled_cli.job.config import DeblurConfig, Method
from asled_cli.job.records import DeblurResult
from asled_cli.lab.bench.clips import make_pair
from asled_cli.lab.bench.rates import convolution_rate, operations_per_frame
from asled_cli.runtime import option_limits as limits
from asled_cli.runtime.precision import Precision

MIN = 8  # frames that registration and a chunk need for a meaningful time


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """Settings of one run of `asled bench`."""

    size: tuple[int, int] = (1920, 1080)
    """Width and height of both clips, even."""
    frames: int = 24
    repeats: int = 2
    """Timed runs after the first one, which warms up."""
    method: Method = "auto"
    model: str | None = None
    weights: Path | None = None
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        limits.check_number("--frames", self.frames, MIN, limits.MAX_FRAMES)
        limits.check_number("--repeats", self.repeats, 1, 1000)
        if min(self.size) < 64 or any(side % 2 for side in self.size):
            raise UsageError(f"--size is {self.size[0]}x{self.size[1]}, expected even numbers, 64 or more.")


def run_bench(config: BenchConfig, deblur: Callable[[DeblurConfig], DeblurResult]) -> dict[str, Any]:
    """Deblur a synthetic pair several times and return the times in plain values.

    deblur: the function that runs one job, `pipeline.run_deblur`.
    Returns a table with the keys of the JSON report. `render` is the time from first to last frame, with
    all stages at once. The time of a stage is what it would need alone. `peak_mib` is the peak memory of this
    process, including the creation of the clips.
    Raises what `deblur` raises.
    """
    with tempfile.TemporaryDirectory(prefix="asled-bench-") as name:
        folder = Path(name)
        wide, ultra = make_pair(folder, config.frames, config.size)
        runs = []
        for number in range(config.repeats + 1):
            job = DeblurConfig(
                wide, ultra, out=folder / f"out{number}.mp4", method=config.method, model=config.model,
                weights=config.weights, device=config.device, precision=config.precision,
            )  # fmt: skip
            runs.append(deblur(job))
    return {
        "asled": __version__,
        "machine": machine(),
        "job": {"size": f"{config.size[0]}x{config.size[1]}", "frames": config.frames},
        "plan": _plan(runs[0]),
        **(found := summarise(runs[1:])),
        "bounded_by": bound(found),
        "network": _share_of_rate(runs[0], found),
    }


def bound(found: dict[str, Any]) -> dict[str, Any]:
    """Return the slowest stage and its share of the time of all stages at once."""
    stages = {name: times["median"] for name, times in found["stage_busy_s_per_frame"].items()}
    slowest = max(stages, key=lambda name: stages[name])
    share = stages[slowest] / max(found["render_s_per_frame"]["median"], 1e-9)
    return {"stage": slowest, "share": round(share, 3)}


def _share_of_rate(run: DeblurResult, found: dict[str, Any]) -> dict[str, float] | None:
    """Return the operations of the network, the rate of the machine, and the share reached of it."""
    choice = run.plan.choice
    if choice.method != "network" or choice.weights is None:
        return None
    operations = operations_per_frame(choice.weights, run.plan.wide.seen_size)
    rate = convolution_rate(choice.device, choice.precision)
    seconds = max(found["stage_busy_s_per_frame"]["restore"]["median"], 1e-9)
    return {
        "gflop_per_frame": round(operations / 1e9, 1),
        "convolution_gflop_per_s": round(rate / 1e9, 1),
        "share_of_rate": round(operations / seconds / rate, 3),
    }


def summarise(runs: Sequence[DeblurResult]) -> dict[str, Any]:
    """Return median, minimum and maximum over the runs, per frame and stage by stage."""
    frames = runs[0].frames_written
    stages = {
        stage.name: spread([run.stages[index].busy_s / frames for run in runs])
        for index, stage in enumerate(runs[0].stages)
    }
    rendering = [(run.wall_s - run.analysis_s) / frames for run in runs]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "frames_written": frames,
        "analysis_s": spread([run.analysis_s for run in runs]),
        "render_s_per_frame": spread(rendering),
        "render_fps": spread([1 / seconds for seconds in rendering]),
        "stage_busy_s_per_frame": stages,
        "peak_mib": round(peak),
    }


def bench_rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return table rows (what, seconds, per second): analysis, each stage, and all stages at once."""
    rows = [("analysis, once per clip", f"{found['analysis_s']['median']:.3f}", "")]
    for name, times in found["stage_busy_s_per_frame"].items():
        median = times["median"]
        rows.append((f"{name}, per frame", f"{median:.4f}", f"{1 / median:.1f}" if median > 0 else "-"))
    whole = found["render_s_per_frame"]["median"]
    rows.append(("all stages at once, per frame", f"{whole:.4f}", f"{1 / whole:.1f}"))
    return rows


def bench_lines(found: dict[str, Any]) -> list[str]:
    """Return what bounds the whole, and how near the network is to the machine's rate."""
    bounded, network = found["bounded_by"], found["network"]
    lines = [f"stage {bounded['stage']!r}, busy {bounded['share']:.0%} of the time"]
    if network is not None:
        lines.append(
            f"network: {network['gflop_per_frame']:g} GFLOP per frame, {network['share_of_rate']:.0%} of the "
            f"measured {network['convolution_gflop_per_s']:g} GFLOP/s of convolution"
        )
    return lines


def _plan(run: DeblurResult) -> dict[str, object]:
    keys = ("method", "model", "device", "precision", "chunk", "overlap", "tile")
    return {key: run.plan.as_dict()[key] for key in keys}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def machine() -> dict[str, object]:
    """Return the hardware and the versions that the numbers were measured on."""
    names = ("torch", "av", "opencv-python-headless", "numpy")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in names},
    }


def processor() -> str:
    """Return the name of the processor where the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str:
    """Return the version of an installed package; OpenCV, for one, has several package names."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
