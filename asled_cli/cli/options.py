"""Option types shared by the commands: each flag's name, unit and help stand once, here."""

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.job.records import Method, RolesChoice, Target
from asled_cli.runtime.precision import Precision

CLIPS, PICTURE, RESTORE, ENCODE, TERMINAL = (
    "Clips and time",
    "Lenses",
    "Restoration",
    "Encoding",
    "Terminal",
)

WideClip = Annotated[Path, typer.Argument(metavar="WIDE", help="The blurred clip, to be mended.")]
UltraClip = Annotated[
    Path | None,
    typer.Argument(
        metavar="ULTRA",
        help="The ultra-wide clip of the same moment, usually sharper.",
        show_default="the second video track of WIDE",
    ),
]

OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="File to write.", show_default="WIDE with _deblurred", rich_help_panel=CLIPS
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", "-y", help="Replace an existing output file.", rich_help_panel=CLIPS)
]
Start = Annotated[
    float | None,
    typer.Option(help="First second of WIDE to use.", show_default="its start", rich_help_panel=CLIPS),
]
End = Annotated[
    float | None,
    typer.Option(help="Stop before this second of WIDE.", show_default="its end", rich_help_panel=CLIPS),
]
Offset = Annotated[
    float | None,
    typer.Option(
        help="Seconds that ULTRA started after WIDE; may be negative.",
        show_default="by sound, camera motion or pictures",
        rich_help_panel=CLIPS,
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(help="The sharp clip, if known: prints PSNR before and after.", rich_help_panel=CLIPS),
]

FovRatio = Annotated[
    float | None,
    typer.Option(
        help="How much larger ULTRA's view is, 1 to 8.",
        show_default="lens data in the files, else 2",
        rich_help_panel=PICTURE,
    ),
]

RolesName = Annotated[
    RolesChoice,
    typer.Option(
        help="auto: find out which clip is the wide one and leave alone what is sharp; given: as named.",
        rich_help_panel=PICTURE,
    ),
]

TargetName = Annotated[
    Target,
    typer.Option(
        help="Which clip is mended; ultra: where the wide lens sees too, with the wide clip's help.",
        rich_help_panel=PICTURE,
    ),
]

MethodName = Annotated[
    Method,
    typer.Option(
        help="network: restore; swap: put in the aligned ultra view; auto: network if it is at hand.",
        rich_help_panel=RESTORE,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A network listed by `asled models`.", rich_help_panel=RESTORE),
]
WeightsFile = Annotated[
    Path | None, typer.Option(help="A checkpoint instead of the published one.", rich_help_panel=RESTORE)
]
Strength = Annotated[
    float, typer.Option(help="0: change nothing, 1: the full change.", rich_help_panel=RESTORE)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RESTORE)]
PrecisionName = Annotated[
    Precision, typer.Option(help="Number format of the network.", rich_help_panel=RESTORE)
]
Chunk = Annotated[
    int | None,
    typer.Option(
        help="Frames restored at once; more costs memory.",
        show_default="the network's",
        rich_help_panel=RESTORE,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        help="Frames looked ahead past each chunk.", show_default="the network's", rich_help_panel=RESTORE
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Work in tiles of this many pixels, 0: whole frames.",
        show_default="by frame size",
        rich_help_panel=RESTORE,
    ),
]

Codec = Annotated[
    str,
    typer.Option(
        help="h264, hevc, av1, prores, ffv1 or an encoder of FFmpeg; auto: h264 for 8 bit, hevc above.",
        rich_help_panel=ENCODE,
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        help="Quality on the encoder's scale, lower is better.",
        show_default="16 to 20, by encoder",
        rich_help_panel=ENCODE,
    ),
]
Preset = Annotated[
    str | None, typer.Option(help="Speed of the encoder, in its own words.", rich_help_panel=ENCODE)
]
PixFmt = Annotated[
    str, typer.Option(help="Pixel format; auto: as near to that of WIDE as it gets.", rich_help_panel=ENCODE)
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder-opt",
        metavar="KEY=VALUE",
        help="Passed to the encoder; repeatable.",
        rich_help_panel=ENCODE,
    ),
]

Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with a run that was broken off.", rich_help_panel=CLIPS),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse what would otherwise be a warning.", rich_help_panel=TERMINAL),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, print the plan, stop.", rich_help_panel=TERMINAL)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.", rich_help_panel=TERMINAL)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No plan, no progress, no summary.", rich_help_panel=TERMINAL)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more about what is done.", rich_help_panel=TERMINAL)
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback for every error.", rich_help_panel=TERMINAL)
]
