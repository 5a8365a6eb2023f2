"""deblur = read | pair | align | restore | write: the main job, every stage in order.

Every stage but the last runs in a thread of its own, the last in the caller's, with short queues between.
Several threads share the alignment, but of large frames where a network needs the cores.
Memory: three chunks of the network, the window of the alignment, the queues and what the alignment threads
hold, whatever the clip's length.
Finished segments go to a journal beside the output, from which an interrupted job can be resumed.
"""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from asled_cli.errors import AsledError
from asled_cli.imaging.threads import opencv_threads
from asled_cli.job.analysis import judge_clips, register_clips
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import advice_for, lens_prior
from asled_cli.job.method import load_restorer
from asled_cli.job.plan import (
    make_plan,
    measure_own_exposure,
    refuse_if_strict,
    refuse_plan_if_strict,
    report_if_strict,
    with_own_exposure,
)
from asled_cli.job.records import DeblurPlan, DeblurResult, Event, JobReport
from asled_cli.job.rendering.crew import Crew, workers_of
from asled_cli.job.rendering.driver import Spread
from asled_cli.job.rendering.stream import Part, RestoredStream, pair_stream, single_stream
from asled_cli.job.resume.disk_space import SpaceWatch
from asled_cli.job.resume.inputs import InputWatch
from asled_cli.job.resume.journal import Journal
from asled_cli.job.resume.start_point import find_start
from asled_cli.job.show.viewer import Viewer
from asled_cli.job.tally import Tally
from asled_cli.metrics.clip_psnr import measure_psnr
from asled_cli.progress import Progress, ignore
from asled_cli.registration.analyse import Analyse
from asled_cli.registration.model.registration import Registration
from asled_cli.restoration.base import Memory
from asled_cli.runtime.device import explain_out_of_memory
from asled_cli.runtime.memory import return_freed_memory
from asled_cli.runtime.signals import StopFlag
from asled_cli.video.encode.segments import Segment
from asled_cli.video.encode.writer import ClipWriter, segment_length
from asled_cli.video.frames import Clip, FramePair

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """Parts of a job that can be replaced, in tests above all."""

    analyse: Analyse | None = None  # None: the usual one
    segment_length: Callable[[Clip], int] = segment_length


STEPS = Steps()


class NoHelpError(AsledError):
    """One view of a spatial clip gains nothing from the other one: it is to be deblurred alone."""


@dataclass(frozen=True)
class Run:
    """A running job. report: checks first whether the job is to stop."""

    plan: DeblurPlan
    journal: Journal
    writer: ClipWriter
    viewer: Viewer
    report: JobReport
    stop: StopFlag
    steps: Steps
    crew: Crew


def run_deblur(
    config: DeblurConfig, report: JobReport = ignore, *, steps: Steps | None = None
) -> DeblurResult:
    """Deblur one clip and return what was done.

    report: called with the plan before the work starts, then with Progress. Raises an AsledError with a
    sentence for the user; then no existing file was touched, and what was finished is kept for `resume`.
    """
    began = time.monotonic()
    steps = steps or STEPS
    # The stages are the threads; OpenCV's own would only fight with torch's.
    with opencv_threads(1), StopFlag() as stop, explain_out_of_memory():
        inputs = InputWatch(config.clips)
        plan = make_plan(config, report)
        if config.dry_run:
            report(plan)
            writer = _open_writer(plan, steps)  # whether the encoder starts and the file format fits
            writer.abort()
            refuse_plan_if_strict(plan, writer.dropped)
            return DeblurResult(plan=plan, out=None)
        with Journal.open(plan, inputs) as journal:
            plan = journal.plan
            report(plan)
            stop.tidy_up = lambda: log.warning(journal.advice)
            viewer = Viewer(plan, journal.folder, journal.segments, steps.segment_length(plan.wide))
            with _open_writer(plan, steps, journal) as writer, viewer:  # fails now or not at all
                with closing(Crew(workers_of)) as crew:
                    run = Run(plan, journal, writer, viewer, _checking(stop, report), stop, steps, crew)
                    result = _deblur(run, began)
                viewer.after_copy()
                journal.check_inputs()  # before their sound and tags are copied
            result = replace(result, dropped_tracks=tuple(writer.dropped), differences=writer.differences)
        result = replace(result, wall_s=time.monotonic() - began)
        result = result if config.truth is None else _measure(result, report)
        viewer.write_report(result)
        if not config.part_of_two:  # else the joined file is judged
            report_if_strict(result)
        return result


def _deblur(run: Run, began: float) -> DeblurResult:
    """Register, measure sharpness, and write the result; copy the clip if nothing changes."""
    plan = run.plan
    refuse_plan_if_strict(plan, run.writer.dropped)
    if plan.match is None:
        analysis_s = time.monotonic() - began
        return replace(_deblur_alone(run), analysis_s=analysis_s)
    registration, runs = _analyse(run)
    sharpness = plan.config.skip_sharp
    blur_plan = judge_clips(
        plan.pair, registration, run.report, plan.wide_range, measures=sharpness, runs=runs
    )
    del runs  # hundreds of MiB
    return_freed_memory()
    _check_help(run, registration, blur_plan)
    if blur_plan.needs_own_frames or not registration.accepted:
        run = _with_own_exposure(run)
        plan = run.plan
    blur_plan = blur_plan.filled_by(plan.exposure)
    analysis_s = time.monotonic() - began
    _warn(run, registration, blur_plan)
    refuse_if_strict(plan, [] if registration.accepted else ["the two views do not fit together"])
    if plan.own_exposure > 0 and (not registration.accepted or blur_plan.own_frames_alone):
        result = replace(_deblur_alone(replace(run, plan=plan.alone)), plan=plan, **blur_plan.found)
    elif registration.accepted and not blur_plan.changes_nothing:
        result = _render(run, registration, blur_plan)
    else:
        result = _pass_through(run, registration, blur_plan) or _render(run, registration, blur_plan)
    return replace(result, analysis_s=analysis_s)


def _checking(stop: StopFlag, report: JobReport) -> JobReport:
    """Return a report that raises first where the job is to stop."""

    def checked(event: Event) -> None:
        stop.check()
        report(event)

    return checked


def _open_writer(plan: DeblurPlan, steps: Steps, journal: Journal | None = None) -> ClipWriter:
    config = plan.config
    return ClipWriter(
        plan.wide,
        plan.out,
        config.encode,
        start_s=plan.wide_range[0],
        end_s=plan.end_s,
        folder=None if journal is None else journal.folder,
        done=() if journal is None else journal.segments,
        segment=steps.segment_length(plan.wide),
        strict=config.strict,
        approve=None if journal is None else journal.approve,
        part_of_two=config.part_of_two,
        keep_views=config.view is None,
    )


def _analyse(run: Run) -> tuple[Registration, list[list[FramePair]]]:
    """Register the two views, or take what a run before found; also return the pairs that were read."""
    if run.journal.registration is not None:
        return run.journal.registration, []
    plan = run.plan
    run.crew.start(plan, run.steps.segment_length(plan.wide))
    registration, runs = register_clips(
        plan.wide,
        plan.pair.ultra,
        plan.clock,
        lens_prior(plan.pair),
        run.report,
        wide_range=plan.wide_range,
        ultra_range=plan.ultra_range,
        analyse=run.steps.analyse,
    )
    return run.journal.keep_registration(registration), runs


def _with_own_exposure(run: Run) -> Run:
    """Measure the exposure of a wide clip whose own frames are to help, and keep it for a resumed run."""
    plan = run.plan
    if plan.config.method != "auto":
        return run
    exposure = run.journal.exposure
    if exposure is None:  # it takes seconds, so it is measured only here
        exposure = run.journal.keep_exposure(measure_own_exposure(plan.config, plan.wide, run.report))
    return replace(run, plan=with_own_exposure(plan, exposure))


def _warn(run: Run, registration: Registration, blur_plan: BlurPlan) -> None:
    """Say where the ultra clip cannot help, and what is done instead."""
    plan, inverts = run.plan, run.plan.own_exposure > 0
    if not registration.accepted and plan.config.view is None:
        log.warning(
            "%s and %s do not seem to show the same scene at the same time: %s. %s",
            plan.wide.path.name,
            plan.pair.ultra.path.name,
            "the first is deblurred alone" if inverts else "nothing is changed",
            advice_for(plan.config),
        )
    one_of_two = plan.config.view is not None
    for sentence in blur_plan.warnings(inverts=inverts, one_of_two=one_of_two):
        log.warning("%s: %s", plan.wide.label, sentence)


def _check_help(run: Run, registration: Registration, blur_plan: BlurPlan) -> None:
    """Raise NoHelpError if one view of a spatial clip is blurred, and the other one never sharper."""
    config = run.plan.config
    if config.view is None or config.method != "auto":
        return
    actions = set(blur_plan.actions)
    if not registration.accepted or ("both blurred" in actions and "deblur" not in actions):
        why = "is not sharper" if registration.accepted else "does not fit to it"
        raise NoHelpError(f"{run.plan.wide.label}: the other view {why}.")


def _pass_through(run: Run, registration: Registration, blur_plan: BlurPlan) -> DeblurResult | None:
    """Copy the wide clip where no frame is to change; None where frames must be encoded all the same."""
    frames = run.writer.copy_source()
    if frames is None:
        return None
    run.report(Progress("deblur", frames, frames))
    counts = (
        Tally(frames, passed=frames) if registration.accepted else Tally(frames, without_reference=frames)
    )
    result = counts.result(run.plan, registration, [], {})
    return replace(result, **blur_plan.found, stages=(), copied=True)


def _render(run: Run, registration: Registration, blur_plan: BlurPlan) -> DeblurResult:
    """Send every unfinished frame of the clip once through all stages."""
    plan, journal = run.plan, run.journal
    if (found := _spread(run, registration, blur_plan)) is not None:
        return replace(found, **blur_plan.found)
    restorer = load_restorer(plan, run.steps.segment_length(plan.wide), journal.memory)
    start = find_start(plan, journal.entries, registration)
    with pair_stream(plan, registration, restorer, Part(start), blur_plan) as stream:
        tally = _write(run, stream)
    result = tally.result(plan, registration, stream.stages, stream.problems)
    return replace(result, **blur_plan.found)


def _deblur_alone(run: Run) -> DeblurResult:
    """Write the result of one clip alone; copy the clip if nothing changes."""
    plan = run.plan
    if plan.changes_nothing:
        log.warning("%s: %s.", plan.wide.label, plan.expectation)
        frames = run.writer.copy_source()
        if frames is not None:
            return _copied_alone(run, Tally(frames, passed=frames))
    result = _render_alone(run)
    if not result.frames_changed and run.writer.copy_source(instead=True) is not None:
        return _copied_alone(run, run.journal.tally)
    return replace(result, frames_unchanged=result.frames_written - result.frames_changed)


def _copied_alone(run: Run, counts: Tally) -> DeblurResult:
    run.report(Progress("deblur", counts.written, counts.written))
    result = counts.result(run.plan, None, [], {})
    return replace(result, frames_unchanged=counts.written, stages=(), copied=True)


def _render_alone(run: Run) -> DeblurResult:
    """Send every unfinished frame of the one clip through its stages."""
    plan, journal = run.plan, run.journal
    if (found := _spread(run, None, DEBLUR_ALL)) is not None:
        return found
    restorer = load_restorer(plan, run.steps.segment_length(plan.wide), journal.memory)
    with single_stream(plan, restorer, Part(find_start(plan, journal.entries, None))) as stream:
        tally = _write(run, stream)
    return tally.result(plan, None, stream.stages, stream.problems)


def _spread(run: Run, registration: Registration | None, blur_plan: BlurPlan) -> DeblurResult | None:
    """Let several workers share the frames; None where one process is to do all, or the rest."""
    plan, journal = run.plan, run.journal
    if not plan.spreads or journal.complete:
        return None
    length = run.steps.segment_length(plan.wide)
    spread = Spread(plan, blur_plan, journal, run.writer, run.report, length)
    if not spread.render(lambda: run.crew.workers(plan)):
        return None
    return journal.tally.result(plan, registration, spread.stages, {})


def _write(run: Run, stream: RestoredStream) -> Tally:
    """Write the frames and keep each finished segment in the journal. Return the counts."""
    journal, writer, tally = run.journal, run.writer, run.journal.tally
    space = SpaceWatch(run.plan, journal.folder)
    memory: Memory | None = None  # of the network after the frame before

    def keep(segment: Segment | None) -> None:
        if segment is not None:
            run.viewer.keep()
            journal.keep(segment, tally, damaged=stream.damaged, memory=memory)
            journal.check_inputs()
            space.check(writer.segments)

    for frame in stream.frames if not journal.complete else ():
        run.stop.check()
        with tally.writing(frame):
            run.viewer.see(frame, frame.change)
            keep(writer.write(frame.target, frame.change))
        memory = frame.memory
        run.report(Progress("deblur", tally.written, run.plan.frames))
    run.stop.check()
    run.viewer.flush()
    keep(writer.flush())
    journal.end()
    space.check_join(writer.segments)
    return tally


def _measure(result: DeblurResult, report: JobReport) -> DeblurResult:
    """Add the PSNR of the input and of the written file against the truth."""
    plan, truth = result.plan, result.plan.config.truth
    assert truth is not None and result.out is not None
    report(Progress("measure", 0, 2))
    before = measure_psnr(plan.wide.path, truth, start_s=plan.wide_range[0], end_s=plan.end_s)
    report(Progress("measure", 1, 2))
    after = measure_psnr(result.out, truth, offset_s=-result.first_time_s)
    report(Progress("measure", 2, 2))
    return replace(result, psnr_input_db=before, psnr_result_db=after)
