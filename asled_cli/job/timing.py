"""How the clocks of the two clips of a job belong together: given, by sound, by camera motion or by a guess.

Sound is exact and cheap. Camera motion needs both clips decoded for a few seconds. What neither settles is
tried on the pictures themselves; clips that fit nowhere are refused.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from asled_cli.errors import InputError
from asled_cli.job.records import DeblurConfig, Progress, Report, ignore
from asled_cli.job.views import BELIEVED_VIEW, both_ways
from asled_cli.registration.camera_motion import measure_motion, small_size
from asled_cli.registration.curves import CurveMatch, match_curves
from asled_cli.video.clock import Clock
from asled_cli.video.frames import Clip
from asled_cli.video.reader import read_small
from asled_cli.video.sound import match_sound
from asled_cli.video.started import recording_gap_s, timecode_gap_s

PART_S = 15  # seconds of each clip whose motion is compared
BELIEVED = 0.5  # confidence from which a finding needs no other witness
HINT_SIGNIFICANCE = 2.5  # motion this significant is worth a look at the pictures
LEAST_DRIFT = Fraction(1, 1000)  # seconds; clocks that part by less over the clip run alike
FoundBy = Literal["given", "file", "sound", "motion", "pictures"]


@dataclass(frozen=True)
class Timing:
    """The clock of a job. confidence: 0..1, one half is the least that is believed; words: for people."""

    clock: Clock
    found_by: FoundBy
    confidence: float
    words: str


def find_timing(config: DeblurConfig, wide: Clip, ultra: Clip, report: Report = ignore) -> Timing:
    """The first that is believed: option, one file, sound, camera motion, a guess that the pictures confirm.

    Raises InputError if the clips fit together nowhere.
    """
    if config.offset_s is not None:
        given = Fraction(config.offset_s).limit_denominator(10**6)
        return Timing(Clock(given), "given", 1.0, "given")
    if wide.path == ultra.path:
        return Timing(Clock(), "file", 1.0, "two tracks of one file")
    heard = match_sound(wide, ultra) if wide.has_audio and ultra.has_audio else None
    if heard is not None:
        return Timing(heard.clock, "sound", heard.confidence, "by their sound" + _drift_words(heard.clock))
    seen = _match_motion(wide, ultra, report)
    if seen is not None and seen.confidence >= BELIEVED:
        clock = _follow_motion(wide, ultra, _clock(seen.offset_s), report)
        return Timing(clock, "motion", seen.confidence, "by their camera motion" + _drift_words(clock))
    return _try_pictures(wide, ultra, seen)


def _match_motion(
    wide: Clip, ultra: Clip, report: Report, starts: tuple[Fraction, Fraction] | None = None
) -> CurveMatch | None:
    """The camera motion of PART_S of each clip, from `starts` on, compared."""
    curves = []
    for done, (clip, start) in enumerate(zip((wide, ultra), starts or (None, None), strict=True)):
        report(Progress("synchronise", done, 2))
        size = small_size(clip.width, clip.height)
        end = (clip.start_s if start is None else start) + PART_S
        frames = read_small(clip, size, start_s=start, end_s=end)
        curves.append(measure_motion((float(time), picture) for time, picture in frames))
    report(Progress("synchronise", 2, 2))
    return match_curves(*curves)


def _follow_motion(wide: Clip, ultra: Clip, clock: Clock, report: Report) -> Clock:
    """The clock with the drift that the motion at the end of long clips shows."""
    if wide.duration_s is None or ultra.duration_s is None:
        return clock
    last = min(wide.start_s + wide.duration_s, clock.to_target(ultra.start_s + ultra.duration_s)) - PART_S
    first = max(wide.start_s, clock.to_target(ultra.start_s))
    if last - first < 2 * PART_S:
        return clock
    late = _match_motion(wide, ultra, report, (last, clock.to_reference(last)))
    if late is None or late.confidence < BELIEVED:
        return clock
    parted = Fraction(late.offset_s) - clock.offset_s
    rate = 1 + parted / (last - first)
    # Below a few milliseconds curves agree no better than that; above a thousandth no clock is so bad.
    if not 4 * LEAST_DRIFT < abs(parted) < (last - first) / 1000:
        return clock
    middle = clock.to_reference(first + Fraction(PART_S, 2))
    offset = clock.offset_s - (rate - 1) * middle
    return Clock(offset.limit_denominator(10**6), rate.limit_denominator(10**9))


def _try_pictures(wide: Clip, ultra: Clip, seen: CurveMatch | None) -> Timing:
    """The guess at which the pictures fit best, the more likely one first where they fit alike."""
    guesses: list[tuple[str, Fraction]] = []
    timecode, recorded = timecode_gap_s(wide, ultra), recording_gap_s(wide, ultra)
    if timecode is not None:
        guesses.append(("by their timecode", timecode))
    if seen is not None and seen.moving and seen.significance >= HINT_SIGNIFICANCE:
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
    if score < BELIEVED_VIEW:
        raise InputError(
            f"{wide.path.name} and {ultra.path.name} do not seem to show the same scene at the same time: "
            f"their sound and camera motion do not match, and their pictures agree by {max(score, 0):.2f}, "
            f"expected {BELIEVED_VIEW} or more.",
            "Are both from one recording? If so, pass --offset.",
        )
    return Timing(Clock(offset), "pictures", min(1.0, score / (2 * BELIEVED_VIEW)), words)


def _clock(offset_s: float) -> Clock:
    return Clock(Fraction(offset_s).limit_denominator(10**6))


def _drift_words(clock: Clock) -> str:
    return "" if clock.rate == 1 else f", drifting by {clock.drift_ppm:+.0f} ppm"
