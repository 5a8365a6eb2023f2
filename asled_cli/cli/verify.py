"""`asled verify`: check that a deblurred clip kept what it must keep of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asled_cli.cli.options import shared as opt
from asled_cli.runtime.option_limits import check_range

SourceClip = Annotated[Path, typer.Argument(metavar="IN", help="The clip as it was.")]
ResultClip = Annotated[Path, typer.Argument(metavar="OUT", help="The clip that was made from it.")]
Decode = Annotated[bool, typer.Option("--decode", help="Also decode both clips and compare every picture.")]
Track = Annotated[int, typer.Option(min=0, max=999, help="Which video track of IN, from 0.")]


def verify(
    source: SourceClip,
    out: ResultClip,
    start: opt.Start = None,
    end: opt.End = None,
    track: Track = 0,
    decode: Decode = False,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Compare OUT with IN: times, sound, subtitles, colours, metadata. Exit code 1 if anything differs."""
    check_range(start, end)
    from asled_cli.cli.output import console
    from asled_cli.video.preserve import verify as video

    checks = video.verify(source, out, track=track, start_s=start, end_s=end, decode=decode)
    if not quiet:
        rows = [(c.name, c.expected, c.found, "same" if c.same else "DIFFERS") for c in checks]
        columns = ("property", "expected", "found", "verdict")
        console.show_table("verify", columns, rows, console.Style(as_json=as_json))
    if not all(check.same for check in checks):
        raise typer.Exit(1)
