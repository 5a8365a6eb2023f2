"""JSON output of the benchmarks."""

import json
from pathlib import Path
from typing import Any


def write_report(found: Any, out: Path | None) -> str:
    """Return the JSON text of `found`, and write it to the file `out` (with its folders) unless None."""
    text = json.dumps(found, indent=2) + "\n"
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    return text
