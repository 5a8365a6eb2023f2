"""Stop a job after some seconds, and let a second call resume it: how a program with a cancel button does it.

python examples/gallery/stop_after.py WIDE ULTRA OUT SECONDS
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from asled_cli import DeblurConfig, DeblurPlan, Progress, run_deblur


class CancelledError(Exception):
    """The user has had enough. Any exception of the report stops the job; finished segments are kept."""


def main(wide: str, ultra: str, out: str, seconds: str) -> None:
    """Begin, cancel, resume."""
    end = time.monotonic() + float(seconds)

    def report(event: DeblurPlan | Progress) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and time.monotonic() > end:
            raise CancelledError

    job = DeblurConfig(Path(wide), Path(ultra), out=Path(out), method="swap")
    try:
        result = run_deblur(job, report)
    except CancelledError:
        sys.stdout.write("cancelled; resuming\n")
        result = run_deblur(replace(job, resume=True))
    sys.stdout.write(f"{result.out}: {result.frames_written} frames\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
