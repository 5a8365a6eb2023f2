"""Deblur a clip from Python: the same job as `asled deblur`, with the result as a record.

python examples/deblur_two_clips.py WIDE ULTRA OUT
"""

import sys
from pathlib import Path

from asled_cli import AsledError, DeblurConfig, DeblurPlan, Progress, run_deblur


def report(event: DeblurPlan | Progress) -> None:
    """Print the plan before the work starts, then the progress of each step."""
    if isinstance(event, DeblurPlan):
        sys.stderr.write(f"{event.frames} frames, {event.choice.method} on {event.choice.device}\n")
    elif event.done % 10 == 0:
        sys.stderr.write(f"{event.step} {event.done}/{event.total}\n")


def main() -> int:
    """Deblur the clips named on the command line."""
    wide, ultra, out = map(Path, sys.argv[1:4])
    try:
        result = run_deblur(DeblurConfig(wide, ultra, out=out), report)
    except AsledError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{result.out}: {result.frames_changed} of {result.frames_written} frames changed\n")
    sys.stdout.write(f"the lenses: {dict(result.registration)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
