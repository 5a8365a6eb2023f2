"""`asled average-weights`: the mean of two weight files of one network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt


def average_weights(
    start: Annotated[Path, typer.Argument(metavar="START", help="Weights that a training run started from.")],
    end: Annotated[Path, typer.Argument(metavar="END", help="Weights that it came to.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File for the mean.")],
    share: Annotated[float, typer.Option(metavar="0..1", help="Share of END.")] = 0.5,
    debug: opt.Debug = False,
) -> None:
    """Write the mean of the weights before and after training: it forgets what was learnt of few scenes."""
    from asled_cli.lab.training.weight_averaging import average_weights  # torch loads here, not for --help

    average_weights(start, end, share, out)
    typer.echo(f"written: {out}")
