"""The render pass in several workers: spans are handed out, finished segments are taken over in order."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace

from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.records import DeblurPlan, JobReport, StageTime
from asled_cli.job.rendering.spans import (
    SpanTask,
    added,
    cut_spans,
    drop_unusable_notes,
    job_ticks,
    read_note,
)
from asled_cli.job.rendering.worker import SpanResult, render_span
from asled_cli.job.resume.disk_space import SpaceWatch
from asled_cli.job.resume.fingerprint import decisive_versions
from asled_cli.job.resume.journal import Journal
from asled_cli.progress import Progress
from asled_cli.runtime.workers.local import Workers
from asled_cli.runtime.workers.many import finished
from asled_cli.video.encode.writer import ClipWriter

log = logging.getLogger(__name__)


@dataclass
class Spread:
    """One job spread over workers. report: raises where the job is to stop."""

    plan: DeblurPlan
    blur_plan: BlurPlan
    journal: Journal
    writer: ClipWriter
    report: JobReport
    length: int  # frames of a segment
    stages: list[StageTime] = field(default_factory=list)

    def render(self, workers: Callable[[], Workers]) -> bool:
        """Render all frames; whether that was possible. False: the rest must be done by one process.

        Raises what a worker raises; finished segments stay.
        """
        tasks = self._tasks()
        if len(tasks) < 2:
            return False
        space = SpaceWatch(self.plan, self.journal.folder)
        with closing(workers()) as pool:
            running = {pool.submit(render_span, task): task.span for task in tasks}
            for done in finished(running):
                found = [future.result() for _, future in done]
                self._add_times(found)
                if not self._take_over(space) or not all(result.agrees for result in found):
                    self._take_over(space)
                    log.warning(
                        "%s is damaged, or its index does not fit its frames: one process does the rest",
                        self.plan.wide.path.name,
                    )
                    return False
        return self._end(space)

    def _tasks(self) -> list[SpanTask]:
        """Return what is left to do, in order."""
        ticks, done = job_ticks(self.plan), len(self.journal.entries)
        if not ticks:
            return []
        plan = _with_absolute_paths(self.plan)  # workers of a cluster have other working folders
        step = ticks[-1] - ticks[-2] if len(ticks) > 1 else None
        tasks = [
            SpanTask(
                span=span,
                begin=done,
                plan=plan,
                blur_plan=self.blur_plan,
                folder=self.journal.folder.absolute(),
                ticks=ticks,
                end=self.writer.end_after(ticks[-1], step),
                length=self.length,
                headers=self.writer.pieces.headers,
                versions=decisive_versions(self.plan.choice.weights),
            )
            for span in cut_spans(len(ticks), self.length)
            if span.last > done
        ]
        for task in tasks:
            drop_unusable_notes(task)
        return tasks

    def _add_times(self, results: list[SpanResult]) -> None:
        """Add the working times of finished spans, stage by stage."""
        for result in results:
            sums = {stage.name: stage.busy_s for stage in self.stages}
            for stage in result.stages:
                sums[stage.name] = sums.get(stage.name, 0.0) + stage.busy_s
            self.stages = [StageTime(name, self.journal.frames, busy) for name, busy in sums.items()]

    def _take_over(self, space: SpaceWatch) -> bool:
        """Give finished segments to journal and writer, in order; False if the next one is damaged."""
        journal, before = self.journal, len(self.journal.entries)
        damaged = False
        while (entry := read_note(journal.folder, len(journal.entries))) is not None:
            if entry.damaged:
                damaged = True
                break
            journal.add(added(entry, journal.entries))
        self.writer.segments[:] = journal.segments
        if len(journal.entries) > before:
            journal.check_inputs()
            space.check(self.writer.segments)
        self.report(Progress("deblur", journal.frames + self._ahead(), self.plan.frames))
        return not damaged

    def _ahead(self) -> int:
        """Return the number of finished frames that wait for an earlier segment."""
        first = len(self.journal.entries)
        count = -(-self.plan.frames // self.length) + 1
        notes = (read_note(self.journal.folder, number) for number in range(first, first + count))
        return sum(note.frames for note in notes if note is not None)

    def _end(self, space: SpaceWatch) -> bool:
        self._take_over(space)
        self.journal.end()
        space.check_join(self.writer.segments)
        return True


def _with_absolute_paths(plan: DeblurPlan) -> DeblurPlan:
    wide, match, choice = plan.wide, plan.match, plan.choice
    if match is not None:
        match = replace(match, ultra=replace(match.ultra, path=match.ultra.path.absolute()))
    if choice.weights is not None:
        choice = replace(choice, weights=choice.weights.absolute())
    wide = replace(wide, path=wide.path.absolute())
    return replace(plan, wide=wide, match=match, choice=choice, out=plan.out.absolute())
