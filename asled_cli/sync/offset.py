"""How the clocks of the two clips of a job belong together: given, by sound, by pictures, or by a guess.

Sound is exact and cheap. Pictures need both clips decoded for a few seconds: what moves in both at the same
moments tells time and place together, how the cameras shake tells the time where the place is not known yet.
What none of them settles is tried on the pictures of a few moments; clips that fit nowhere are refused.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from asled_cli.errors import InputError
from asled_cli.progress import Progress, Report, ignore
from asled_cli.sync.audio import match_sound
from asled_cli.sync.correlation import CurveMatch, match_curves
from asled_cli.sync.lens_order import MIN_VIEW_CORRELATION, both_ways
from asled_cli.sync.thumbnails import (
    PART_S,
    ClipThumbnails,
    SceneMatch,
    find_scene_match,
    match_at,
    read_thumbnails,
)
from asled_cli.sync.timestamps import recording_gap_s, timecode_gap_s
from asled_cli.video.clock import Clock
from asled_cli.video.frames import Clip

MIN_CONFIDENCE = 0.5  # confidence from which a finding needs no other witness
HINT_SIGNIFICANCE = 2.5  # camera motion this significant is worth a look at the pictures
# Where things move in both clips but not together, they show one place at two times: correlation below which
# that is said. Pairs of one moment, well placed, reached 0.8 and more, strangers stayed below 0.2.
OTHER_MOMENT = 0.3
MIN_DRIFT = Fraction(1, 1000)  # seconds; clocks that part by less over the clip run alike
FoundBy = Literal["given", "file", "sound", "scene", "motion", "pictures"]


@dataclass(frozen=True)
class Timing:
    """The clock of a job. confidence: 0..1, one half is the least that is believed; words: for people."""

    clock: Clock
    found_by: FoundBy
    confidence: float
    words: str


def find_timing(
    wide: Clip, ultra: Clip, fov_ratio: float, *, offset_s: float | None = None, report: Report = ignore
) -> Timing:
    """Return the first that is accepted: option, one file, sound, moving scene, camera motion, a guess.

    fov_ratio: a guess. offset_s: where the user gives it. Raises InputError if the clips fit nowhere.
    """
    if offset_s is not None:
        return Timing(_clock(offset_s), "given", 1.0, "given")
    if wide.path == ultra.path:
        return Timing(Clock(), "file", 1.0, "two tracks of one file")
    heard = match_sound(wide, ultra) if wide.has_audio and ultra.has_audio else None
    if heard is not None:
        return Timing(heard.clock, "sound", heard.confidence, "by their sound" + _drift_words(heard.clock))
    looks = _look(wide, ultra, report)
    if looks is None:
        return _try_pictures(wide, ultra, None, None)
    seen = match_curves(looks[0].motion, looks[1].motion)
    hints = [seen.offset_s] if seen is not None and _worth_a_look(seen) else []
    scene = find_scene_match(*looks, fov_ratio, hints)
    if scene is not None and scene.match.confidence >= MIN_CONFIDENCE:
        clock = _follow(wide, ultra, _clock(scene.match.offset_s), scene, report)
        words = "by what moves in both pictures" + _drift_words(clock)
        return Timing(clock, "scene", scene.match.confidence, words)
    if seen is not None and seen.confidence >= MIN_CONFIDENCE and _agree(wide, ultra, seen.offset_s):
        clock = _follow(wide, ultra, _clock(seen.offset_s), None, report)
        return Timing(clock, "motion", seen.confidence, "by their camera motion" + _drift_words(clock))
    return _try_pictures(wide, ultra, seen, looks)


def _look(
    wide: Clip, ultra: Clip, report: Report, starts: tuple[Fraction, Fraction] | None = None
) -> tuple[ClipThumbnails, ClipThumbnails] | None:
    """PART_S of each clip, from `starts` on; None if one has no picture there."""
    report(Progress("synchronise", 0, 2))
    first = read_thumbnails(wide, starts and starts[0])
    report(Progress("synchronise", 1, 2))
    second = read_thumbnails(ultra, starts and starts[1])
    report(Progress("synchronise", 2, 2))
    return None if first is None or second is None else (first, second)


def _worth_a_look(seen: CurveMatch) -> bool:
    return seen.moving and seen.significance >= HINT_SIGNIFICANCE


def _agree(wide: Clip, ultra: Clip, offset_s: float) -> bool:
    """Whether the pictures agree at an offset."""
    forward, backward = both_ways(wide, ultra, _clock(offset_s))
    return bool(forward and backward and max(forward.score, backward.score) >= MIN_VIEW_CORRELATION)


def _follow(wide: Clip, ultra: Clip, clock: Clock, scene: SceneMatch | None, report: Report) -> Clock:
    """The clock with the drift that the end of long clips shows; scene: how they were found to match."""
    if wide.duration_s is None or ultra.duration_s is None:
        return clock
    last = min(wide.start_s + wide.duration_s, clock.to_target(ultra.start_s + ultra.duration_s)) - PART_S
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    if last - first < 2 * PART_S:
        return clock
    looks = _look(wide, ultra, report, (last, clock.to_reference(last)))
    if looks is None:
        return clock
    if scene is not None:
        late = match_at(*looks, scene.place, scene.swapped, None)
    else:
        late = match_curves(looks[0].motion, looks[1].motion)
    if late is None or late.confidence < MIN_CONFIDENCE:
        return clock
    parted = Fraction(late.offset_s) - clock.offset_s
    rate = 1 + parted / (last - first)
    # Below a few milliseconds curves agree no better than that; above a thousandth no clock is so bad.
    if not 4 * MIN_DRIFT < abs(parted) < (last - first) / 1000:
        return clock
    middle = clock.to_reference(first + Fraction(PART_S, 2))
    offset = clock.offset_s - (rate - 1) * middle
    return Clock(offset.limit_denominator(10**6), rate.limit_denominator(10**9))


def _try_pictures(
    wide: Clip, ultra: Clip, seen: CurveMatch | None, looks: tuple[ClipThumbnails, ClipThumbnails] | None
) -> Timing:
    """The guess at which the pictures fit best, the more likely one first where they fit alike.

    Raises InputError where they fit nowhere, or where things move in both clips but not together.
    """
    guesses: list[tuple[str, Fraction]] = []
    timecode, recorded = timecode_gap_s(wide, ultra), recording_gap_s(wide, ultra)
    if timecode is not None:
        guesses.append(("by their timecode", timecode))
    if seen is not None and _worth_a_look(seen):
        guesses.append(("by their camera motion, which the pictures confirm", _clock(seen.offset_s).offset_s))
    guesses.append(("taken to start together, since they have no common sound or motion", Fraction(0)))
    if recorded is not None and recorded != 0:
        guesses.append(("by their recording dates", recorded))
    best: tuple[float, str, Fraction] | None = None
    for words, offset in guesses:
        forward, backward = both_ways(wide, ultra, Clock(offset))
        score = max(forward.score, backward.score) if forward and backward else -1.0
        if best is None or score > best[0] + 0.1:
            best = (score, words, offset)
    assert best is not None
    score, words, offset = best
    if score < MIN_VIEW_CORRELATION:
        raise InputError(
            f"{wide.path.name} and {ultra.path.name} do not seem to show the same scene at the same time: "
            f"their sound and motion do not match, and their pictures agree by {max(score, 0):.2f}, "
            f"expected {MIN_VIEW_CORRELATION} or more.",
            "Are both from one recording? If so, pass --offset.",
        )
    _refuse_other_moment(wide, ultra, looks, offset)
    return Timing(Clock(offset), "pictures", min(1.0, score / (2 * MIN_VIEW_CORRELATION)), words)


def _refuse_other_moment(
    wide: Clip, ultra: Clip, looks: tuple[ClipThumbnails, ClipThumbnails] | None, offset: Fraction
) -> None:
    """Raise InputError if things move in both clips, but not together."""
    forward, backward = both_ways(wide, ultra, Clock(offset))
    if looks is None or forward is None or backward is None:
        return
    swapped = backward.score > forward.score
    match = match_at(*looks, backward if swapped else forward, swapped, float(offset))
    if match is not None and match.moving and match.correlation < OTHER_MOMENT:
        raise InputError(
            f"{wide.path.name} and {ultra.path.name} show the same place, but things do not move in both at "
            f"the same moments (correlation {match.correlation:.2f} at an offset of {float(offset):g} s, "
            f"expected {OTHER_MOMENT} or more).",
            "Are both from one recording? If so, pass --offset.",
        )


def _clock(offset_s: float) -> Clock:
    return Clock(Fraction(offset_s).limit_denominator(10**6))


def _drift_words(clock: Clock) -> str:
    return "" if clock.rate == 1 else f", drifting by {clock.drift_ppm:+.0f} ppm"
