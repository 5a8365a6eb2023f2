"""`asled bench`: how fast the installed program is on this machine, stage by stage."""

from __future__ import annotations

from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.runtime.option_limits import read_size


def bench(
    size: Annotated[str, typer.Option(help="Frames of the synthetic clips, WIDTHxHEIGHT.")] = "1920x1080",
    frames: Annotated[int, typer.Option(help="Frames of the synthetic clips.")] = 24,
    repeats: Annotated[int, typer.Option(help="Timed runs after one that warms up.")] = 2,
    method: opt.MethodName = "auto",
    model: opt.ModelName = None,
    weights: opt.WeightsFile = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Time `asled deblur` on a synthetic pair: each stage alone, and all of them together."""
    sides = read_size("--size", size, least=64)
    from asled_cli.cli.output import console
    from asled_cli.lab.bench.run import (  # torch and av load here
        BenchConfig,
        bench_lines,
        bench_rows,
        run_bench,
    )
    from asled_cli.pipeline import run_deblur

    config = BenchConfig(
        size=sides, frames=frames, repeats=repeats, method=method, model=model,
        weights=weights, device=device, precision=precision,
    )  # fmt: skip
    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    found = run_bench(config, run_deblur)
    if as_json:
        console.show_values("bench", found, style)
        return
    title = f"{size}, " + ", ".join(f"{key} {value}" for key, value in found["plan"].items())
    console.show_table(title, ("stage", "seconds", "per second"), bench_rows(found), style)
    console.show_lines("bounded by", bench_lines(found), style)
    console.show_lines("machine", [f"{key}: {value}" for key, value in found["machine"].items()], style)
    console.show_lines("peak memory", [f"{found['peak_mib']} MiB"], style)
