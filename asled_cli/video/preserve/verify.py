"""Proves that a mended clip kept what it must keep of its source: packets and headers compared, no pixels.

Decoding every frame of the copy as well is a matter of choice; it costs as much as playing it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.frames import UNSPECIFIED, Clip
from asled_cli.video.preserve.inventory import Inventory, TrackSum, take_inventory

MATROSKA_TICK = Fraction(1, 1000)  # Matroska counts in milliseconds and may move the start
LONGEST_LAST_S = Fraction(1, 2)  # a longer rest of the declared length means that the source was cut off


@dataclass(frozen=True, slots=True)
class Check:
    """One property compared. expected, found: in words; same: whether the copy is faithful in it.

    vital: a difference means that the copy was written wrongly, not that it was asked for or cannot be kept.
    """

    name: str
    expected: str
    found: str
    same: bool
    vital: bool = False


def verify(
    source: Path,
    out: Path,
    *,
    track: int = 0,
    start_s: float | Fraction | None = None,
    end_s: float | Fraction | None = None,
    times: Sequence[Fraction] | None = None,
    decode: bool = False,
) -> list[Check]:
    """Compare `out` with the n-th video track of `source`, or with its range [start_s, end_s).

    times: when the frames of the source are shown, where some of its packets gave none; on the source's
    clock, by default those of all its packets. decode: play the copy through, too. Memory: a few numbers per
    frame. Raises InputError if either file cannot be opened.
    """
    start_s, end_s = _exact(start_s), _exact(end_s)
    before = take_inventory(source, track)
    wanted = before.times if times is None else list(times)
    wanted = [
        time for time in wanted if (start_s is None or time >= start_s) and (end_s is None or time < end_s)
    ]
    shift = wanted[0] if start_s is not None and wanted else Fraction(0)
    if start_s is not None or end_s is not None:
        before.tracks = take_inventory(source, track, start_s=start_s, end_s=end_s, shift=shift).tracks
    after = take_inventory(out)
    slack = _slack(out)
    wanted = [time - shift for time in wanted]
    checks = [
        *_compare_frames(wanted, after, slack),
        _compare_end(before, wanted, after, cut=end_s is not None, slack=slack),
        *_compare_picture(before.clip, after.clip),
        *_compare_tracks(before, after, max(slack, _slack(source))),
        _compare_keys("metadata", before.metadata, after.metadata),
    ]
    if before.track_keys:
        checks.append(_compare_keys("track metadata", before.track_keys, after.track_keys))
    if start_s is None and end_s is None and before.chapters:
        checks.append(_check("chapters", ", ".join(before.chapters), ", ".join(after.chapters)))
    return [*checks, _play(after)] if decode else checks


def _slack(path: Path) -> Fraction:
    return MATROSKA_TICK if path.suffix.lower() == ".mkv" else Fraction(0)


def _exact(seconds: float | Fraction | None) -> Fraction | None:
    return None if seconds is None else Fraction(seconds)


def _check(name: str, expected: object, found: object) -> Check:
    return Check(name, str(expected), str(found), expected == found)


def _compare_frames(wanted: list[Fraction], after: Inventory, slack: Fraction) -> Iterable[Check]:
    times = after.times
    yield Check("frames", str(len(wanted)), str(len(times)), len(wanted) == len(times), vital=True)
    if slack and times and wanted:  # only the distances can be held to
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
    """When the last frame ends: as declared, or, where the source is cut, one step after its start."""
    if not wanted or not after.ticks or not before.ticks:
        return Check("end", "a last frame", "none", False)
    step = wanted[-1] - wanted[-2] if len(wanted) > 1 else 1 / before.clip.average_rate
    rest = None
    if before.clip.duration_s is not None and not cut:
        rest = before.clip.start_s + before.clip.duration_s - before.times[-1]
    whole = rest is not None and before.times[-1] - before.times[0] == wanted[-1] - wanted[0]
    if not whole or rest is None or not 0 < rest <= step + LONGEST_LAST_S:
        rest = step
    expected = wanted[-1] - wanted[0] + rest
    if slack or after.clip.duration_s is None:  # Matroska declares no length of a track
        found = after.times[-1] - after.times[0] + after.last_step * after.clip.time_base
    else:
        found = after.clip.start_s + after.clip.duration_s - after.times[0]
    # One tick for headers that round; Matroska adds the same for either end.
    near = abs(expected - found) <= before.clip.time_base + 2 * slack
    return Check("length", f"{float(expected):.4f} s", f"{float(found):.4f} s", near)


def _compare_picture(before: Clip, after: Clip) -> Iterable[Check]:
    yield _check("picture", f"{before.width}x{before.height}", f"{after.width}x{after.height}")
    yield _check("depth", f"{before.bit_depth} bit", f"{after.bit_depth} bit")
    yield _check("pixel shape", before.sample_aspect_ratio, after.sample_aspect_ratio)
    yield _check("turn", _turn(before), _turn(after))
    yield Check("colours", _colours(before), _colours(after), _same_colours(before, after))
    if before.mastering is not None:
        yield _check("mastering data", before.mastering, after.mastering)


def _turn(clip: Clip) -> str:
    matrix = clip.display_matrix
    mirrored = matrix is not None and matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    return f"{clip.rotation} degrees{', mirrored' if mirrored else ''}"


def _colours(clip: Clip) -> str:
    tags = clip.color
    return f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}, range {tags.range}"


def _same_colours(before: Clip, after: Clip) -> bool:
    """Equal tags; where the source tells no range, its default may be spelled out, as some encoders do."""
    one, two = before.color, after.color
    tags = (one.primaries, one.transfer) == (two.primaries, two.transfer)
    needless = before.pix_fmt.startswith("gray") and two.matrix == UNSPECIFIED  # x264 writes none for grey
    tags &= needless or one.matrix == two.matrix
    return tags and (one.range == two.range or (not one.range and two.range == before.resolved_color.range))


def _compare_tracks(before: Inventory, after: Inventory, slack: Fraction) -> Iterable[Check]:
    for kind in ("audio", "subtitle"):
        ours = [track for track in before.tracks if track.kind == kind]
        theirs = [track for track in after.tracks if track.kind == kind]
        if ours or theirs:
            yield _check(f"{kind} tracks", len(ours), len(theirs))
        for number, (one, two) in enumerate(zip(ours, theirs, strict=False), start=1):
            yield _compare_track(f"{kind} {number}", one, two, slack, vital=not before.broken_off)


def _compare_track(name: str, before: TrackSum, after: TrackSum, slack: Fraction, *, vital: bool) -> Check:
    same = before.codec == after.codec and after.size >= before.size
    if before.whole:
        same &= before.packets == after.packets and before.content.digest() == after.content.digest()
        same &= bool(slack) or before.times.digest() == after.times.digest()
    elif before.kind == "audio":
        same &= before.content.digest() == after.content.digest()
        same &= bool(slack) or before.first_s == after.first_s
    return Check(name, _track_words(before), _track_words(after), same, vital)


def _track_words(track: TrackSum) -> str:
    start = "" if track.first_s is None else f" from {float(track.first_s):.6f} s"
    digest = f", {track.content.hexdigest()[:8]}" if track.kind == "audio" else ""
    return f"{track.codec}, {track.packets} packets, {track.size} bytes{start}{digest}"


def _compare_keys(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> Check:
    """All keys of the source; a file format may add its own."""
    have = {key.casefold(): value for key, value in after.items()}
    missing = [key for key, value in before.items() if have.get(key.casefold()) != value]
    found = f"{len(before) - len(missing)} of them" + (f", not: {', '.join(missing[:3])}" if missing else "")
    return Check(name, f"{len(before)} keys", found, not missing)


def _play(after: Inventory) -> Check:
    """Decode every frame of the copy."""
    with ClipReader(after.clip) as frames:
        count = sum(1 for _ in frames)
        problems = frames.problems.sentences("the copy")
    found = f"{count} frames" + (f", {' '.join(problems)}" if problems else "")
    expected = len(after.ticks)
    return Check("decoded", f"{expected} frames", found, count == expected and not problems)
