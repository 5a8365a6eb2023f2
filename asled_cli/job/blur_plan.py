"""Decide for each stretch of the clip whether to deblur it, keep it, or warn that both lenses are blurred."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.registration.estimate.sharpness import Sharpness, measure_sharpness
from asled_cli.registration.model.registration import Registration
from asled_cli.runtime.stages import parallel_map, usable_cores
from asled_cli.video.frames import FramePair

Action = Literal["deblur", "pass", "both blurred"]
# Decibels of gradient energy by which the reference must be sharper to be of use. Six synthetic clips: a
# sharp target reached 0.1, a blur of 12 px (of 1920) 0.4 to 6, one of 30 px 1.6 to 11.
USEFUL_DB = 0.4
# Share of the frame's longer side beyond which a reference counts as blurred too (12 px of 1920).
BLURRED_SHARE = 0.006
MIN_BLURRED_PX = 5.0  # of small pictures, whose pixels are soft
_CLEARLY_BLURRED = 2.0  # times the blur of the sharp clip
# Exposure of the reference over the target's, up to which the reference is worth more than the target's own
# frames, and from which it is not. A short one gained 6.0 dB and inversion 2.4; one as long 1.6 and 3.9.
_UNLIKE, _ALIKE = 0.5, 0.75
# Advantage in sharpness below which a reference may be of blended frames as the target is: 1.8 to 2.6 in
# three training videos where both are, 9.1 to 10.0 with a sharp reference.
_HARDLY_SHARPER_DB = 6.0
MIN_S = 0.75  # a shorter stretch takes the action of its neighbours
PAST_S = 1e9  # stands for before the start and after the end
FADE_S = 0.2  # between an action and the next
# Frames in a row without a reference, from which they are inverted whatever moves: the network helps those
# beside a reference. Three or four missing ones of five shaken clips gained 0.1 dB by it, 5.5 with their
# inversions; of a video 5.2 and 8.0. One or two gained 2.8 and 5.5 dB more by these; in the video 2 less.
LONG_GAP_FRAMES = 3
_FEW_GAPS = 2  # short ones that are named one by one


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
            "start_s": _inside(self.start_s),
            "end_s": _inside(self.end_s),
            "action": self.action,
            "advantage_db": round(self.advantage_db, 2),
            "wide_blur_px": round(self.target_blur_px, 1),
            "ultra_blur_px": round(self.reference_blur_px, 1),
        }


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
        return {"start_s": _inside(self.start_s), "end_s": _inside(self.end_s), "frames": self.frames}

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


@dataclass(frozen=True)
class BlurPlan:
    """Sharpness along the clip and the plan that follows from it.

    blurred_alike: 0..1, from a reference exposed for a shorter time to one exposed as long as the target.
    gaps: where there is no reference, in order. shaken: whether the camera alone is known to blur the target.
    """

    samples: tuple[Sharpness, ...]
    segments: tuple[Interval, ...]
    blurred_alike: float = 0.0
    gaps: tuple[Gap, ...] = ()
    shaken: bool = False

    def weight_at(self, time_s: float) -> float:
        """Return the share of the change to apply at a time: 0 in kept stretches, 1 elsewhere, faded."""
        current = self._segment_at(time_s)
        if current is None or current.action != "pass":
            return 1.0
        around = {edge for s in self.segments if s.action != "pass" for edge in (s.start_s, s.end_s)}
        edges = [abs(time_s - edge) for edge in (current.start_s, current.end_s) if edge in around]
        return max(0.0, 1 - min(edges, default=FADE_S) / FADE_S)

    def own_share(self, time_s: float) -> float:
        """Return the share of the inversion of own frames: 0 where the reference is sharper, faded."""
        if self.blurred_alike >= 1:
            return 1.0
        current = self._segment_at(time_s)
        if current is None:
            return self.blurred_alike
        if current.action != "deblur":
            return 1.0
        helpless = {edge for s in self.segments if s.action != "deblur" for edge in (s.start_s, s.end_s)}
        edges = [abs(time_s - edge) for edge in (current.start_s, current.end_s) if edge in helpless]
        return max(self.blurred_alike, 1 - min(edges, default=FADE_S) / FADE_S)

    def lends_own(self, time_s: float) -> bool:
        """Return whether a frame's own inversion is its reference: there is none, or one as blurred."""
        current = self._segment_at(time_s) if self.shaken else None
        return self.in_gap(time_s) or (current is not None and current.action == "both blurred")

    def _segment_at(self, time_s: float) -> Interval | None:
        return next((s for s in self.segments if s.start_s <= time_s < s.end_s), None)

    def in_gap(self, time_s: float) -> bool:
        """Return whether a frame is in one of the gaps."""
        before = bisect_right(self._gap_starts, time_s) - 1
        return before >= 0 and time_s < self.gaps[before].end_s

    @cached_property
    def _gap_starts(self) -> list[float]:
        return [gap.start_s for gap in self.gaps]

    def filled_by(self, blur: ExposureFit | None) -> "BlurPlan":
        """Return the plan for a blur of the target, with those gaps alone that its inversion is to fill.

        blur: None where it is unknown. Short gaps are filled where the camera moved alone.
        """
        shaken = blur is not None and blur.exposure > 0 and blur.motion == "camera"
        gaps = tuple(gap for gap in self.gaps if gap.is_long or shaken)
        return replace(self, gaps=gaps, shaken=shaken)

    @property
    def needs_own_frames(self) -> bool:
        """Whether the reference cannot help everywhere, so that own frames must."""
        missing = any(gap.matters for gap in self.gaps)
        return missing or self.blurred_alike > 0 or any(a != "deblur" for a in self.actions)

    @property
    def own_frames_alone(self) -> bool:
        """Whether own frames are worth more than the reference everywhere."""
        return self.changes_nothing or self.blurred_alike >= 1

    def limit(self, time_s: float, change: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Return the change to a frame, scaled by the plan; None if the frame is kept as it is."""
        weight = self.weight_at(time_s)
        if change is None or weight >= 1:
            return change
        return change * np.float32(weight) if weight > 0 else None

    def warnings(self, *, inverts: bool = False, one_of_two: bool = False) -> list[str]:
        """Return warnings: the clip is sharp already, or both lenses are blurred.

        inverts: whether the clip is deblurred by its own frames too. one_of_two: a view of a spatial clip,
        whose other one has a job of its own.
        """
        if inverts:
            return self._warnings_inverting()
        if not self.segments:
            return []
        if self.changes_nothing:
            sharp = ["it is already as sharp as the other clip, so nothing will be changed."]
            own, other = (
                median(getattr(s, f"{role}_blur_px") for s in self.segments)
                for role in ("target", "reference")
            )
            if other > _CLEARLY_BLURRED * own and not one_of_two:
                sharp.append(
                    f"the other clip is the blurred one ({other:.0f} px): --target can deblur that one."
                )
            return sharp
        both = sum(action == "both blurred" for action in self.actions)
        return [f"both lenses are blurred in {both} stretch(es): little can be gained there."] if both else []

    def _warnings_inverting(self) -> list[str]:
        if self.changes_nothing:
            return ["the other clip is no sharper, so this one is deblurred alone."]
        if self.blurred_alike >= 1:
            return ["the other clip is exposed as long, so this one is deblurred alone."]
        helpless = sum(action != "deblur" for action in self.actions)
        text = f"the other clip is no sharper in {helpless} stretch(es): own frames alone help there."
        return [*gap_texts(self.gaps), *([text] if helpless else [])]

    @property
    def changes_nothing(self) -> bool:
        """Whether the whole clip was measured and is kept as it is."""
        return set(self.actions) == {"pass"}

    @property
    def found(self) -> dict[str, Any]:
        """Return the fields of a job's result that come from here."""
        return {"segments": self.segments, "sharpness": self.samples, "gaps": self.gaps}

    @property
    def actions(self) -> tuple[Action, ...]:
        """Return the actions in order of time."""
        return tuple(segment.action for segment in self.segments)


DEBLUR_ALL = BlurPlan((), ())
"""The plan of a clip whose sharpness was not measured: deblur all of it."""


def plan_blur(
    pairs: Iterable[FramePair],
    found: Registration,
    on_progress: Callable[[int], None] = lambda done: None,
    *,
    blended: Callable[[], bool] = lambda: False,
) -> BlurPlan:
    """Measure pairs spread over the clip, in order of time, and plan from them.

    on_progress: called with the number of pairs done. blended: tells whether the reference's frames are
    blends; asked only where it is hardly sharper.
    If the registration is not accepted, no pair is read and everything is planned to be deblurred.
    """
    if not found.accepted:
        return DEBLUR_ALL
    measured = []
    for sample in parallel_map(lambda pair: measure_sharpness(pair, found), pairs, usable_cores()):
        measured.append(sample)
        on_progress(len(measured))
    samples = [sample for sample in measured if sample is not None]
    blurred_px = max(BLURRED_SHARE * max(found.target_size), MIN_BLURRED_PX)
    alike = blurred_alike(found, samples, blended=blended)
    return BlurPlan(tuple(samples), tuple(plan_segments(samples, blurred_px)), alike)


def blurred_alike(
    found: Registration, samples: Sequence[Sharpness] = (), *, blended: Callable[[], bool] = lambda: False
) -> float:
    """Return 0..1, how nearly the reference is exposed as long as the target; 0 where that is unknown.

    Registration does not find the exposure of a reference of blended frames. samples, blended: `plan_blur`.
    """
    hardly = bool(samples) and median(sample.advantage_db for sample in samples) < _HARDLY_SHARPER_DB
    if hardly and blended():
        return 1.0
    if not found.target_exposure:
        return 0.0
    share = found.reference_exposure / found.target_exposure
    return float(np.clip((share - _UNLIKE) / (_ALIKE - _UNLIKE), 0, 1))


def find_gaps(times: Sequence[float], there: Sequence[bool]) -> tuple[Gap, ...]:
    """Return the stretches without a reference, in order.

    times: of the target's frames, seconds, increasing. there: whether each has one.
    """
    usual = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
    gaps: list[Gap] = []
    at = 0
    for has_reference, group in groupby(there):
        first, at = at, at + len(list(group))
        if has_reference:
            continue
        start = -PAST_S if first == 0 else (times[first - 1] + times[first]) / 2
        end = PAST_S if at == len(times) else (times[at - 1] + times[at]) / 2
        gaps.append(Gap(start, end, times[at - 1] - times[first] + usual, at - first))
    return tuple(gaps)


def gap_texts(gaps: Sequence[Gap]) -> list[str]:
    """Return for people where the reference is missing and own frames are used; many short gaps as one."""
    short = [gap for gap in gaps if not gap.is_long]
    if len(short) <= _FEW_GAPS:
        return [gap.description for gap in gaps]
    lacking = f"the other clip lacks {sum(gap.frames for gap in short)} frames in {len(short)} places"
    joined = f"{lacking}: they are deblurred from their neighbours alone."
    return [*(gap.description for gap in gaps if gap.is_long), joined]


def plan_segments(samples: Sequence[Sharpness], blurred_px: float) -> list[Interval]:
    """Return adjoining intervals of one action each; the outer ends reach past the first and last sample."""
    if not samples:
        return []
    actions: list[Action] = [_action(sample, blurred_px) for sample in samples]
    actions = _without_flicker(actions, samples)
    segments: list[Interval] = []
    at = 0
    for action, group in groupby(actions):
        count = len(list(group))
        part = samples[at : at + count]
        start = -PAST_S if at == 0 else (samples[at - 1].time_s + part[0].time_s) / 2
        at += count
        end = PAST_S if at == len(samples) else (part[-1].time_s + samples[at].time_s) / 2
        fields = ("advantage_db", "target_blur_px", "reference_blur_px")
        middles = (sorted(getattr(one, field) for one in part)[len(part) // 2] for field in fields)
        segments.append(Interval(start, end, action, *middles))
    return segments


def _inside(time_s: float) -> float | None:
    """Return a rounded time, None if it is past an end of the clip."""
    return None if abs(time_s) > PAST_S / 2 else round(time_s, 3)


def _action(sample: Sharpness, blurred_px: float) -> Action:
    if min(sample.target_blur_px, sample.reference_blur_px) > blurred_px:
        return "both blurred"
    return "deblur" if sample.advantage_db > USEFUL_DB else "pass"


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
