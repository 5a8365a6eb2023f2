"""`asled train`: a recipe and clips in, a checkpoint out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt

RUN = "Run"


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file; see examples/recipes.")],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Pairs of `asled synth-blur`, a data set, cached clips, or sharp photos and videos.",
            rich_help_panel=RUN,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Where checkpoints, weights and logs go.", rich_help_panel=RUN
        ),
    ],
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where registered clips are kept, for several runs to share.",
            show_default="OUT/clips",
            rich_help_panel=RUN,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in --out.", rich_help_panel=RUN)
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(metavar="FILE|NAME", help="Weights to start from.", rich_help_panel=RUN),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a setting of the recipe, such as samples.batch=8; repeatable.",
            rich_help_panel=RUN,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Also write TensorBoard events (extra `watch`).", rich_help_panel=RUN
        ),
    ] = False,
    device: opt.Device = "auto",
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train a network as RECIPE says; interrupt it at any time, `--resume` continues exactly."""
    from asled_cli.cli.output import console
    from asled_cli.lab.training.run import TrainJob, run_training  # torch loads here, not for --help

    start = [] if init is None else [f"init={init}"]
    job = TrainJob(
        recipe=recipe,
        data=data,
        out=out,
        cache=cache,
        resume=resume,
        changes=(*start, *(changes or ())),
        tensorboard=tensorboard,
        device=device,
    )
    style = console.Style(as_json=as_json, quiet=quiet, verbose=not quiet)
    with console.progress(style) as report:
        result = run_training(job, report)
    if not result.leads:
        return
    values = {"steps": result.step, **result.scores, "files": [str(path) for path in result.files]}
    console.show_values("trained", values, style)
