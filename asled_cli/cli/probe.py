"""`asled probe`: what clips are and how they go together, without writing anything but a preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.errors import UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.show.paths import check_report, report_path
from asled_cli.job.show.probe_rows import PLAN_COLUMNS, clip_rows, pair_rows, segment_row

if TYPE_CHECKING:
    from asled_cli.cli.output.console import Style

Preview = Annotated[
    Path | None,
    typer.Option(help="Draw the registered pair: .png: checkerboard, .mp4: side by side.", metavar="FILE"),
]

Defocus = Annotated[
    Path | None,
    typer.Option(
        help="Draw how far WIDE is out of focus: .png: middle frame, .mp4: every frame; white is most.",
        metavar="FILE",
    ),
]
DefocusWeights = Annotated[
    Path | None,
    typer.Option(help="Weights of dmenet, which --defocus needs; none come with the program."),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="[FILE.html]",
        help="Write the findings as a page; without FILE: WIDE with _probe.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace an existing preview or page.")]


def probe(
    wide: opt.WideClip,
    ultra: opt.UltraClip = None,
    offset: opt.Offset = None,
    fov_ratio: opt.FovRatio = None,
    lens_order: opt.LensOrderName = "auto",
    preview: Preview = None,
    defocus: Defocus = None,
    defocus_weights: DefocusWeights = None,
    page: Page = None,
    overwrite: Overwrite = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Show what WIDE and ULTRA are, how they match, and what `asled deblur` would do with them."""
    from asled_cli.cli.output import console
    from asled_cli.job import inspect  # torch-free, but av and cv2 load here
    from asled_cli.job.preview import check_preview, draw_preview
    from asled_cli.video.decode.video_tracks import count_views

    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    if preview is not None:
        check_preview(preview, [wide, ultra or wide], overwrite=overwrite)
    if defocus is not None:
        _draw_defocus(wide, ultra, defocus, defocus_weights, overwrite=overwrite, style=style)
    elif defocus_weights is not None:
        raise UsageError("--defocus-weights goes with --defocus.", "Name the map: --defocus map.png.")
    page = report_path(page, wide, "_probe.html")
    check_report(page, [wide, *filter(None, (ultra, preview))], overwrite=overwrite)
    if ultra is None and count_views(wide) < 2:
        if preview is not None:
            raise UsageError("--preview draws a pair, but only one clip is named.", "Name both clips.")
        _show_one(wide, page, style)
        return
    config = DeblurConfig(wide, ultra or wide, offset_s=offset, fov_ratio=fov_ratio, lens_order=lens_order)
    with console.progress(style) as report:
        found = inspect.inspect_pair(config, report)
        info = found.as_dict()
        sample = inspect.align_sample(found) if preview is not None or page is not None else []
        if preview is not None:
            draw_preview(sample, preview, overwrite=overwrite)
        if page is not None:
            from asled_cli.job.show.pages.probe_page import write_pair_page

            write_pair_page(page, info, found.match.wide, sample)
    if as_json:
        console.show_values("pair", info, style)
        return
    console.show_table("clips", ("", "wide", "ultra"), clip_rows(info["wide"], info["ultra"]), style)
    console.show_table("together", ("", ""), pair_rows(info), style)
    console.show_table("plan", PLAN_COLUMNS, [segment_row(segment) for segment in info["plan"]], style)
    console.show_lines("note", info["notes"], style)


def _draw_defocus(
    wide: Path, ultra: Path | None, out: Path, file: Path | None, *, overwrite: bool, style: Style
) -> None:
    """Write the map of defocus of the wide clip, and print its figures."""
    from asled_cli.cli.output import console
    from asled_cli.job.show.defocus import check_defocus, draw_defocus  # torch loads here
    from asled_cli.video.decode.probe import probe_clip

    check_defocus(out, [wide, ultra or wide], file, overwrite=overwrite)
    assert file is not None
    with console.progress(style) as report:
        found = draw_defocus(probe_clip(wide), file, out, overwrite=overwrite, report=report)
    console.show_values("defocus", found.as_dict(), style)


def _show_one(wide: Path, page: Path | None, style: Style) -> None:
    """Print what one clip is, and write the page about it."""
    from asled_cli.cli.output import console
    from asled_cli.job import inspect
    from asled_cli.video.decode.probe import probe_clip

    info = inspect.clip_info(probe_clip(wide))
    if page is not None:
        from asled_cli.job.show.pages.probe_page import write_clip_page

        write_clip_page(page, info)
    if style.as_json:
        console.show_values("clip", info, style)
    else:
        console.show_table("clip", ("", ""), clip_rows(info), style)
        console.show_lines("note", info["warnings"], style)
