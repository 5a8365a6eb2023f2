"""Decide for each stretch of the clip whether to deblur it, keep it, or warn that both lenses are blurred."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.job.blur.gaps import Gap, gap_texts
from asled_cli.job.blur.stretches import BLURRED_SHARE, MIN_BLURRED_PX, Action, Interval, plan_segments
from asled_cli.registration.estimate.sharpness import Sharpness, measure_sharpness
from asled_cli.registration.model.registration import Registration
from asled_cli.runtime.stages import parallel_map, usable_cores
from asled_cli.video.frames import FramePair

_CLEARLY_BLURRED = 2.0  # times the blur of the sharp clip
# Exposure of the reference over the target's, up to which the reference is worth more than the target's own
# frames, and from which it is not. A short one gained 6.0 dB and inversion 2.4; one as long 1.6 and 3.9.
_UNLIKE, _ALIKE = 0.5, 0.75
# Advantage in sharpness below which a reference may be of blended frames as the target is: 1.8 to 2.6 in
# three training videos where both are, 9.1 to 10.0 with a sharp reference.
_HARDLY_SHARPER_DB = 6.0
FADE_S = 0.2  # between an action and the next


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
    hardly = bool(samples) and median(sample.whole.advantage_db for sample in samples) < _HARDLY_SHARPER_DB
    if hardly and blended():
        return 1.0
    if not found.target_exposure:
        return 0.0
    share = found.reference_exposure / found.target_exposure
    return float(np.clip((share - _UNLIKE) / (_ALIKE - _UNLIKE), 0, 1))
