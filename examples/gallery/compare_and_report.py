"""Deblur a pair with a compare clip and a report, and print where they are.

python examples/gallery/compare_and_report.py WIDE ULTRA OUT
"""

import sys
from pathlib import Path

from asled_cli import DeblurConfig, run_deblur

AUTO = Path("auto")  # named after the output


def main(wide: str, ultra: str, out: str) -> None:
    """Write three files in one pass."""
    job = DeblurConfig(Path(wide), Path(ultra), out=Path(out), method="swap", compare=AUTO, report=AUTO)
    result = run_deblur(job)
    for path in (result.out, result.plan.compare, result.plan.report):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
