"""Look at a pair without writing anything: what would be done, and why.

python examples/gallery/plan_only.py WIDE ULTRA
"""

import sys
from pathlib import Path

from asled_cli import AsledError, DeblurConfig, run_deblur


def main(wide: str, ultra: str) -> int:
    """Print the plan; return the exit code of an error."""
    try:
        plan = run_deblur(DeblurConfig(Path(wide), Path(ultra), dry_run=True)).plan
    except AsledError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        return error.exit_code
    for name in ("offset_s", "offset_source", "fov_ratio", "method", "method_reason", "model", "frames"):
        sys.stdout.write(f"{name}: {plan.as_dict()[name]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
