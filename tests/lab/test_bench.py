"""`asled bench` on a tiny pair: every stage is there, sums agree, and it reads as table and as JSON."""

import json
from pathlib import Path

import pytest

from asled_cli.cli import app
from asled_cli.errors import UsageError
from asled_cli.lab.bench.rates import convolution_rate, operations_per_frame
from asled_cli.lab.bench.run import BenchConfig, bench_lines, bench_rows, bound, spread
from asled_cli.zoo import checkpoint
from asled_cli.zoo import registry as zoo


@pytest.mark.slow
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
    assert found["network"] is None and found["bounded_by"] == bound(found)
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


def test_bench_names_what_bounds_the_whole() -> None:
    stages = {name: spread([seconds]) for name, seconds in (("align", 0.2), ("restore", 0.9), ("write", 0.1))}
    found = {"stage_busy_s_per_frame": stages, "render_s_per_frame": spread([1.0])}
    network = {"gflop_per_frame": 270.0, "convolution_gflop_per_s": 600.0, "share_of_rate": 0.5}
    assert bound(found) == {"stage": "restore", "share": 0.9}
    lines = bench_lines(found | {"bounded_by": bound(found), "network": network})
    assert lines[0] == "stage 'restore', busy 90% of the time"
    assert "270 GFLOP" in lines[1] and "50% of the measured 600 GFLOP/s" in lines[1]


def test_operations_of_a_network_grow_with_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    config = {"fine_channels": 4, "coarse_channels": 8, "fusion_radius": 0, "backward_blocks": 1}
    checkpoint.save(path, "asled-fast", zoo.build("asled-fast", config))
    small, large = (operations_per_frame(path, size, side=32) for size in ((64, 32), (128, 64)))
    assert small > 0 and large == pytest.approx(4 * small)
    assert convolution_rate("cpu", "fp32", side=16) > 0


def test_spread_and_limits() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}
    with pytest.raises(UsageError, match="--repeats is 0"):
        BenchConfig(repeats=0)
