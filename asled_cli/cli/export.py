"""`asled export`: a network as ONNX or torch.export program, for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt

ExportFile = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE.onnx|FILE.pt2", help="File to write; its ending decides.")
]
ExportModel = Annotated[str, typer.Option("--model", "-m", help="A network listed by `asled models`.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace an existing file.")]


def export(
    out: ExportFile,
    model: ExportModel = "asled-fast",
    weights: opt.WeightsFile = None,
    overwrite: Overwrite = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write one frame step of a network, with explicit state and free frame size, and check it."""
    from asled_cli.cli.output import console
    from asled_cli.lab.export.write import export_to  # torch loads here, not for --help

    values = export_to(out, model, weights, overwrite=overwrite)
    console.show_values("export", values, console.Style(as_json=as_json, quiet=quiet))
