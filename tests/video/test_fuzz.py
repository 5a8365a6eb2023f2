"""Damaged clips never lead to a traceback, a hang or a bad result: a short run of benchmarks/fuzz.py."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
INPUTS, FULL = 16, 3


def test_damaged_clips_are_refused_in_a_sentence_or_mended(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    words = [sys.executable, str(SCRIPT), "--inputs", str(INPUTS), "--full", str(FULL), "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    counts = json.loads(out.read_text())["counts"]
    sums = {kind: sum(found.values()) for kind, found in counts.items()}
    assert sums == {"probe": INPUTS, "dry run": INPUTS, "verify": INPUTS, "full": FULL}
    assert min(counts["probe"]["told"], counts["probe"]["refused 3"]) > 0
    assert any(word.startswith("done") for word in counts["full"])
