"""Where a resumed job begins to read, so that its first new frame equals that of an uninterrupted run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from operator import attrgetter
from typing import TypeVar

from asled_cli.errors import InputError
from asled_cli.job.records import SPARE_S, DeblurPlan
from asled_cli.job.resume.entries import Entry
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.rendering import coverage
from asled_cli.restoration.one_clip import frames_before
from asled_cli.runtime.stages import closing_items

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Start:
    """The start of reading. Times in seconds, each on its clip's own clock; None: at the start of the clip.

    origin_s: time of the job's first frame, None where this run reads it itself. tick: time of the first
    frame not written yet; earlier ones are only read. align_tick: time of the first frame whose aligned
    reference is needed, for the fusion of later ones; None: all.
    """

    wide_s: Fraction | None
    ultra_s: Fraction | None
    origin_s: float | None = None
    tick: int | None = None
    align_tick: int | None = None


def find_start(plan: DeblurPlan, entries: Sequence[Entry], registration: Registration | None) -> Start:
    """Return the start of a run that continues after `entries`. registration: of a pair.

    A damaged clip is read from its start again: what its decoder makes of damage depends on what came before.
    """
    ticks = [tick for entry in entries for tick in entry.segment.ticks]
    if not entries:
        return start_at(plan, ticks, 0, registration)
    ticks.append(entries[-1].segment.end)
    found = start_at(plan, ticks, len(ticks) - 1, registration)
    if not entries[-1].damaged:
        return found
    wide, ultra = _whole(plan)
    return replace(found, wide_s=wide, ultra_s=ultra)


def start_at(
    plan: DeblurPlan, ticks: Sequence[int], place: int, registration: Registration | None, *, more: int = 0
) -> Start:
    """Return the start of a run whose first frame is the one at ticks[place - more].

    ticks: of the job's frames, at least up to ticks[place]. registration: of a pair.
    """
    start = Start(*_whole(plan))
    if place == 0:
        return start
    if registration is None:
        memory = frames_before(plan.exposure) + plan.choice.reference_radius
        interval_s = float(1 / plan.wide.average_rate)
    else:
        memory = coverage.frames_before(registration) + plan.choice.reference_radius
        memory = max(memory, frames_before(plan.exposure) if plan.own_exposure > 0 else 0)
        interval_s = registration.interval_s
    base = plan.wide.time_base
    tick, earliest = ticks[place - more], place - more - memory
    align_tick = ticks[max(0, place - more - plan.choice.reference_radius)]
    start = replace(start, origin_s=float(ticks[0] * base), tick=tick, align_tick=align_tick)
    if earliest <= 0:
        return start
    # Frames may have been dropped just here: go back in time by as much as in frames.
    wide = min(ticks[earliest], tick - ceil(memory * interval_s / base)) * base
    if wide <= ticks[0] * base:
        return start
    ultra = None if plan.ultra is None else max(plan.ultra.start_s, plan.clock.to_reference(wide) - SPARE_S)
    return replace(start, wide_s=wide, ultra_s=ultra)


def _whole(plan: DeblurPlan) -> tuple[Fraction | None, Fraction | None]:
    """Return the times from which a run from the start of the job reads the two clips."""
    return plan.wide_range[0], None if plan.ultra is None else plan.ultra_range[0]


def skip_written(
    frames: Iterator[Item],
    start: Start,
    name: str,
    tick_of: Callable[[Item], int] = attrgetter("pair.target.pts"),
    see: Callable[[Item], object] = lambda frame: None,
) -> Iterator[Item]:
    """Yield the frames not written yet. tick_of: gives the time of a frame. see: takes the others.

    Raises InputError if the next frame has another time than before.
    """
    checked = start.tick is None
    with closing_items(frames) as source:
        for frame in source:
            pts = tick_of(frame)
            if start.tick is not None and pts < start.tick:
                see(frame)
                continue
            if not checked and pts != start.tick:
                sentence = f"{name} continues at tick {pts}, expected {start.tick}."
                raise InputError(sentence, "Start over with --overwrite.")
            checked = True
            yield frame
