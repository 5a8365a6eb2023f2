"""What every benchmark ends with: its figures as JSON."""

import json
from pathlib import Path
from typing import Any


def write_report(found: Any, out: Path | None) -> str:
    """The JSON text of `found`, also written to the file `out` (folders are made) unless that is None."""
    text = json.dumps(found, indent=2) + "\n"
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    return text
