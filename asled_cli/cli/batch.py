"""`asled batch`: many pairs of clips, one after the other or some at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.errors import AsledError, UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.runtime.option_limits import MAX_JOBS

Source = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST.csv|DIR",
        help="A table with the columns wide,ultra[,out], or a folder of clips, paired by name or time; each "
        "alone with --method single.",
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results and report.")]
Jobs = Annotated[
    int, typer.Option(min=1, max=MAX_JOBS, help="Clips at a time; with several GPUs, one process per GPU.")
]
ListOnly = Annotated[bool, typer.Option("--list", help="Only show which clips belong together.")]

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", "-y", help="Replace results that exist; start over what other options left unfinished."
    ),
]


def batch(
    source: Source,
    out: OutFolder,
    jobs: Jobs = 1,
    method: opt.MethodName = "auto",
    device: opt.Device = "auto",
    strength: opt.Strength = 1.0,
    codec: opt.Codec = "auto",
    preset: opt.Preset = None,
    crf: opt.Crf = None,
    strict: opt.Strict = False,
    overwrite: Overwrite = False,
    list_only: ListOnly = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Deblur many pairs. Failures do not stop the batch; run it again to resume."""
    from asled_cli.cli.output import console
    from asled_cli.job.batch.manifest import read_manifest
    from asled_cli.job.batch.pairs import find_clips, find_pairs
    from asled_cli.job.batch.run import REPORT, run_batch
    from asled_cli.video.encode.encoder import EncodeConfig

    if not os.path.exists(source):  # noqa: PTH110 (false, not an error, for a name that is too long)
        raise UsageError(f"{source} does not exist.", "Name a manifest or a folder.")
    # What is wrong with the options is wrong for every pair: it is said once, before the first one.
    DeblurConfig(source, source, method=method, strength=strength, encode=EncodeConfig(codec, crf))
    style = console.Style(as_json=as_json, quiet=quiet)
    with console.progress(style):  # shows what is warned of
        find = find_clips if method == "single" else find_pairs
        pairs = find(source) if source.is_dir() else read_manifest(source)
    if list_only:
        rows = [(str(pair.wide), str(pair.ultra or ""), pair.out) for pair in pairs]
        console.show_table("batch", ("wide", "ultra", "out"), rows, style)
        return
    options = ["--method", method, "--strength", str(strength), "--codec", codec]
    options += ["--preset", preset] if preset is not None else []
    options += ["--crf", str(crf)] if crf is not None else []
    options += ["--strict"] if strict else []
    unreported: list[AsledError] = []
    outcomes = run_batch(
        pairs, out, jobs=jobs, device=device, options=options, overwrite=overwrite,
        report_failed=unreported.append,
    )  # fmt: skip
    if not quiet:
        table = [(Path(o.wide).name, o.out, o.status, f"{o.seconds:.0f} s", o.message) for o in outcomes]
        console.show_table(REPORT, ("wide", "out", "status", "time", "message"), table, style)
    if unreported:
        raise unreported[-1]
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(1)
