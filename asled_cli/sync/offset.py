"""Time offset of the two clips of a job: from the option, sound, scene motion, camera motion or a guess.

Sound is exact and fast. Pictures need a few seconds of both clips decoded. Scene motion gives offset and
geometry together; camera motion gives the offset while the geometry is unknown.
If none is accepted, guesses are compared by the pictures at a few times. Clips without a match are refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from typing import Literal

from asled_cli.errors import InputError
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.stages import Stage
from asled_cli.sync.audio import match_sound
from asled_cli.sync.correlation import CurveMatch, match_curves
from asled_cli.sync.lens_order import MIN_VIEW_CORRELATION, Places, locate_both
from asled_cli.sync.thumbnails import (
    PART_S,
    ClipThumbnails,
    SceneMatch,
    ThumbnailReader,
    find_scene_match,
    locate_at,
    match_at,
)
from asled_cli.sync.timestamps import recording_gap_s, timecode_gap_s
from asled_cli.video.clock import Clock
from asled_cli.video.frames import Clip

MIN_CONFIDENCE = 0.5  # from which an offset is accepted without a further check
HINT_SIGNIFICANCE = 2.5  # standard errors from which camera motion is tried as an offset
# Correlation of scene changes below which two clips show one place at two times.
# Measured: 0.8 and more for clips of one recording, below 0.2 for unrelated clips.
OTHER_MOMENT = 0.3
MIN_DRIFT = Fraction(1, 1000)  # seconds over the clip; less drift is ignored
FoundBy = Literal["given", "file", "sound", "scene", "motion", "pictures"]


@dataclass(frozen=True)
class Timing:
    """The clock of a job. confidence: 0..1, accepted from 0.5. description: how it was found, for people."""

    clock: Clock
    found_by: FoundBy
    confidence: float
    description: str
    places: Places | None = field(default=None, compare=False, repr=False)
    """Where the views are in each other under this clock, if they were located."""


def find_timing(
    wide: Clip, ultra: Clip, fov_ratio: float, *, offset_s: float | None = None, report: Report = ignore
) -> Timing:
    """Return the first accepted clock of: option, one file, sound, scene motion, camera motion, guesses.

    fov_ratio: prior of the field-of-view ratio. offset_s: given by the user, seconds. report: progress.
    Raises InputError if no offset matches.
    """
    if offset_s is not None:
        return Timing(_clock(offset_s), "given", 1.0, "given")
    if wide.path == ultra.path:
        views = wide.view != ultra.view
        return Timing(Clock(), "file", 1.0, f"two {'views' if views else 'tracks'} of one file")
    heard = match_sound(wide, ultra) if wide.has_audio and ultra.has_audio else None
    if heard is not None:
        return Timing(heard.clock, "sound", heard.confidence, "by their sound" + _describe_drift(heard.clock))
    thumbnails = _read_both(wide, ultra, report)
    if thumbnails is None:
        return _try_pictures(wide, ultra, None, None)
    seen = match_curves(thumbnails[0].motion, thumbnails[1].motion)
    hints = [seen.offset_s] if seen is not None and _is_hint(seen) else []
    scene = find_scene_match(*thumbnails, fov_ratio, hints)
    if scene is not None and scene.match.confidence >= MIN_CONFIDENCE:
        clock = _follow(wide, ultra, _clock(scene.match.offset_s), scene, report)
        description = "by what moves in both pictures" + _describe_drift(clock)
        places = _locate(wide, ultra, clock.offset_s, thumbnails)
        return Timing(clock, "scene", scene.match.confidence, description, places)
    if seen is not None and seen.confidence >= MIN_CONFIDENCE and _agree(wide, ultra, seen.offset_s):
        clock = _follow(wide, ultra, _clock(seen.offset_s), None, report)
        return Timing(clock, "motion", seen.confidence, "by their camera motion" + _describe_drift(clock))
    return _try_pictures(wide, ultra, seen, thumbnails)


def _read_both(
    wide: Clip, ultra: Clip, report: Report, starts: tuple[Fraction, Fraction] | None = None
) -> tuple[ClipThumbnails, ClipThumbnails] | None:
    """Return thumbnails of PART_S of each clip from `starts` on; None if one has no picture there."""
    readers = [
        ThumbnailReader(clip, start)
        for clip, start in zip((wide, ultra), starts or (None, None), strict=True)
    ]
    longest = max(float(min(clip.duration_s or PART_S, PART_S) * clip.average_rate) for clip in (wide, ultra))
    done, total = 0, round(longest)
    report(Progress("synchronise", 0, total, "camera motion"))
    with Stage(readers[0], 2, "watch wide") as one, Stage(readers[1], 2, "watch ultra") as other:
        for done, _ in enumerate(zip_longest(one, other), start=1):
            report(Progress("synchronise", done, total, "camera motion"))
    report(Progress("synchronise", done, done, "a common moment"))
    first, second = (reader.thumbnails for reader in readers)
    return None if first is None or second is None else (first, second)


def _is_hint(seen: CurveMatch) -> bool:
    return seen.moving and seen.significance >= HINT_SIGNIFICANCE


def _agree(wide: Clip, ultra: Clip, offset_s: float) -> bool:
    """Return whether the pictures correlate at an offset, seconds."""
    forward, backward = locate_both(wide, ultra, _clock(offset_s))
    return bool(forward and backward and max(forward.score, backward.score) >= MIN_VIEW_CORRELATION)


def _locate(
    wide: Clip, ultra: Clip, offset_s: Fraction, thumbnails: tuple[ClipThumbnails, ClipThumbnails] | None
) -> Places:
    """Return where the views are in each other at an offset, on the thumbnails if these are all frames."""
    if thumbnails is not None and all(clip.whole for clip in thumbnails):
        return locate_at(*thumbnails, float(offset_s))
    return locate_both(wide, ultra, Clock(offset_s))


def _follow(wide: Clip, ultra: Clip, clock: Clock, scene: SceneMatch | None, report: Report) -> Clock:
    """Return the clock with the drift measured at the end of long clips. scene: the match at the start."""
    if wide.duration_s is None or ultra.duration_s is None:
        return clock
    last = min(wide.start_s + wide.duration_s, clock.to_target(ultra.start_s + ultra.duration_s)) - PART_S
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    if last - first < 2 * PART_S:
        return clock
    thumbnails = _read_both(wide, ultra, report, (last, clock.to_reference(last)))
    if thumbnails is None:
        return clock
    if scene is not None:
        late = match_at(*thumbnails, scene.place, scene.swapped, None)
    else:
        late = match_curves(thumbnails[0].motion, thumbnails[1].motion)
    if late is None or late.confidence < MIN_CONFIDENCE:
        return clock
    parted = Fraction(late.offset_s) - clock.offset_s
    rate = 1 + parted / (last - first)
    # Less is below the accuracy of the curves; more than 0.1 % is no clock drift.
    if not 4 * MIN_DRIFT < abs(parted) < (last - first) / 1000:
        return clock
    middle = clock.to_reference(first + Fraction(PART_S, 2))
    offset = clock.offset_s - (rate - 1) * middle
    return Clock(offset.limit_denominator(10**6), rate.limit_denominator(10**9))


def _try_pictures(
    wide: Clip, ultra: Clip, seen: CurveMatch | None, thumbnails: tuple[ClipThumbnails, ClipThumbnails] | None
) -> Timing:
    """Return the guessed offset with the highest correlation of the pictures.

    Guesses are tried from likely to unlikely; a later one must be clearly better.
    Raises InputError if none correlates, or if the scenes move at different times.
    """
    guesses: list[tuple[str, Fraction]] = []
    timecode, recorded = timecode_gap_s(wide, ultra), recording_gap_s(wide, ultra)
    if timecode is not None:
        guesses.append(("by their timecode", timecode))
    if seen is not None and _is_hint(seen):
        guesses.append(("by their camera motion, which the pictures confirm", _clock(seen.offset_s).offset_s))
    guesses.append(("taken to start together, since they have no common sound or motion", Fraction(0)))
    if recorded is not None and recorded != 0:
        guesses.append(("by their recording dates", recorded))
    best: tuple[float, str, Fraction, Places] | None = None
    for description, offset in _distinct(guesses, 1 / (2 * max(wide.average_rate, ultra.average_rate))):
        places = _locate(wide, ultra, offset, thumbnails)
        score = max(place.score if place else -1.0 for place in places)
        if best is None or score > best[0] + 0.1:
            best = (score, description, offset, places)
    assert best is not None
    score, description, offset, places = best
    if score < MIN_VIEW_CORRELATION:
        raise InputError(
            f"{wide.path.name} and {ultra.path.name} do not seem to show the same scene at the same time: "
            f"their sound and motion do not match, and their pictures agree by {max(score, 0):.2f}, "
            f"expected {MIN_VIEW_CORRELATION} or more.",
            "Are both from one recording? If so, pass --offset.",
        )
    _refuse_other_moment(wide, ultra, thumbnails, offset, places)
    confidence = min(1.0, score / (2 * MIN_VIEW_CORRELATION))
    return Timing(Clock(offset), "pictures", confidence, description, places)


def _distinct(guesses: Sequence[tuple[str, Fraction]], apart_s: Fraction) -> Iterator[tuple[str, Fraction]]:
    """Yield the guesses that no earlier one is nearer to than `apart_s`: they would pair the same frames."""
    for i, (description, offset) in enumerate(guesses):
        if all(abs(offset - earlier) >= apart_s for _, earlier in guesses[:i]):
            yield description, offset


def _refuse_other_moment(
    wide: Clip,
    ultra: Clip,
    thumbnails: tuple[ClipThumbnails, ClipThumbnails] | None,
    offset: Fraction,
    places: Places,
) -> None:
    """Raise InputError if the scenes of both clips move, but at different times."""
    forward, backward = places
    if thumbnails is None or forward is None or backward is None:
        return
    swapped = backward.score > forward.score
    match = match_at(*thumbnails, backward if swapped else forward, swapped, float(offset))
    if match is not None and match.moving and match.correlation < OTHER_MOMENT:
        raise InputError(
            f"{wide.path.name} and {ultra.path.name} show the same place, but motion in the scene does not "
            f"match (correlation {match.correlation:.2f} at an offset of {float(offset):g} s, "
            f"expected {OTHER_MOMENT} or more).",
            "Are both from one recording? If so, pass --offset.",
        )


def _clock(offset_s: float) -> Clock:
    return Clock(Fraction(offset_s).limit_denominator(10**6))


def _describe_drift(clock: Clock) -> str:
    return "" if clock.rate == 1 else f", drifting by {clock.drift_ppm:+.0f} ppm"
