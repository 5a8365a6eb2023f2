"""Option types shared by the commands: name, unit and help of each flag."""

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.job.config import CompareLayout, LensOrder, Method, OutputViews, Target
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS, MAX_JOBS
from asled_cli.runtime.precision import Precision

CLIPS, VIEWS, PICTURE, RESTORE, ENCODE, TERMINAL = (
    "Clips and time",
    "Looking at the result",
    "Lenses",
    "Restoration",
    "Encoding",
    "Terminal",
)

WideClip = Annotated[Path, typer.Argument(metavar="WIDE", help="The blurred clip, to be deblurred.")]
UltraClip = Annotated[
    Path | None,
    typer.Argument(
        metavar="ULTRA",
        help="The ultra-wide clip recorded at the same time, usually sharper.",
        show_default="the second video track of WIDE, else none",
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
    typer.Option(
        help="First time of WIDE to use, in seconds.", show_default="its start", rich_help_panel=CLIPS
    ),
]
End = Annotated[
    float | None,
    typer.Option(
        help="Stop before this time of WIDE, in seconds.", show_default="its end", rich_help_panel=CLIPS
    ),
]
Offset = Annotated[
    float | None,
    typer.Option(
        help="Seconds that ULTRA started after WIDE; may be negative.",
        show_default="from audio, else scene motion, else camera motion",
        rich_help_panel=CLIPS,
    ),
]
Truth = Annotated[
    Path | None,
    typer.Option(help="Ground-truth clip; prints PSNR before and after.", rich_help_panel=CLIPS),
]

CompareFile = Annotated[
    Path | None,
    typer.Option(
        "--compare",
        metavar="[FILE]",
        help="Write a clip that shows source and result together, with the same sound; without FILE: "
        "OUT with _compare.",
        rich_help_panel=VIEWS,
    ),
]
CompareLayoutName = Annotated[
    CompareLayout,
    typer.Option(
        help="side: beside each other; line: one picture, divided by a moving line.", rich_help_panel=VIEWS
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="[FILE.html]",
        help="Write a page about the job: pictures, charts, plan, problems; without FILE: OUT with _report.",
        rich_help_panel=VIEWS,
    ),
]

FovRatio = Annotated[
    float | None,
    typer.Option(
        help="Field-of-view ratio of ULTRA over WIDE, {:g} to {:g}.".format(*FOV_RATIO_LIMITS),
        show_default="lens data in the files, else 2",
        rich_help_panel=PICTURE,
    ),
]

Exposure = Annotated[
    float | None,
    typer.Option(
        help="Exposure time of WIDE in seconds, such as 0.0167; with --ultra-exposure.",
        show_default="from the pictures",
        rich_help_panel=PICTURE,
    ),
]
UltraExposure = Annotated[
    float | None,
    typer.Option(
        help="Exposure time of ULTRA in seconds; with --exposure.",
        show_default="from the pictures",
        rich_help_panel=PICTURE,
    ),
]

LensOrderName = Annotated[
    LensOrder,
    typer.Option(
        help="auto: find out which clip is the wide one; given: as named.",
        rich_help_panel=PICTURE,
    ),
]
SkipSharp = Annotated[
    bool,
    typer.Option(help="Leave frames that are sharp already as recorded.", rich_help_panel=RESTORE),
]

TargetName = Annotated[
    Target,
    typer.Option(
        help="Clip to deblur. ultra: deblur the ultra-wide clip inside the wide field of view; both: both "
        "views of spatial video; auto: both for spatial video, else wide.",
        rich_help_panel=PICTURE,
    ),
]

OutputViewsName = Annotated[
    OutputViews,
    typer.Option(help="Views of spatial video to write; auto: both.", rich_help_panel=PICTURE),
]

MethodName = Annotated[
    Method,
    typer.Option(
        help="network: restore with a neural network; swap: no network, copies detail from the registered "
        "ultra view; single: WIDE alone, blur by motion is removed with its own frames; auto: network "
        "if its weights are found, without ULTRA single.",
        rich_help_panel=RESTORE,
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="A first look: no network, and blur is removed with WIDE's own frames at 960 pixels.",
        rich_help_panel=RESTORE,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A network listed by `asled models`.", rich_help_panel=RESTORE),
]
WeightsFile = Annotated[
    Path | None, typer.Option(help="Checkpoint to use instead of the published one.", rich_help_panel=RESTORE)
]
Strength = Annotated[
    float, typer.Option(help="Share of the change to apply, 0 (none) to 1 (all).", rich_help_panel=RESTORE)
]
Adapt = Annotated[
    int,
    typer.Option(
        metavar="EPOCHS",
        help="Tune the network's codebook to the frames of ULTRA first, for networks that have one; 0: not.",
        rich_help_panel=RESTORE,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, cuda:all, mps.", rich_help_panel=RESTORE)]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_JOBS,
        help="Processes that share the frames of a long clip; with --device cuda:all one per GPU.",
        rich_help_panel=RESTORE,
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="With --workers: the very frames that one process gives. A network then runs in one process.",
        rich_help_panel=RESTORE,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on a Ray cluster: auto (the running one), local, HOST:PORT or ray://HOST:PORT. Needs "
        "asled[ray].",
        show_default="this machine",
        rich_help_panel=RESTORE,
    ),
]
PrecisionName = Annotated[Precision, typer.Option(help="Floating-point precision.", rich_help_panel=RESTORE)]
Chunk = Annotated[
    int | None,
    typer.Option(
        help="Frames restored at once; more frames need more memory.",
        show_default="the network's",
        rich_help_panel=RESTORE,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        help="Look-ahead: frames read after each chunk as context.",
        show_default="the network's",
        rich_help_panel=RESTORE,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        help="Tile size in pixels; 0: whole frames.",
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
        help="Constant rate factor; lower is better.",
        show_default="16 to 20, by encoder",
        rich_help_panel=ENCODE,
    ),
]
Preset = Annotated[str | None, typer.Option(help="Speed preset of the encoder.", rich_help_panel=ENCODE)]
PixFmt = Annotated[
    str, typer.Option(help="Pixel format; auto: closest to that of WIDE.", rich_help_panel=ENCODE)
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
    typer.Option("--resume", help="Resume an interrupted run.", rich_help_panel=CLIPS),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Treat warnings as errors.", rich_help_panel=TERMINAL),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the input, print the plan, stop.", rich_help_panel=TERMINAL)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.", rich_help_panel=TERMINAL)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No plan, no progress, no summary.", rich_help_panel=TERMINAL)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more detail.", rich_help_panel=TERMINAL)
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback for every error.", rich_help_panel=TERMINAL)
]

Processes = Annotated[
    int,
    typer.Option("--jobs", "-j", help="Processes.", show_default="all cores", rich_help_panel=TERMINAL),
]
