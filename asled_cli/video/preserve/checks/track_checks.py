"""Checks of everything but the picture: sound, subtitles, chapters, attachments and labels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from asled_cli.video.preserve.checks.check import Check, compare
from asled_cli.video.preserve.inventory import Chapter, Inventory
from asled_cli.video.preserve.track_info import Cue, Labels, TrackSum

FLOAT_S = 1e-6  # seconds; rounding of floats, far below a sample of sound
CHAPTER_S = Fraction(1, 1000)  # MP4 and Matroska count chapters in milliseconds at the coarsest


def compare_tracks(
    before: Inventory, after: Inventory, slack: Fraction, *, origins: tuple[Fraction, Fraction]
) -> Iterator[Check]:
    """Yield the checks of sound and subtitles.

    slack: rounding of the times, seconds; rounded times are compared relative to the first frame.
    origins: time of the first frame in each file, seconds.
    """
    for kind in ("audio", "subtitle"):
        ours = [track for track in before.tracks if track.kind == kind]
        theirs = [track for track in after.tracks if track.kind == kind]
        if ours or theirs:
            yield compare(f"{kind} tracks", len(ours), len(theirs))
        first_default = _first_default(theirs) if not _first_default(ours) else -1
        for number, (one, two) in enumerate(zip(ours, theirs, strict=False), start=1):
            name = f"{kind} {number}"
            yield _compare_packets(name, one, two, slack, origins, vital=not before.damaged)
            if kind == "subtitle":
                yield _compare_cues(f"{name} text and times", one.cues, two.cues, slack, origins)
            chosen = frozenset({"default"}) if number == first_default else frozenset()
            yield from compare_labels(name, one.labels, two.labels, added=chosen)


def _first_default(tracks: Sequence[TrackSum]) -> int:
    """Return the number of the first track with the default flag, 0 without one."""
    return next((n for n, track in enumerate(tracks, start=1) if "default" in track.labels.flags), 0)


def compare_labels(
    name: str, before: Labels, after: Labels, *, added: frozenset[str] = frozenset()
) -> Iterator[Check]:
    """Yield the checks of language, title, flags and metadata of a track. added: flags a format may add."""
    if {before.language, after.language} != {"und"}:
        yield compare(f"{name} language", before.language, after.language, label=True)
    if before.title or after.title:
        yield compare(f"{name} title", before.title, after.title, label=True)
    ours, theirs = before.flags, after.flags - (added - before.flags)
    if ours or theirs:
        yield compare(f"{name} flags", _flag_text(ours), _flag_text(theirs), label=True)
    if before.tags:
        yield compare_keys(f"{name} metadata", before.tags, after.tags)


def _flag_text(flags: frozenset[str]) -> str:
    return ", ".join(sorted(flags)) or "none"


def _compare_packets(
    name: str,
    before: TrackSum,
    after: TrackSum,
    slack: Fraction,
    origins: tuple[Fraction, Fraction],
    *,
    vital: bool,
) -> Check:
    same = (before.codec, before.form) == (after.codec, after.form)
    same &= before.content.digest() == after.content.digest()
    if before.whole:
        same &= before.packets == after.packets and after.size >= before.size
        same &= _same_times(before, after, slack, origins)
    elif before.kind == "audio":
        same &= after.size >= before.size
        same &= _same_times(before, after, slack, origins, most=1)
    return Check(name, _track_text(before), _track_text(after), same, vital)


def _same_times(
    one: TrackSum,
    other: TrackSum,
    slack: Fraction,
    origins: tuple[Fraction, Fraction],
    most: int | None = None,
) -> bool:
    """Return whether the times of all packets, or of the first `most`, agree.

    Rounded times are compared relative to the first frame. If the time bases differ, one tick of the coarser
    one is tolerated.
    """
    before, after = one.times[:most], other.times[:most]
    moved = float(origins[1] - origins[0]) if slack else 0.0
    near = 2 * float(slack) + FLOAT_S  # the first frame and the packet are rounded
    near += 0.0 if one.tick_s == other.tick_s else max(one.tick_s, other.tick_s)
    pairs = zip(before, after, strict=False)
    return len(before) == len(after) and all(abs(two - one - moved) <= near for one, two in pairs)


def _track_text(track: TrackSum) -> str:
    start = "" if track.first_s is None else f" from {float(track.first_s):.6f} s"
    form = f", {track.form}" if track.form else ""
    digest = f", {track.content.hexdigest()[:8]}" if track.kind == "audio" else ""
    return f"{track.codec}{form}, {track.packets} packets, {track.size} bytes{start}{digest}"


def _compare_cues(
    name: str,
    before: Sequence[Cue],
    after: Sequence[Cue],
    slack: Fraction,
    origins: tuple[Fraction, Fraction],
) -> Check:
    moved = float(origins[1] - origins[0]) if slack else 0.0
    # Subtitle tracks may have a coarser time base than the video: one millisecond is always tolerated.
    near = 2 * float(slack) + 1e-3 + FLOAT_S
    for number, (one, two) in enumerate(zip(before, after, strict=False), start=1):
        lengths = abs(one.length_s - two.length_s) <= near or 0.0 in (one.length_s, two.length_s)
        if one.content != two.content or abs(two.start_s - one.start_s - moved) > near or not lengths:
            return Check(name, _cue_text(number, one), _cue_text(number, two), False)
    return compare(name, f"{len(before)} subtitles", f"{len(after)} subtitles")


def _cue_text(number: int, cue: Cue) -> str:
    return f"number {number} {cue.start_s:.3f} s for {cue.length_s:.3f} s: {cue.text[:24]!r}"


def compare_chapters(before: Sequence[Chapter], after: Sequence[Chapter], slack: Fraction) -> Check:
    """Return the check of start, end and title of every chapter. slack: rounding of times, seconds."""
    near = CHAPTER_S + slack
    for one, two in zip(before, after, strict=False):
        times = abs(one.start_s - two.start_s) <= near and abs(one.end_s - two.end_s) <= near
        if not times or one.title != two.title:
            return Check("chapters", str(one), str(two), False, label=True)
    expected, found = (", ".join(map(str, chapters)) or "none" for chapters in (before, after))
    return Check("chapters", expected, found, len(before) == len(after), label=True)


def compare_attachments(before: Iterable[str], after: Iterable[str]) -> Check:
    """Return the check of attached files and cover pictures. A copy may have more of them."""
    have = list(after)
    missing = [name for name in before if name not in have]
    found = ", ".join(have) or "none"
    return Check("attachments", ", ".join(before), found, not missing, label=True)


def compare_keys(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> Check:
    """Return the check of metadata: all keys of the source with their values. A copy may have more keys."""
    have = {key.casefold(): value for key, value in after.items()}
    missing = [key for key, value in before.items() if have.get(key.casefold()) != value]
    found = f"{len(before) - len(missing)} of them" + (f", not: {', '.join(missing[:3])}" if missing else "")
    return Check(name, f"{len(before)} keys", found, not missing, label=True)
