"""`asled bench` on a tiny pair: every stage is there, sums agree, and it reads as table and as JSON."""

import json

import pytest

from asled_cli.cli import app
from asled_cli.errors import UsageError
from asled_cli.lab.bench.run import BenchConfig, bench_rows, spread


def test_bench_times_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--size", "128x96", "--frames", "8", "--repeats", "1", "--method", "swap"]
    assert app.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames_written"] == 8 and found["plan"]["method"] == "swap"
    assert set(found["stage_busy_s_per_frame"]) == {
        "decode wide", "decode ultra", "pair", "align", "restore", "write",
    }  # fmt: skip
    assert all(times["median"] >= 0 for times in found["stage_busy_s_per_frame"].values())
    slowest = max(times["median"] for times in found["stage_busy_s_per_frame"].values())
    assert found["render_s_per_frame"]["median"] >= slowest and found["peak_mib"] > 50
    rows = bench_rows(found)
    assert len(rows) == 8 and rows[-1][0].startswith("all stages")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "big"], "expected WIDTHxHEIGHT"),
        (["--size", "127x96"], "expected even numbers"),
        (["--frames", "2"], "expected 8 to"),
    ],
)
def test_bad_sizes_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_spread_and_limits() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    with pytest.raises(UsageError, match="--repeats is 0"):
        BenchConfig(repeats=0)
