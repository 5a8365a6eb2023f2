"""One span of a clip, rendered in a worker: its segments are those that one process would write."""

import secrets
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from asled_cli.imaging.threads import opencv_threads
from asled_cli.job.method import load_restorer
from asled_cli.job.records import StageTime
from asled_cli.job.rendering.spans import (
    Span,
    SpanTask,
    first_missing,
    packets_file,
    state_file,
    warm_up_frames,
    write_note,
)
from asled_cli.job.rendering.stream import Part, RestoredStream, pair_stream, single_stream
from asled_cli.job.resume.entries import Entry
from asled_cli.job.resume.fingerprint import decisive_versions
from asled_cli.job.resume.machine import check_machine
from asled_cli.job.resume.serialization import load_record, save_record
from asled_cli.job.resume.start_point import start_at
from asled_cli.job.resume.work_folder import FILE, REGISTRATION
from asled_cli.job.tally import Tally
from asled_cli.registration.model.registration import Registration
from asled_cli.restoration.base import Memory
from asled_cli.runtime.device import explain_out_of_memory
from asled_cli.video.encode.segment_writer import SegmentWriter
from asled_cli.video.encode.segments import Segment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker computes. device: None: that of the plan. threads: 0: as many as the machine has."""

    device: str | None = None
    threads: int = 0


@dataclass(frozen=True, slots=True)
class SpanResult:
    """What became of a span. agrees: its frames have the times that the packets tell, without damage."""

    span: Span
    agrees: bool
    stages: tuple[StageTime, ...] = ()


def render_span(task: SpanTask, place: Place) -> SpanResult:
    """Render the segments of a span that are not there yet; a note beside each says that it is finished."""
    check_machine(task.folder / FILE, task.versions, decisive_versions(task.plan.choice.weights))
    first = first_missing(task)
    if first == task.span.last:
        return SpanResult(task.span, agrees=True)
    if place.threads:
        torch.set_num_threads(place.threads)
    with opencv_threads(1), explain_out_of_memory():
        return _Rendering(_placed(task, place), first).run()


def _placed(task: SpanTask, place: Place) -> SpanTask:
    """Return the task for the device and the share of the cores of this worker."""
    plan = task.plan
    choice = plan.choice if place.device is None else replace(plan.choice, device=place.device)
    if place.threads:
        aligning, inverting = (min(n, place.threads) for n in (plan.align_threads, plan.inversion_threads))
        plan = replace(plan, align_threads=aligning, inversion_threads=inverting)
    return replace(task, plan=replace(plan, choice=choice))


class _Rendering:
    """The rendering of the segments from `first` on of a task."""

    def __init__(self, task: SpanTask, first: int) -> None:
        self.task, self.number = task, first
        self.frames = range(first * task.length, min(task.span.last * task.length, len(task.ticks)))
        # Names of its own: a worker that was taken for dead may still write.
        names = f"{{:06d}}.{secrets.token_hex(4)}.packets"
        self.writer = SegmentWriter(
            task.plan.wide, task.plan.encoder, task.folder, headers=task.headers, length=task.length,
            out=task.plan.out, first=first, names=names,
        )  # fmt: skip
        self.tally = Tally()

    def run(self) -> SpanResult:
        """Write the frames; end where one has another time than expected."""
        task, memory = self.task, None
        expected = iter(task.ticks[self.frames.start : self.frames.stop])
        with ExitStack() as stack:
            stack.callback(self.writer.close)
            stream = stack.enter_context(self._stream())
            for frame in stream.frames:
                if frame.target.pts != next(expected, None):
                    return SpanResult(task.span, agrees=False)
                with self.tally.writing(frame):
                    self._note(self.writer.write(frame.target, frame.change), stream, memory)
                memory = frame.memory
            self._note(self.writer.flush(self._end()), stream, memory)
        complete = next(expected, None) is None and not stream.damaged
        return SpanResult(task.span, complete, self._times(stream))

    def _end(self) -> int:
        """Return when the last frame of the span ends, ticks."""
        return self.task.ticks[self.frames.stop] if self.frames.stop < len(self.task.ticks) else self.task.end

    def _stream(self) -> AbstractContextManager[RestoredStream]:
        task, plan = self.task, self.task.plan
        warm_up = self._warm_up()
        registration: Registration | None = None
        if plan.match is not None:
            registration = load_record(task.folder / REGISTRATION, Registration)
        start = start_at(plan, task.ticks, self.frames.start, registration, more=warm_up)
        part = Part(start, warm_up, len(self.frames))
        restorer = load_restorer(plan, task.length, self._memory, first=warm_up)
        if registration is None:
            return single_stream(plan, restorer, part)
        return pair_stream(plan, registration, restorer, part, task.blur_plan)

    def _warm_up(self) -> int:
        """Return how many frames before the first one a network sees again, to rebuild its memory."""
        choice = self.task.plan.choice
        if not choice.has_network or self.number != self.task.span.first:
            return 0
        return min(warm_up_frames(self.task.length, choice.chunk), self.frames.start)

    def _memory(self, kind: Any) -> Any:
        """Return what the network remembered after the segment before; None at the start of a span."""
        if self.number == self.task.span.first:
            return None
        return load_record(self.task.folder / state_file(self.number - 1), kind)

    def _note(self, segment: Segment | None, stream: RestoredStream, memory: Memory | None) -> None:
        """Give a finished segment its name, and say that it is finished. memory: of the network after it."""
        if segment is None:
            return
        task, tally, choice = self.task, self.tally, self.task.plan.choice
        name, pieces = None, (choice.chunk, choice.tile)
        with self.writer.explained():
            if memory is not None:
                name, pieces = state_file(self.number), (memory.chunk, memory.tile)
                save_record(task.folder / name, memory.states)
            (task.folder / segment.file).replace(task.folder / packets_file(self.number))
            segment = replace(segment, file=packets_file(self.number))
            counts = tally.written, tally.changed, tally.without_reference, tally.passed
            write_note(task.folder, self.number, Entry(segment, *counts, stream.damaged, *pieces, state=name))
        tally.written = tally.changed = tally.without_reference = tally.passed = 0
        self.number += 1

    def _times(self, stream: RestoredStream) -> tuple[StageTime, ...]:
        frames = len(self.frames)
        times = [StageTime(stage.name, frames, stage.busy_s) for stage in stream.stages]
        return (*times, StageTime("write", frames, self.tally.write_s))
