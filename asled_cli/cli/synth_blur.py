"""`asled synth-blur`: sharp clips and photos in, blurred pairs out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from asled_cli.cli import options as opt
from asled_cli.errors import UsageError

AVERAGE, SHAKE, VIEWS, FILES = "Mode average", "Mode shake", "Both modes", "Output"


def synth_blur(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC...", help="Sharp videos, folders of frames, folders of photos, or a RealMCVSR tree."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to fill.", rich_help_panel=FILES)
    ],
    mode: Annotated[
        Literal["average", "shake"],
        typer.Option(
            help="average: means of neighbouring frames; shake: a photo, or one frame of a clip, filmed by a "
            "shaking hand.",
            rich_help_panel=VIEWS,
        ),
    ] = "average",
    ultra: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CLIP",
            help="The other lens's clip, once for each SRC, frame by frame the same moments.",
            show_default="cut both views from SRC",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.", rich_help_panel=VIEWS)] = 0,
    length: Annotated[
        int | None,
        typer.Option(
            help="Frames of a clip; longer sources give several clips.",
            show_default="60 average, 13 shake, all of two lenses",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(
            help="At most this many clips from each source.",
            show_default="all; 1 of a photo",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Pixels of both views.",
            show_default="average: SRC's over --ratio; shake: 448x256",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    look: Annotated[
        Literal["plain", "phone"] | None,
        typer.Option(
            help="phone: lenses off each other, noise, colour, sharpening and codec, drawn for each clip.",
            show_default="average plain, shake phone",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            help="How much larger the ultra view is, 1 to 4.",
            show_default="2; phone: drawn",
            rich_help_panel=VIEWS,
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option(help="Frames in a mean, odd; the centre one is the truth.", rich_help_panel=AVERAGE)
    ] = 7,
    ultra_frames: Annotated[
        int, typer.Option(help="The same for the ultra view; 1: sharp.", rich_help_panel=AVERAGE)
    ] = 1,
    stride: Annotated[
        int, typer.Option(help="Source frames from one mean to the next.", rich_help_panel=AVERAGE)
    ] = 1,
    light: Annotated[
        Literal["srgb", "linear"],
        typer.Option(help="Average coded values, or linear light.", rich_help_panel=AVERAGE),
    ] = "srgb",
    interpolate: Annotated[
        int,
        typer.Option(
            help="First raise the frame rate this many times, along the optical flow.",
            rich_help_panel=AVERAGE,
        ),
    ] = 1,
    exposure: Annotated[
        float | None,
        typer.Option(
            help="Of the wide lens, in frame intervals, 0 to 1.", show_default="drawn", rich_help_panel=SHAKE
        ),
    ] = None,
    ultra_exposure: Annotated[
        float | None,
        typer.Option(
            help="Of the ultra lens, in frame intervals.", show_default="drawn", rich_help_panel=SHAKE
        ),
    ] = None,
    blur_px: Annotated[
        float | None,
        typer.Option(
            help="Path of the picture in one exposure, in pixels.",
            show_default="drawn",
            rich_help_panel=SHAKE,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Nearer things that move before the photo.", show_default="drawn", rich_help_panel=SHAKE
        ),
    ] = None,
    rolling_shutter: Annotated[
        float | None,
        typer.Option(
            help="First to last row, in frame intervals.", show_default="drawn", rich_help_panel=SHAKE
        ),
    ] = None,
    stabiliser: Annotated[
        float | None,
        typer.Option(
            help="Share of the shake that the wide lens floats against, 0 to 1.",
            show_default="drawn",
            rich_help_panel=SHAKE,
        ),
    ] = None,
    steadied: Annotated[
        float | None,
        typer.Option(
            help="Frames over which software smooths the path of the frames, not of their blur.",
            show_default="drawn",
            rich_help_panel=SHAKE,
        ),
    ] = None,
    baseline_px: Annotated[
        float | None,
        typer.Option(
            help="Parallax of the nearest thing between the lenses, in pixels.",
            show_default="drawn",
            rich_help_panel=SHAKE,
        ),
    ] = None,
    layout: Annotated[
        Literal["generic", "realmcvsr"],
        typer.Option(
            help="generic: {blur,gt,ref}/CLIP; realmcvsr: SPLIT/HR/{W_blur,W,UW}/CLIP.", rich_help_panel=FILES
        ),
    ] = "generic",
    split: Annotated[
        Literal["train", "valid", "test"] | None,
        typer.Option(help="Folder above.", show_default="none; realmcvsr: train", rich_help_panel=FILES),
    ] = None,
    store: Annotated[
        Literal["frames", "video"],
        typer.Option("--as", help="PNG frames, or lossless videos (FFV1).", rich_help_panel=FILES),
    ] = "frames",
    flow: Annotated[
        bool,
        typer.Option(
            "--flow",
            help="Also the exact flow, to the next truth and into the ultra view.",
            rich_help_panel=SHAKE,
        ),
    ] = False,
    occlusion: Annotated[
        bool,
        typer.Option("--occlusion", help="Also what the next truth does not show.", rich_help_panel=SHAKE),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", help="Processes.", show_default="all cores", rich_help_panel=opt.TERMINAL
        ),
    ] = 0,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make blurred dual-lens pairs with known truth, to train and to score on; run again to go on."""
    from asled_cli.cli.output import console
    from asled_cli.lab.synthesis.clip import SynthConfig
    from asled_cli.lab.synthesis.pair_files import FilesConfig  # numpy and av load here, not for --help
    from asled_cli.lab.synthesis.run import SynthJob
    from asled_cli.lab.synthesis.run import synth_blur as run

    job = SynthJob(
        sources=sources,
        out=out,
        ultras=ultra or (),
        clips=clips,
        synth=SynthConfig(
            mode=mode,
            seed=seed,
            length=length,
            size=None if size is None else _size(size),
            look=look,
            ratio=ratio,
            frames=frames,
            ultra_frames=ultra_frames,
            stride=stride,
            linear=light == "linear",
            interpolate=interpolate,
            exposure=exposure,
            ultra_exposure=ultra_exposure,
            blur_px=blur_px,
            layers=layers,
            readout=rolling_shutter,
            stabiliser=stabiliser,
            steadied=steadied,
            baseline_px=baseline_px,
        ),
        files=FilesConfig(layout=layout, store=store, split=split, flow=flow, occlusion=occlusion),
        jobs=jobs,
    )
    style = console.Style(as_json=as_json, quiet=quiet)
    with console.progress(style) as report:
        result = run(job, report)
    facts = {"synthetic": result.made, "kept": result.kept, "left out": len(result.left_out)}
    console.show_facts("synth-blur", facts | {"manifest": str(result.manifest)}, style)


def _size(words: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", words)
    if found is None:
        raise UsageError(f"--size is {words!r}, expected WIDTHxHEIGHT such as 448x256.")
    return int(found[1]), int(found[2])
