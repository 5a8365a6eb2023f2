"""Start times of two recordings from their files: timecode and dates. Rough guesses of the offset."""

from datetime import datetime
from fractions import Fraction

from asled_cli.video.frames import Clip

_DATE_KEYS = ("com.apple.quicktime.creationdate", "creation_time")
MAX_GAP_S = 600  # seconds; starts farther apart belong to two recordings


def timecode_gap_s(target: Clip, reference: Clip) -> Fraction | None:
    """Return the seconds from the target's to the reference's first timecode; None if one has none."""
    starts = [_timecode_s(clip) for clip in (target, reference)]
    if starts[0] is None or starts[1] is None:
        return None
    gap = starts[1] - starts[0]
    return gap if abs(gap) <= MAX_GAP_S else None


def recording_gap_s(target: Clip, reference: Clip) -> Fraction | None:
    """Return the seconds from the target's to the reference's recording date; None if unknown.

    Accuracy: one second at best.
    """
    for key in _DATE_KEYS:
        dates = [_date(clip.metadata.get(key)) for clip in (target, reference)]
        if dates[0] is None or dates[1] is None or (dates[0].tzinfo is None) != (dates[1].tzinfo is None):
            continue
        gap = Fraction((dates[1] - dates[0]).total_seconds())
        return gap if abs(gap) <= MAX_GAP_S else None
    return None


def _timecode_s(clip: Clip) -> Fraction | None:
    """Return the seconds of a timecode hh:mm:ss:ff, None without one.

    Drop-frame codes (;) are read as others: the error is two frames a minute at most.
    """
    parts = clip.metadata.get("timecode", "").replace(";", ":").replace(".", ":").split(":")
    if len(parts) != 4 or not all(part.isdecimal() and len(part) <= 3 for part in parts):
        return None
    hours, minutes, seconds, frames = map(int, parts)
    return Fraction(3600 * hours + 60 * minutes + seconds) + frames / clip.average_rate


def _date(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
