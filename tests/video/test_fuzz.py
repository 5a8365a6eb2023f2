"""Damaged clips never lead to a traceback, a hang or a bad result: a short run of benchmarks/fuzz.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
INPUTS, JOBS = 20, 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits CPU time and memory as Linux does")
def test_damaged_clips_are_refused_in_a_sentence_or_processed(tmp_path: Path) -> None:
    out, so_far = tmp_path / "report.json", tmp_path / "list"
    command = [sys.executable, str(SCRIPT), "--inputs", str(INPUTS), "--jobs", str(JOBS)]
    command += ["--out", str(out), "--resume", str(so_far)]
    for run in (1, 2):  # the second one finds that all is done
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        report = json.loads(out.read_text())
        assert report["reached"] == {"inputs": INPUTS, "jobs": JOBS}
        commands = 3 * INPUTS + JOBS + 1  # one pair is probed
        assert len(so_far.read_text().splitlines()) == commands + run  # and the commit of each run
    assert min(report["counts"]["probe"]["read"], report["counts"]["probe"]["refused 3"]) > 0
