"""Options of `asled eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.lab.scoring import config as cfg

_DATA, _SCORING, _OUTPUT = "Data", "Scoring", "Output"
USUAL_METHODS = ",".join(cfg.USUAL_METHODS)

Dataset = Annotated[cfg.Dataset | None, typer.Option(help="Layout of --root.", rich_help_panel=_DATA)]
Root = Annotated[
    Path | None,
    typer.Option(
        help="Top folder of the data set; synthetic: sharp photos and videos.", rich_help_panel=_DATA
    ),
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RESULT:TRUTH", help="Files or folders to compare instead; repeatable.", rich_help_panel=_DATA
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="train, valid or test; synthetic also: strong, equal, single, stereo, phone, "
        "defocus, each with -uncompressed; A,B or all: one table of several.",
        show_default="test; synthetic: valid",
        rich_help_panel=_DATA,
    ),
]
Clips = Annotated[str, typer.Option(metavar="A,B,C", help="Only these clips.", rich_help_panel=_DATA)]
MaxFrames = Annotated[
    int | None, typer.Option(help="Only the first frames of each clip.", rich_help_panel=_DATA)
]
Average = Annotated[
    int, typer.Option(help="realmcvsr: frames averaged into one blurred frame.", rich_help_panel=_DATA)
]
AverageReference = Annotated[
    bool,
    typer.Option("--average-reference", help="realmcvsr: average the ultra view too.", rich_help_panel=_DATA),
]
Linear = Annotated[
    bool,
    typer.Option(
        "--linear",
        help="realmcvsr: average linear light instead of gamma-encoded values.",
        rich_help_panel=_DATA,
    ),
]
Methods = Annotated[
    str,
    typer.Option(
        "--methods",
        "--models",
        help="Rows: input, reference, swap, oracle-half, single (no reference), auto (as deblur without "
        "options), networks, NAME=FILE for other weights, or all: every network with weights, for synthetic "
        "without --split on all sets in one table.",
        rich_help_panel=_SCORING,
    ),
]
Protocol = Annotated[
    cfg.Protocol, typer.Option(help="Rounding, SSIM and averaging.", rich_help_panel=_SCORING)
]
Metrics = Annotated[
    str, typer.Option(help=f"usual, paper, all, or of {','.join(cfg.METRICS)}.", rich_help_panel=_SCORING)
]
MetricWeights = Annotated[
    Path | None, typer.Option(help="Folder with the backbones of LPIPS.", rich_help_panel=_SCORING)
]
Alignment = Annotated[
    cfg.Alignment,
    typer.Option(
        help="registered: as `asled deblur`; centre-crop: as in the paper.", rich_help_panel=_SCORING
    ),
]
FovRatio = Annotated[
    float | None,
    typer.Option(
        help="Field-of-view ratio of the reference over the target, 1 to 4.",
        show_default="found in the pictures; 2 for the crop",
        rich_help_panel=_SCORING,
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        metavar="WxH,WxH",
        help="Measure speed and memory at these sizes, such as 256x256,1920x1080.",
        rich_help_panel=_SCORING,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Clips at once.", show_default="one per core; GPU: 1", rich_help_panel=_SCORING),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for report, CSV, JSON, plots.", rich_help_panel=_OUTPUT),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="[FILE.html]",
        help="Write the scores as a page; without FILE: report.html in OUT, else asled_eval.html.",
        rich_help_panel=_OUTPUT,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for finished clips, used again.", show_default="OUT/cache", rich_help_panel=_OUTPUT
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", "-y", help="Replace files of others in --out.", rich_help_panel=_OUTPUT)
]
Seed = Annotated[int, typer.Option(help="Seed of the confidence intervals.", rich_help_panel=_OUTPUT)]


def report_place(out: Path | None) -> Path:
    """Return the name of the page where none is given."""
    return Path("asled_eval") if out is None else out / "report"
