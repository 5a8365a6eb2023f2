"""Comparison of a deblurred clip with its source: packets, headers and, if requested, every picture."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from asled_cli.video.clock import exact_seconds
from asled_cli.video.preserve.checks.check import Check
from asled_cli.video.preserve.checks.frame_checks import compare_frames
from asled_cli.video.preserve.checks.picture_checks import compare_fields, compare_picture
from asled_cli.video.preserve.checks.track_checks import (
    compare_attachments,
    compare_chapters,
    compare_keys,
    compare_labels,
    compare_tracks,
)
from asled_cli.video.preserve.checks.view_checks import compare_views
from asled_cli.video.preserve.inventory import Inventory, take_inventory

__all__ = ["Check", "verify"]

MATROSKA_TICK = Fraction(1, 1000)  # seconds; the usual time base of Matroska


def verify(
    source: Path,
    out: Path,
    *,
    track: int = 0,
    start_s: float | Fraction | None = None,
    end_s: float | Fraction | None = None,
    times: Sequence[Fraction] | None = None,
    decode: bool = False,
    views: bool = True,
) -> list[Check]:
    """Return the checks of `out` against the n-th video track of `source` or its range [start_s, end_s).

    times: of the source's frames, seconds on its clock; None: those of all its packets.
    views: compare the views of spatial clips too.
    decode: compare every picture too, which decodes both clips. Memory: a few numbers per frame.
    Raises InputError if a file cannot be opened.
    """
    start_s, end_s = _exact(start_s), _exact(end_s)
    before = take_inventory(source, track)
    wanted = _in_range(before.times if times is None else times, start_s, end_s)
    shift = wanted[0] if start_s is not None and wanted else Fraction(0)
    if start_s is not None or end_s is not None:
        before.tracks = take_inventory(source, track, start_s=start_s, end_s=end_s, shift=shift).tracks
    after = take_inventory(out)
    wanted = [time - shift for time in wanted]
    whole = start_s is None and end_s is None
    checks = [
        *_compare_frames(wanted, after, _slack(after)),
        _compare_end(before, wanted, after, cut=end_s is not None, slack=_slack(after)),
        *compare_picture(before.clip, after.clip),
        *(compare_views(before, after) if views else ()),
        compare_fields(before.clip, after.clip, (before.field_order, after.field_order)),
        *_compare_rest(before, wanted, after, whole=whole),
    ]
    if decode and after.ticks and wanted:
        rounded = wanted[0] - after.times[0] if after.rounded else Fraction(0)
        both = views and before.clip.views > 1 and after.clip.views > 1
        for view in (0, 1) if both else (0,):
            found = compare_frames(
                replace(before.clip, view=view),
                replace(after.clip, view=view),
                shift=shift + rounded,
                start_s=start_s,
                end_s=end_s,
                expected=len(after.ticks),
                bits_per_pixel=after.bits_per_pixel / (2 if both else 1),
            )
            checks += [replace(check, name=f"{check.name} of view 2") if view else check for check in found]
    return checks


def _in_range(times: Sequence[Fraction], start_s: Fraction | None, end_s: Fraction | None) -> list[Fraction]:
    return [t for t in times if (start_s is None or t >= start_s) and (end_s is None or t < end_s)]


def _compare_rest(
    before: Inventory, wanted: Sequence[Fraction], after: Inventory, *, whole: bool
) -> Iterator[Check]:
    """Yield the checks of everything but the picture. whole: not a range of the source."""
    slack = max(_slack(before), _slack(after))
    origins = tuple(times[0] if times else Fraction(0) for times in (wanted, after.times))
    yield from compare_tracks(before, after, slack, origins=(origins[0], origins[1]))
    yield compare_keys("metadata", before.metadata, after.metadata)
    # Players show the only video track with or without the default flag.
    yield from compare_labels("video", before.labels, after.labels, added=frozenset({"default"}))
    if before.track_keys:
        yield compare_keys("track metadata", before.track_keys, after.track_keys)
    if before.attachments:
        yield compare_attachments(before.attachments, after.attachments)
    if whole and (before.chapters or after.chapters):
        yield compare_chapters(before.chapters, after.chapters, slack)


def _slack(inventory: Inventory) -> Fraction:
    return MATROSKA_TICK if inventory.rounded else Fraction(0)


def _exact(seconds: float | Fraction | None) -> Fraction | None:
    return None if seconds is None else exact_seconds(seconds)


def _compare_frames(wanted: list[Fraction], after: Inventory, slack: Fraction) -> Iterator[Check]:
    times = after.times
    yield Check("frames", str(len(wanted)), str(len(times)), len(wanted) == len(times), vital=True)
    if slack and times and wanted:  # the start may have moved: compare relative times
        times = [time - times[0] for time in times]
        wanted = [time - wanted[0] for time in wanted]
    pairs = zip(wanted, times, strict=False)
    wrong = next((i for i, (one, two) in enumerate(pairs) if abs(one - two) > slack), None)
    if wrong is None:
        yield Check("times", "as in the source", "as in the source", len(wanted) == len(times), vital=True)
    else:
        expected, found = (f"frame {wrong} at {float(t[wrong]):.6f} s" for t in (wanted, times))
        yield Check("times", expected, found, False, vital=True)


def _compare_end(
    before: Inventory, wanted: list[Fraction], after: Inventory, *, cut: bool, slack: Fraction
) -> Check:
    """Return the check of the end of the last frame: as declared, or one step later if the source was cut."""
    if not wanted or not after.ticks or not before.ticks:
        return Check("length", "a last frame", "none", False)
    step = rest = wanted[-1] - wanted[-2] if len(wanted) > 1 else 1 / before.clip.average_rate
    if not cut and before.times[-1] - before.times[0] == wanted[-1] - wanted[0]:
        rest = before.clip.last_duration(before.times[-1], step)
    expected = wanted[-1] - wanted[0] + rest
    shown = after.clip.last_duration(after.times[-1], step)
    found = after.times[-1] - after.times[0] + shown
    # Headers round the length to their own ticks. Matroska rounds both ends.
    tick = max(before.clip.time_base, after.clip.time_base, before.clip.header_tick, after.clip.header_tick)
    near = abs(expected - found) <= tick + 2 * slack
    return Check("length", f"{float(expected):.4f} s", f"{float(found):.4f} s", near)
