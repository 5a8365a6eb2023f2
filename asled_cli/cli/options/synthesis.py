"""Options of `asled synth-blur`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_VIEWS, _AVERAGE, _SHAKE, _FILES = "All modes", "Mode average", "Mode shake", "Output"
_FOCUS, _PHOTO = "Mode defocus", "Modes shake and defocus"

Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="SRC...", help="Sharp videos, folders of frames, folders of photos, or a RealMCVSR tree."
    ),
]
OutFolder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to fill.", rich_help_panel=_FILES)
]
Mode = Annotated[
    Literal["average", "shake", "defocus"],
    typer.Option(
        help="average: mean of neighbouring frames; shake: a photo, or one frame of a clip, filmed with hand "
        "shake; defocus: the same out of focus, without motion blur.",
        rich_help_panel=_VIEWS,
    ),
]
Ultras = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="CLIP",
        help="The other lens's clip, once for each SRC, synchronous frame by frame.",
        show_default="cut both views from SRC",
        rich_help_panel=_VIEWS,
    ),
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal bytes.", rich_help_panel=_VIEWS)]
Frames = Annotated[
    int | None,
    typer.Option(
        help="Frames of a clip; longer sources give several clips.",
        show_default="60 average, 13 shake and defocus, all with --ultra",
        rich_help_panel=_VIEWS,
    ),
]
Clips = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of clips from each source.",
        show_default="all; 1 of a photo",
        rich_help_panel=_VIEWS,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Size of both views in pixels.",
        show_default="average: SRC's over --ratio; else 448x256",
        rich_help_panel=_VIEWS,
    ),
]
Degrade = Annotated[
    Literal["none", "phone"] | None,
    typer.Option(
        help="phone: random lens misalignment, noise, colour, sharpening and compression.",
        show_default="average none, else phone",
        rich_help_panel=_VIEWS,
    ),
]
Ratio = Annotated[
    float | None,
    typer.Option(
        help="Field-of-view ratio of ultra over wide, 1 to 4.",
        show_default="2; phone: random",
        rich_help_panel=_VIEWS,
    ),
]
Window = Annotated[
    int,
    typer.Option(help="Frames averaged, odd; the centre one is the ground truth.", rich_help_panel=_AVERAGE),
]
UltraWindow = Annotated[
    int, typer.Option(help="Frames averaged in the ultra view; 1: sharp.", rich_help_panel=_AVERAGE)
]
Stride = Annotated[
    int, typer.Option(help="Source frames from one average to the next.", rich_help_panel=_AVERAGE)
]
Linear = Annotated[
    bool,
    typer.Option(
        "--linear", help="Average linear light instead of gamma-encoded values.", rich_help_panel=_AVERAGE
    ),
]
UpsampleFps = Annotated[
    int,
    typer.Option(
        help="First multiply the frame rate by this, by optical-flow interpolation.",
        rich_help_panel=_AVERAGE,
    ),
]
Exposure = Annotated[
    float | None,
    typer.Option(
        help="Exposure time of the wide lens in frames, 0 to 1.",
        show_default="random",
        rich_help_panel=_SHAKE,
    ),
]
UltraExposure = Annotated[
    float | None,
    typer.Option(
        help="Exposure time of the ultra lens in frames, 0 to 1.",
        show_default="random",
        rich_help_panel=_SHAKE,
    ),
]
BlurPx = Annotated[
    float | None,
    typer.Option(
        help="Length of the blur trajectory in one exposure, in pixels.",
        show_default="random",
        rich_help_panel=_SHAKE,
    ),
]
Layers = Annotated[
    int | None,
    typer.Option(
        help="Number of near objects that move in front of the photo, 0 to 4.",
        show_default="random",
        rich_help_panel=_PHOTO,
    ),
]
RollingShutter = Annotated[
    float | None,
    typer.Option(
        help="Readout time from first to last row, in frames.", show_default="random", rich_help_panel=_SHAKE
    ),
]
Ois = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="Simulate OIS of the wide lens: this fraction of the shake is compensated, 0 to 1.",
        show_default="random",
        rich_help_panel=_SHAKE,
    ),
]
EisWindow = Annotated[
    float | None,
    typer.Option(
        metavar="FRAMES",
        help="Simulate EIS: smooth the camera path over this many frames, keep the blur.",
        show_default="random",
        rich_help_panel=_SHAKE,
    ),
]
BaselinePx = Annotated[
    float | None,
    typer.Option(
        help="Parallax of the nearest object between the lenses, in pixels.",
        show_default="random",
        rich_help_panel=_PHOTO,
    ),
]
CirclePx = Annotated[
    float | None,
    typer.Option(
        help="Circle of confusion of the photo with the focus on the nearest object, in pixels.",
        show_default="random",
        rich_help_panel=_FOCUS,
    ),
]
Focus = Annotated[
    float | None,
    typer.Option(
        help="Plane in focus: 0 the photo, 1 the nearest object, more: before it.",
        show_default="random",
        rich_help_panel=_FOCUS,
    ),
]
Aperture = Annotated[
    Literal["disc", "gaussian"] | None,
    typer.Option(help="Shape of a point out of focus.", show_default="random", rich_help_panel=_FOCUS),
]
UltraDefocus = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="Circle of confusion of the ultra lens over the wide lens's; 0: all in focus.",
        show_default="random",
        rich_help_panel=_FOCUS,
    ),
]
Layout = Annotated[
    Literal["generic", "realmcvsr"],
    typer.Option(
        help="generic: {blur,gt,ref}/CLIP; realmcvsr: SPLIT/HR/{W_blur,W,UW}/CLIP.", rich_help_panel=_FILES
    ),
]
Split = Annotated[
    Literal["train", "valid", "test"] | None,
    typer.Option(help="Folder above.", show_default="none; realmcvsr: train", rich_help_panel=_FILES),
]
Format = Annotated[
    Literal["frames", "video"],
    typer.Option("--format", help="PNG frames, or lossless videos (FFV1).", rich_help_panel=_FILES),
]
Flow = Annotated[
    bool,
    typer.Option(
        "--flow",
        help="Also write the exact flow, to the next ground-truth frame and to the ultra view.",
        rich_help_panel=_PHOTO,
    ),
]
Occlusion = Annotated[
    bool,
    typer.Option(
        "--occlusion",
        help="Also write masks of what the next ground-truth frame hides.",
        rich_help_panel=_PHOTO,
    ),
]
