"""deblur = read | pair | align | restore | write: the main job, every stage in order.

Every stage but the last runs in a thread of its own, the last in the caller's, with short queues between.
Where no network needs the cores, several threads share the alignment.
Memory: three chunks of the network, the window of the alignment, the queues and what helpers hold, whatever
the clip's length.
What is finished goes to a journal beside the output, from which a broken-off job can be resumed.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import cv2

from asled_cli.job.blur_plan import NO_ROLES, Roles, find_roles
from asled_cli.job.method import load_restorer
from asled_cli.job.plan import make_plan, refuse_if_strict, report_if_strict
from asled_cli.job.records import DeblurConfig, DeblurPlan, DeblurResult, JobReport
from asled_cli.job.resume.disk_space import SpaceWatch
from asled_cli.job.resume.inputs import InputWatch
from asled_cli.job.resume.journal import Journal
from asled_cli.job.resume.start_point import Start, find_start, skip_written
from asled_cli.job.sampling import moments_to_judge, read_sample, reading_pairs
from asled_cli.job.tally import Tally, any_problem
from asled_cli.job.target import softened
from asled_cli.metrics.clip_psnr import measure_psnr
from asled_cli.progress import Progress, ignore
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import ReferenceRenderer
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import frame_windows, fuse_references, fuse_window
from asled_cli.registration.stabilisation.ois_tracking import follow_clip
from asled_cli.restoration.base import Memory, restore
from asled_cli.runtime.device import explain_out_of_memory
from asled_cli.runtime.memory import return_freed_memory
from asled_cli.runtime.signals import StopFlag
from asled_cli.runtime.stages import Stage, closing_items, spread, usable_cores
from asled_cli.sync.lens_order import sample_moments
from asled_cli.video.decode.pairing import pair_frames
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.segments import Segment
from asled_cli.video.encode.writer import ClipWriter, segment_length
from asled_cli.video.frames import FramePair

QUEUE = 2  # frames between two stages
MOST_FOLLOWERS = 4  # threads that follow a stabiliser, each with a stretch of small pictures and their motion

log = logging.getLogger(__name__)


def run_deblur(config: DeblurConfig, report: JobReport = ignore) -> DeblurResult:
    """Mend one clip and return what was done.

    report: called with the plan before the work starts, then with Progress. Raises an AsledError with a
    sentence for the user; then no existing file was touched, and what was finished is kept for `resume`.
    """
    began = time.monotonic()
    cv2.setNumThreads(1)  # the stages are the threads; OpenCV's own would only fight with torch's
    with StopFlag() as stop, explain_out_of_memory():
        inputs = InputWatch([config.wide, config.ultra])
        plan = make_plan(config, report)
        if config.dry_run:
            report(plan)
            _open_writer(plan).abort()  # whether the encoder starts and the file format fits
            return DeblurResult(plan=plan, out=None)
        with Journal.open(plan, inputs) as journal:
            plan = journal.plan
            report(plan)
            stop.tidy_up = lambda: log.warning(journal.advice)
            with _open_writer(plan, journal) as writer:  # fails now or not at all
                refuse_if_strict(
                    plan, [*plan.notes, *(f"{lost} would be left out" for lost in writer.dropped)]
                )
                registration = journal.registration or _analyse(plan, journal, report, stop)
                roles = _judge(plan, registration, report, stop)
                return_freed_memory()
                analysis_s = time.monotonic() - began
                refuse_if_strict(plan, [] if registration.trusted else ["the two views do not fit together"])
                result = _pass_through(plan, registration, roles, writer, report)
                result = result or _render(plan, registration, roles, journal, writer, report, stop)
                journal.check_inputs()  # before their sound and tags are copied
            result = replace(result, dropped_tracks=tuple(writer.dropped), differences=writer.differences)
        report_if_strict(result)
        result = replace(result, analysis_s=analysis_s, wall_s=time.monotonic() - began)
        return result if config.truth is None else _measure(result, report)


def _open_writer(plan: DeblurPlan, journal: Journal | None = None) -> ClipWriter:
    config = plan.config
    start_s = None if config.start_s is None else plan.start_s
    return ClipWriter(
        plan.wide,
        plan.out,
        config.encode,
        start_s=start_s,
        end_s=plan.end_s,
        folder=None if journal is None else journal.folder,
        done=() if journal is None else journal.segments,
        segment=segment_length(plan.wide),
        strict=config.strict,
        approve=None if journal is None else journal.approve,
    )


def _analyse(plan: DeblurPlan, journal: Journal, report: JobReport, stop: StopFlag) -> Registration:
    """Look at a few short runs of frames to find how the two views belong together."""
    runs: list[list[FramePair]] = []
    for done, total, run in read_sample(plan):
        stop.check()
        runs.append(run)
        report(Progress("analyse", done, total))
    small = analyse(runs, LensPrior(fov_ratio=plan.fov_ratio, source=plan.fov_source))
    registration = small.resized(plan.wide.seen_size, (plan.ultra.width, plan.ultra.height))
    registration = _follow(plan, registration, report, stop)
    if not registration.trusted:
        log.warning(
            "%s and %s do not seem to show the same scene at the same time: nothing is changed. "
            "Are both from one recording? If so, pass --offset or --fov-ratio.",
            plan.wide.path.name,
            plan.ultra.path.name,
        )
    return journal.keep_registration(registration)


def _follow(plan: DeblurPlan, registration: Registration, report: JobReport, stop: StopFlag) -> Registration:
    """Look at every frame of a clip in which a stabiliser moves one lens alone."""
    if registration.sway is None:
        return registration

    def told(done: int) -> None:
        stop.check()
        report(Progress("follow", done, plan.frames))

    with reading_pairs(plan) as pairs:
        return follow_clip(
            pairs, registration, partial(spread, threads=min(MOST_FOLLOWERS, usable_cores())), told
        )


def _judge(plan: DeblurPlan, registration: Registration, report: JobReport, stop: StopFlag) -> Roles:
    """Look at moments along the clip to find where the wide view needs mending and the other one can help."""
    if plan.config.roles == "given":
        return NO_ROLES
    count = moments_to_judge(plan.wide, plan.ultra, plan.clock)
    moments = sample_moments(plan.wide, plan.ultra, plan.clock, count)
    roles = find_roles(moments, registration, lambda done: _told(report, stop, done, count))
    for sentence in roles.warnings():
        log.warning("%s: %s", plan.wide.path.name, sentence)
    return roles


def _told(report: JobReport, stop: StopFlag, done: int, total: int) -> None:
    stop.check()
    report(Progress("judge", done, total))


def _pass_through(
    plan: DeblurPlan, registration: Registration, roles: Roles, writer: ClipWriter, report: JobReport
) -> DeblurResult | None:
    """The wide clip as it is, where no frame is to change; None where frames must be encoded all the same."""
    if registration.trusted and not roles.changes_nothing:
        return None
    frames = writer.copy_source()
    if frames is None:
        return None
    report(Progress("deblur", frames, frames))
    counts = Tally(frames, passed=frames) if registration.trusted else Tally(frames, without_reference=frames)
    return replace(counts.result(plan, registration, [], {}), segments=roles.segments, stages=(), copied=True)


def _render(
    plan: DeblurPlan,
    registration: Registration,
    roles: Roles,
    journal: Journal,
    writer: ClipWriter,
    report: JobReport,
    stop: StopFlag,
) -> DeblurResult:
    """The streaming part: every frame of the clip that is not finished yet once through all stages."""
    tally, space = journal.tally, SpaceWatch(plan, journal.folder)
    restorer = load_restorer(plan, segment_length(plan.wide), journal.memory)
    start = find_start(plan, journal.entries, registration)
    with (
        ClipReader(plan.wide, start_s=start.wide_s, end_s=plan.wide_range[1]) as wide,
        ClipReader(plan.ultra, start_s=start.ultra_s, end_s=plan.ultra_range[1]) as ultra,
    ):
        wide_frames = Stage(wide, QUEUE, "decode wide")
        ultra_frames = Stage(ultra, QUEUE, "decode ultra")
        references = softened(ultra_frames, plan.wide, plan.ultra, plan.fov_ratio)
        pairs = Stage(pair_frames(wide_frames, references, plan.clock), QUEUE, "pair")
        # The network takes and gives whole chunks; with room for one on either side, nobody waits meanwhile.
        room = max(QUEUE, plan.chunk)
        aligned = _align(pairs, ReferenceRenderer(registration, start.origin_s), plan, start, room)
        restored = Stage(restore(aligned[-1], restorer), room, "restore")
        memory: Memory | None = None  # of the network after the frame before

        def keep(segment: Segment | None) -> None:
            if segment is not None:
                journal.keep(
                    segment, tally, damaged=any_problem(wide.problems, ultra.problems), memory=memory
                )
                journal.check_inputs()
                space.check(writer.segments)

        with restored:  # closing the last stage closes all that feed it
            for frame in restored if not journal.complete else ():
                stop.check()
                change = roles.limit(float(frame.target.time), frame.change)
                with tally.writing(frame, change):
                    keep(writer.write(frame.target, change))
                memory = frame.memory
                report(Progress("deblur", tally.written, plan.frames))
        stop.check()
        keep(writer.flush())
        journal.end()
        space.check_join(writer.segments)
        stages = [wide_frames, ultra_frames, pairs, *aligned, restored]
        problems = {plan.wide.path.name: wide.problems, plan.ultra.path.name: ultra.problems}
        result = tally.result(plan, registration, stages, problems)
        return replace(result, segments=roles.segments)


def _align(
    pairs: Stage[FramePair], renderer: ReferenceRenderer, plan: DeblurPlan, start: Start, room: int
) -> list[Stage[AlignedFrame]]:
    """The stages that register frames and fuse their references; the last one gives those not written yet.

    One stage where a network needs the cores. Else two side by side, helpers in each.
    """
    threads, name = plan.helpers, plan.wide.path.name
    frames = _registered(pairs, renderer, threads)
    if not plan.reach or threads == 1:
        fused = fuse_references(frames, plan.reach)
        return [Stage(skip_written(fused, start, name), room, "align")]
    aligned = Stage(frames, QUEUE, "align")
    fused = spread(fuse_window, frame_windows(aligned, plan.reach), threads)
    return [aligned, Stage(skip_written(fused, start, name), room, "fuse")]


def _registered(
    pairs: Iterator[FramePair], renderer: ReferenceRenderer, threads: int
) -> Iterator[AlignedFrame]:
    """Registered frames, without the reference as it was recorded, which nobody needs any more."""
    with closing_items(spread(lambda align: align(), _turns(pairs, renderer), threads)) as frames:
        for frame in frames:
            yield replace(frame, pair=replace(frame.pair, reference=None))


def _turns(pairs: Iterator[FramePair], renderer: ReferenceRenderer) -> Iterator[Callable[[], AlignedFrame]]:
    """The work on each frame in turn, once all that it needs has been seen."""
    for pair in pairs:
        yield from renderer.prepare(pair)
    yield from renderer.prepare_last()


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
