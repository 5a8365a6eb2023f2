"""deblur = read | pair | align | restore | write: the main job, every stage in order.

Every stage but the last runs in a thread of its own, the last in the caller's, with short queues between.
Memory: three chunks of the network, the window of the alignment and the queues, whatever the clip's length.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import cv2

from asled_cli.job.device import explain_out_of_memory, return_freed_memory
from asled_cli.job.interrupt import StopFlag
from asled_cli.job.measure import measure_psnr
from asled_cli.job.method import load_restorer
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurConfig, DeblurPlan, DeblurResult, Progress, Report, ignore
from asled_cli.job.restore import Restorer, restore
from asled_cli.job.sampling import read_sample
from asled_cli.job.tally import Tally
from asled_cli.registration.analyse import analyse
from asled_cli.registration.lenses import LensPrior
from asled_cli.registration.render import AlignedFrame, ReferenceRenderer
from asled_cli.registration.solution import Registration
from asled_cli.video.frames import FramePair
from asled_cli.video.pairing import pair_frames
from asled_cli.video.reader import ClipReader
from asled_cli.video.stage import Stage
from asled_cli.video.writer import ClipWriter

QUEUE = 2  # frames between two stages

log = logging.getLogger(__name__)


def run_deblur(config: DeblurConfig, report: Report = ignore) -> DeblurResult:
    """Mend one clip and return what was done.

    report: called with the plan before the work starts, then with Progress. Raises an AsledError with a
    sentence for the user; then nothing is left behind and no existing file was touched.
    """
    began = time.monotonic()
    cv2.setNumThreads(1)  # the stages are the threads; OpenCV's own would only fight with torch's
    with StopFlag() as stop, explain_out_of_memory():
        plan = make_plan(config, report)
        report(plan)
        with _open_writer(plan) as writer:  # opens the encoder, so that it fails now or not at all
            if config.dry_run:
                writer.abort()
                return DeblurResult(plan=plan, out=None)
            stop.tidy_up = writer.abort
            restorer = load_restorer(plan)
            registration = _analyse(plan, report, stop)
            return_freed_memory()
            analysis_s = time.monotonic() - began
            result = _render(plan, registration, restorer, writer, report, stop)
        result = replace(result, analysis_s=analysis_s, wall_s=time.monotonic() - began)
        return result if config.truth is None else _measure(result, report)


def _open_writer(plan: DeblurPlan) -> ClipWriter:
    config = plan.config
    start_s = None if config.start_s is None else plan.start_s
    return ClipWriter(plan.wide, plan.out, config.encode, start_s=start_s, end_s=plan.end_s)


def _analyse(plan: DeblurPlan, report: Report, stop: StopFlag) -> Registration:
    """Look at a few short runs of frames to find how the two views belong together."""
    runs: list[list[FramePair]] = []
    for done, total, run in read_sample(plan):
        stop.check()
        runs.append(run)
        report(Progress("analyse", done, total))
    small = analyse(runs, LensPrior(fov_ratio=plan.fov_ratio, source=plan.fov_source))
    registration = small.resized((plan.wide.width, plan.wide.height), (plan.ultra.width, plan.ultra.height))
    if not registration.trusted:
        log.warning(
            "%s and %s do not seem to show the same scene at the same time: the reference is not used. "
            "Are both from one recording? If so, pass --offset or --fov-ratio.",
            plan.wide.path.name,
            plan.ultra.path.name,
        )
    return registration


def _render(
    plan: DeblurPlan,
    registration: Registration,
    restorer: Restorer,
    writer: ClipWriter,
    report: Report,
    stop: StopFlag,
) -> DeblurResult:
    """The streaming part: every frame of the clip once through all stages."""
    tally = Tally()
    with (
        ClipReader(plan.wide, start_s=plan.wide_range[0], end_s=plan.wide_range[1]) as wide,
        ClipReader(plan.ultra, start_s=plan.ultra_range[0], end_s=plan.ultra_range[1]) as ultra,
    ):
        wide_frames = Stage(wide, QUEUE, "decode wide")
        ultra_frames = Stage(ultra, QUEUE, "decode ultra")
        pairs = Stage(pair_frames(wide_frames, ultra_frames, plan.clock), QUEUE, "pair")
        # The network takes and gives whole chunks; with room for one on either side, nobody waits meanwhile.
        room = max(QUEUE, plan.chunk)
        aligned = Stage(_align(pairs, ReferenceRenderer(registration)), room, "align")
        restored = Stage(restore(aligned, restorer), room, "restore")
        with restored:  # closing the last stage closes all that feed it
            for frame in restored:
                stop.check()
                with tally.writing(frame):
                    writer.write(frame.target, frame.change)
                report(Progress("deblur", tally.written, plan.frames))
        stop.check()
        stages = [wide_frames, ultra_frames, pairs, aligned, restored]
        problems = {plan.wide.path.name: wide.problems, plan.ultra.path.name: ultra.problems}
        return tally.result(plan, registration, stages, problems, writer.dropped)


def _align(pairs: Iterator[FramePair], renderer: ReferenceRenderer) -> Iterator[AlignedFrame]:
    """Registered frames, without the reference as it was recorded, which nobody needs any more."""
    for pair in pairs:
        yield from map(_without_recorded_reference, renderer.push(pair))
    yield from map(_without_recorded_reference, renderer.flush())


def _without_recorded_reference(frame: AlignedFrame) -> AlignedFrame:
    return replace(frame, pair=replace(frame.pair, reference=None))


def _measure(result: DeblurResult, report: Report) -> DeblurResult:
    """Add the PSNR of the input and of the written file against the truth."""
    plan, truth = result.plan, result.plan.config.truth
    assert truth is not None and result.out is not None
    report(Progress("measure", 0, 2))
    before = measure_psnr(plan.wide.path, truth, start_s=plan.wide_range[0], end_s=plan.end_s)
    report(Progress("measure", 1, 2))
    after = measure_psnr(result.out, truth, offset_s=-result.first_time_s)
    report(Progress("measure", 2, 2))
    return replace(result, psnr_input_db=before, psnr_result_db=after)
