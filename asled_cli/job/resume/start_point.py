"""Where a resumed job begins to read, so that its first new frame equals that of an uninterrupted run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from asled_cli.errors import InputError
from asled_cli.job.records import SPARE_S, DeblurPlan
from asled_cli.job.resume.entries import Entry
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.coverage import frames_before
from asled_cli.runtime.stages import closing_items


@dataclass(frozen=True, slots=True)
class Start:
    """The start of reading. Times in seconds, each on its clip's own clock; None: at the start of the clip.

    origin_s: time of the job's first frame, None where this run reads it itself. tick: time of the first
    frame not written yet; earlier ones are only read.
    """

    wide_s: Fraction | None
    ultra_s: Fraction | None
    origin_s: float | None = None
    tick: int | None = None


def find_start(plan: DeblurPlan, entries: Sequence[Entry], registration: Registration) -> Start:
    """Return the start of a run that continues after `entries`.

    A damaged clip is read from its start again: what its decoder makes of damage depends on what came before.
    """
    memory, interval_s = frames_before(registration) + plan.reference_radius, registration.interval_s
    start = Start(plan.wide_range[0], plan.ultra_range[0])
    if not entries:
        return start
    base = plan.wide.time_base
    ticks = [tick for entry in entries for tick in entry.segment.ticks]
    origin, tick = float(ticks[0] * base), entries[-1].segment.end
    place = len(ticks) - memory
    if place <= 0 or entries[-1].damaged:
        return Start(start.wide_s, start.ultra_s, origin, tick)
    # Frames may have been dropped just here: go back in time by as much as in frames.
    wide = min(ticks[place], tick - ceil(memory * interval_s / base)) * base
    if wide <= ticks[0] * base:
        return Start(start.wide_s, start.ultra_s, origin, tick)
    return Start(wide, max(plan.ultra.start_s, plan.clock.to_reference(wide) - SPARE_S), origin, tick)


def skip_written(frames: Iterator[AlignedFrame], start: Start, name: str) -> Iterator[AlignedFrame]:
    """Yield the frames not written yet. Raises InputError if the next frame has another time than before."""
    checked = start.tick is None
    with closing_items(frames) as source:
        for frame in source:
            pts = frame.pair.target.pts
            if start.tick is not None and pts < start.tick:
                continue
            if not checked and pts != start.tick:
                sentence = f"{name} continues at tick {pts}, expected {start.tick}."
                raise InputError(sentence, "Start over with --overwrite.")
            checked = True
            yield frame
