"""`asled eval`: score networks on clips whose truth is known, by a named protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli import options as opt
from asled_cli.errors import UsageError
from asled_cli.lab.scoring import config as cfg

DATA, SCORING, OUTPUT = "Data", "Scoring", "Output"


def evaluate(
    dataset: Annotated[
        cfg.Dataset | None, typer.Option(help="Layout of --root.", rich_help_panel=DATA)
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Top folder of the data set; made: sharp photos and videos.", rich_help_panel=DATA),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESULT:TRUTH", help="Plain files or folders instead; repeatable.", rich_help_panel=DATA
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid or test; made also: strong, and each with -uncompressed behind it.",
            show_default="test; made: valid",
            rich_help_panel=DATA,
        ),
    ] = None,
    clips: Annotated[str, typer.Option(help="Only these clips, A,B,C.", rich_help_panel=DATA)] = "",
    frames: Annotated[
        int | None, typer.Option(help="Only the first frames of each clip.", rich_help_panel=DATA)
    ] = None,
    average: Annotated[
        int, typer.Option(help="realmcvsr: frames in one blurred frame.", rich_help_panel=DATA)
    ] = 7,
    average_reference: Annotated[
        bool,
        typer.Option("--average-reference", help="realmcvsr: blur the ultra too.", rich_help_panel=DATA),
    ] = False,
    linear: Annotated[
        bool, typer.Option("--linear", help="realmcvsr: average light, not values.", rich_help_panel=DATA)
    ] = False,
    models: Annotated[
        str,
        typer.Option(
            help="Rows: input, reference, swap, oracle-half, networks, or NAME=FILE for other weights.",
            rich_help_panel=SCORING,
        ),
    ] = ",".join(cfg.USUAL_MODELS),
    weights: opt.WeightsFile = None,
    protocol: Annotated[
        cfg.Protocol, typer.Option(help="Rounding, SSIM and averaging.", rich_help_panel=SCORING)
    ] = "basicsr",
    metrics: Annotated[
        str,
        typer.Option(help=f"usual, paper, all, or of {','.join(cfg.METRICS)}.", rich_help_panel=SCORING),
    ] = "usual",
    metric_weights: Annotated[
        Path | None, typer.Option(help="Folder with the backbones of LPIPS.", rich_help_panel=SCORING)
    ] = None,
    alignment: Annotated[
        cfg.Alignment,
        typer.Option(help="registered: as `asled deblur`; centre-crop: plain.", rich_help_panel=SCORING),
    ] = "registered",
    fov_ratio: Annotated[
        float, typer.Option(help="View of the reference over the target's.", rich_help_panel=SCORING)
    ] = 2.0,
    cost: Annotated[
        str,
        typer.Option(
            help="Measure speed and memory at sizes such as 256x256,1920x1080.",
            rich_help_panel=SCORING,
        ),
    ] = "",
    device: opt.Device = "auto",
    precision: opt.PrecisionName = "auto",
    workers: Annotated[
        int | None,
        typer.Option(help="Clips at once.", show_default="one per core; GPU: 1", rich_help_panel=SCORING),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for report, CSV, JSON, plots.", rich_help_panel=OUTPUT),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for finished clips, used again.", show_default="OUT/work", rich_help_panel=OUTPUT
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the confidence intervals.", rich_help_panel=OUTPUT)] = 0,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Score networks, and what needs none, against the truth; every figure names its protocol."""
    config = cfg.EvalConfig(
        dataset, root, pairs=tuple(pairs or ()), models=cfg.split_words(models), weights=weights, split=split,
        clips=cfg.split_words(clips), frames=frames, protocol=protocol, metrics=cfg.choose_metrics(metrics),
        metric_weights=metric_weights, alignment=alignment, fov_ratio=fov_ratio, average=average,
        average_reference=average_reference, linear=linear, costs=_sizes(cost), device=device,
        precision=precision, workers=workers, out=out, work=work, seed=seed,
    )  # fmt: skip
    from asled_cli.cli.output import console
    from asled_cli.lab.evaluation.run import run_eval  # torch and av load here, not for --help

    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    with console.progress(style) as report:
        result = run_eval(config, report)
    for title, columns, rows in result.tables:
        console.show_table(title, columns, rows, style)
    console.show_lines("note", result.notes, style)
    console.show_lines("written", [str(path) for path in result.written], style)


def _sizes(words: str) -> tuple[tuple[int, int], ...]:
    """256x256,1920x1080 as numbers."""
    sizes = []
    for word in cfg.split_words(words):
        width, _, height = word.partition("x")
        if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
            raise UsageError(f"--cost has {word!r}, expected sizes such as 256x256,1920x1080, 16 px or more.")
        sizes.append((int(width), int(height)))
    return tuple(sizes)
