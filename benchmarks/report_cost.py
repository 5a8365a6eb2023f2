"""What `--report` adds to a job: seconds spent on it, as a share of the job, as JSON.

    python benchmarks/report_cost.py [--size 1920x1080] [--frames 24] [--method swap] [--out FILE]

The job runs in this process; the time of every call that looks at a frame for the report, keeps it or writes
the page is added up. Both are the processor's time, which other programs disturb less than the clock.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import write_report
from throughput import commit

from asled_cli.job.config import DeblurConfig
from asled_cli.job.show.viewer import Viewer
from asled_cli.lab.bench.clips import make_pair
from asled_cli.lab.bench.run import machine
from asled_cli.pipeline import run_deblur

ALLOWED = 0.05  # of the job's time


def main() -> None:
    """Run one job with a report and write the JSON; exit code 1 if the report costs more than ALLOWED."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", default="1920x1080", metavar="WxH")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--method", choices=("swap", "network"), default="swap")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="asled-report-") as name:
        folder = Path(name)
        wide, ultra = make_pair(folder, options.frames, (width, height), "pair")
        job = DeblurConfig(wide, ultra, method=options.method, report=Path("auto"))
        found = measure(job)
    found = {
        "machine": machine(),
        "commit": commit(),
        "size": options.size,
        "method": options.method,
        **found,
    }
    sys.stdout.write(write_report(found, options.out))
    sys.exit(found["share"] > ALLOWED)


def measure(job: DeblurConfig) -> dict[str, Any]:
    """Return the processor's seconds of the job and of its report."""
    spent = {"see": 0.0, "keep": 0.0, "write_report": 0.0}

    def timed(name: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            began = time.thread_time()
            function(*arguments)
            spent[name] += time.thread_time() - began

        return call

    for name in spent:
        setattr(Viewer, name, timed(name, getattr(Viewer, name)))
    began, wall = time.process_time(), time.perf_counter()
    result = run_deblur(job)
    total, wall = time.process_time() - began, time.perf_counter() - wall
    report = sum(spent.values())
    return {
        "frames": result.frames_written,
        "job_cpu_s": round(total, 2),
        "job_wall_s": round(wall, 2),
        "report_cpu_s": {name: round(seconds, 3) for name, seconds in spent.items()},
        "report_ms_per_frame": round(1000 * spent["see"] / result.frames_written, 1),
        "share": round(report / total, 4),
    }


if __name__ == "__main__":
    main()
