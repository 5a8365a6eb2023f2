"""Stretches of the wide clip for which the other one has no frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from asled_cli.job.blur.stretches import PAST_S, edges_between, shown_time

# Frames in a row without a reference, from which they are inverted whatever moves: the network helps those
# beside a reference. Three or four missing ones of five shaken clips gained 0.1 dB by it, 5.5 with their
# inversions; of a video 5.2 and 8.0. One or two gained 2.8 and 5.5 dB more by these; in the video 2 less.
LONG_GAP_FRAMES = 3
_FEW_GAPS = 2  # short ones that are named one by one


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the target's time without a reference; times in seconds on its clock.

    start_s, end_s: as of an `Interval`. length_s, frames: how long it lasts, and how many frames.
    """

    start_s: float
    end_s: float
    length_s: float
    frames: int

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; an end that reaches past the clip is None."""
        return {"start_s": shown_time(self.start_s), "end_s": shown_time(self.end_s), "frames": self.frames}

    @property
    def is_long(self) -> bool:
        """Whether the frames beside it cannot help all of its frames."""
        return self.frames >= LONG_GAP_FRAMES

    @property
    def matters(self) -> bool:
        """Whether it is worth a look at how the target is blurred: a frame or two at an end are not."""
        return self.is_long or (self.start_s > -PAST_S / 2 and self.end_s < PAST_S / 2)

    @property
    def description(self) -> str:
        """Where the reference is missing, and what is done, for people."""
        if self.start_s < -PAST_S / 2:
            where = f"starts {self.length_s:.2f} s later: the frames before"
        elif self.end_s > PAST_S / 2:
            where = f"ends {self.length_s:.2f} s earlier: the frames after"
        else:
            where = f"lacks {self.length_s:.2f} s from {self.start_s:.2f} s on: the frames there"
        return f"the other clip {where} are deblurred from their neighbours alone."


def find_gaps(times: Sequence[float], there: Sequence[bool]) -> tuple[Gap, ...]:
    """Return the stretches without a reference, in order.

    times: of the target's frames, seconds, increasing. there: whether each has one.
    """
    usual = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
    edges = edges_between(times)
    gaps: list[Gap] = []
    at = 0
    for has_reference, group in groupby(there):
        first, at = at, at + len(list(group))
        if has_reference:
            continue
        gaps.append(Gap(edges[first], edges[at], times[at - 1] - times[first] + usual, at - first))
    return tuple(gaps)


def gap_texts(gaps: Sequence[Gap]) -> list[str]:
    """Return for people where the reference is missing and own frames are used; many short gaps as one."""
    short = [gap for gap in gaps if not gap.is_long]
    if len(short) <= _FEW_GAPS:
        return [gap.description for gap in gaps]
    lacking = f"the other clip lacks {sum(gap.frames for gap in short)} frames in {len(short)} places"
    joined = f"{lacking}: they are deblurred from their neighbours alone."
    return [*(gap.description for gap in gaps if gap.is_long), joined]
