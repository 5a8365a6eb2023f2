"""Counts what happens to the frames of a job while they are written."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from asled_cli.job.records import DeblurPlan, DeblurResult, StageTime
from asled_cli.registration.model.registration import Registration
from asled_cli.restoration.base import RestoredFrame
from asled_cli.video.decode.track_decoder import ReadProblems


@dataclass(slots=True)
class Tally:
    """Running counts; `result` makes the record of the finished job."""

    written: int = 0
    changed: int = 0
    without_reference: int = 0
    passed: int = 0
    write_s: float = 0.0
    first_time: Fraction | None = None  # of the first frame, on the wide clip's clock

    @contextmanager
    def writing(self, frame: RestoredFrame) -> Iterator[None]:
        """Count one frame and the time it takes to write it."""
        if self.first_time is None:
            self.first_time = frame.target.time
        began = time.perf_counter()
        yield
        self.write_s += time.perf_counter() - began
        self.written += 1
        self.changed += frame.change is not None
        self.passed += frame.is_kept
        self.without_reference += not frame.has_reference

    def result(
        self,
        plan: DeblurPlan,
        registration: Registration | None,
        stages: Sequence[Any],
        problems: Mapping[str, ReadProblems],
    ) -> DeblurResult:
        """Return the finished job.

        registration: of a pair. stages: those with `name` and `busy_s`; problems: by clip name.
        """
        times = [StageTime(stage.name, self.written, stage.busy_s) for stage in stages]
        return DeblurResult(
            plan=plan,
            out=plan.out,
            first_time_s=(plan.wide_range[0] and self.first_time) or Fraction(0),
            frames_written=self.written,
            frames_changed=self.changed,
            frames_without_reference=self.without_reference,
            frames_unchanged=self.passed,
            registration={} if registration is None else registration_info(registration),
            stages=(*times, StageTime("write", self.written, self.write_s)),
            problems=_count_problems(problems),
        )


def registration_info(registration: Registration) -> dict[str, object]:
    """Return a registration as plain values, for people and JSON."""
    return {
        "fov_ratio": round(registration.fov_ratio, 4),
        "shift_px": tuple(round(value, 2) for value in registration.shift_px),
        "residual": round(registration.residual, 5),
        "correlation": round(registration.correlation, 4),
        "exposure_frames": registration.target_exposure and round(registration.target_exposure, 2),
        "ultra_exposure_frames": round(registration.reference_exposure, 2),
        "rolling_shutter_frames": round(registration.exposure.rolling_shutter, 2),
        "ois_rms_px": registration.ois_rms_px,
        "parallax_deg": registration.baseline_deg,
        "accepted": registration.accepted,
    }


def any_problem(*problems: ReadProblems) -> bool:
    """Return whether a reader had to skip or repair anything."""
    return any(getattr(found, item.name) for found in problems for item in fields(found))


def _count_problems(problems: Mapping[str, ReadProblems]) -> dict[str, int]:
    """Return the counts above zero, named `clip: problem`."""
    return {
        f"{name}: {item.name.replace('_', ' ')}": int(getattr(found, item.name))
        for name, found in problems.items()
        for item in fields(found)
        if getattr(found, item.name)
    }
