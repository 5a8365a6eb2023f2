"""`asled probe`: what clips are and how they go together, without writing anything but a preview."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from asled_cli.cli import options as opt
from asled_cli.job.records import DeblurConfig

Preview = Annotated[
    Path | None,
    typer.Option(help="Draw the registered pair: .png: checkerboard, .mp4: side by side.", metavar="FILE"),
]


def probe(
    wide: opt.WideClip,
    ultra: opt.UltraClip = None,
    offset: opt.Offset = None,
    fov_ratio: opt.FovRatio = None,
    roles: opt.RolesName = "auto",
    preview: Preview = None,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Tell what WIDE and ULTRA are, how they go together, and what `asled deblur` would do with them."""
    from asled_cli.cli import console
    from asled_cli.job import inspect  # torch-free, but av and cv2 load here
    from asled_cli.job.preview import check_preview, draw_preview
    from asled_cli.video.probe import count_video_tracks, probe_clip

    style = console.Style(as_json=as_json, quiet=quiet, verbose=verbose)
    if preview is not None:
        check_preview(preview, [wide, ultra or wide])
    if ultra is None and count_video_tracks(wide) < 2:
        console.show_facts("clip", inspect.clip_facts(probe_clip(wide)), style)
        return
    config = DeblurConfig(wide, ultra or wide, offset_s=offset, fov_ratio=fov_ratio, roles=roles)
    with console.progress(style) as report:
        found = inspect.inspect_pair(config, report)
        if preview is not None:
            draw_preview(inspect.align_sample(found), preview)
    facts = found.as_dict()
    if as_json:
        console.show_facts("pair", facts, style)
        return
    console.show_table("clips", ("", "wide", "ultra"), _side_by_side(facts["wide"], facts["ultra"]), style)
    console.show_table("pair", ("", ""), _pair_rows(facts), style)
    console.show_table(
        "plan",
        ("from s", "to s", "action", "wide blur px", "ultra blur px", "ultra sharper by dB"),
        [tuple("" if v is None else str(v) for v in _segment(s)) for s in facts["plan"]],
        style,
    )
    for note in facts["notes"]:
        typer.echo(f"note: {note}")


def _side_by_side(wide: dict[str, Any], ultra: dict[str, Any]) -> list[tuple[str, str, str]]:
    names = [name for name in wide if name != "warnings"]
    return [(name.replace("_", " "), str(wide[name]), str(ultra[name])) for name in names]


def _pair_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    drift = f", drift {facts['clock_drift_ppm']:+.1f} ppm" if facts["clock_drift_ppm"] else ""
    registration = facts["registration"]
    return [
        ("order", ("swapped: " if facts["swapped"] else "") + facts["order_source"]),
        ("offset", f"{facts['offset_s']:+.4f} s, {facts['offset_source']}{drift}"),
        ("offset confidence", f"{facts['offset_confidence']:.2f} (believed from 0.5)"),
        ("view ratio", f"{registration['fov_ratio']} (before: {facts['fov_ratio_prior']}, "
                       f"{facts['fov_ratio_source']})"),
        *((name.replace("_", " "), str(v)) for name, v in registration.items() if name != "fov_ratio"),
    ]  # fmt: skip


def _segment(segment: dict[str, Any]) -> tuple[Any, ...]:
    names = ("start_s", "end_s", "action", "wide_blur_px", "ultra_blur_px", "advantage_db")
    return tuple(segment[name] for name in names)
