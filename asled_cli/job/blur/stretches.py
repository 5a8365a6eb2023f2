"""Stretches of a clip with one action each, from the sharpness of both views along it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from asled_cli.registration.estimate.sharpness import Comparison, Sharpness

Action = Literal["deblur", "pass", "both blurred"]
# Decibels of gradient energy by which the reference must be sharper to be of use. Six synthetic clips: a
# sharp target reached 0.1, a blur of 12 px (of 1920) 0.4 to 6, one of 30 px 1.6 to 11.
USEFUL_DB = 0.4
# The same in the part of the picture where it is greatest, if the target is clearly blurred there: something
# moves in front of a still camera. Such a thing of a tenth of the picture reached 5 to 8; a sharp target 0.7.
PART_DB = 3.0
_CLEARLY_MORE = 1.5  # times the reference's blur there
# Share of the frame's longer side beyond which a reference counts as blurred too (12 px of 1920).
BLURRED_SHARE = 0.006
MIN_BLURRED_PX = 5.0  # of small pictures, whose pixels are soft
MIN_S = 0.75  # a shorter stretch takes the action of its neighbours
PAST_S = 1e9  # stands for before the start and after the end


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of the target's time with one action; times in seconds on its clock."""

    start_s: float
    end_s: float
    action: Action
    advantage_db: float
    target_blur_px: float
    reference_blur_px: float

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; an end that reaches past the clip is None."""
        return {
            "start_s": shown_time(self.start_s),
            "end_s": shown_time(self.end_s),
            "action": self.action,
            "advantage_db": round(self.advantage_db, 2),
            "wide_blur_px": round(self.target_blur_px, 1),
            "ultra_blur_px": round(self.reference_blur_px, 1),
        }


def plan_segments(samples: Sequence[Sharpness], blurred_px: float) -> list[Interval]:
    """Return adjoining intervals of one action each; the outer ends reach past the first and last sample."""
    if not samples:
        return []
    judged = [_judge(sample, blurred_px) for sample in samples]
    actions = _without_flicker([action for action, _ in judged], samples)
    edges = edges_between([sample.time_s for sample in samples])
    segments: list[Interval] = []
    at = 0
    for action, group in groupby(actions):
        count = len(list(group))
        reasons = [reason for _, reason in judged[at : at + count]]
        fields = ("advantage_db", "target_blur_px", "reference_blur_px")
        middles = (sorted(getattr(one, field) for one in reasons)[count // 2] for field in fields)
        segments.append(Interval(edges[at], edges[at + count], action, *middles))
        at += count
    return segments


def _judge(sample: Sharpness, blurred_px: float) -> tuple[Action, Comparison]:
    """Return what to do at a time, and the sharpness that tells so: of the whole picture or of a part."""
    whole, part = sample.whole, sample.part
    if min(whole.target_blur_px, whole.reference_blur_px) > blurred_px:
        return "both blurred", whole
    if whole.advantage_db > USEFUL_DB:
        return "deblur", whole
    clearly = part.target_blur_px > _CLEARLY_MORE * part.reference_blur_px
    if part.advantage_db > PART_DB and part.reference_blur_px <= blurred_px and clearly:
        return "deblur", part
    return "pass", whole


def _without_flicker(actions: list[Action], samples: Sequence[Sharpness]) -> list[Action]:
    """Join each stretch shorter than MIN_S to the one before it, the first one to the next."""
    result: list[Action] = []
    at = 0
    for action, group in groupby(actions):
        count = len(list(group))
        last = min(at + count, len(samples) - 1)
        short = samples[last].time_s - samples[at].time_s < MIN_S and count < len(actions)
        # In doubt deblur: the confidence per pixel protects what is sharp.
        result += [(result[-1] if result else "deblur") if short else action] * count
        at += count
    return result


def edges_between(times: Sequence[float]) -> list[float]:
    """Return the middles between times, and those past the first and the last."""
    return [-PAST_S, *((a + b) / 2 for a, b in pairwise(times)), PAST_S]


def shown_time(time_s: float) -> float | None:
    """Return a rounded time, None if it is past an end of the clip."""
    return None if abs(time_s) > PAST_S / 2 else round(time_s, 3)
