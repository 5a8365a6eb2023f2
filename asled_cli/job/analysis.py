"""The passes over two clips before anything is restored: where the views match, and what needs deblurring."""

from functools import partial

from asled_cli.deconvolution.clip_file import measure_blend
from asled_cli.job.blur_plan import BlurPlan, plan_blur
from asled_cli.job.sampling import (
    ALL,
    Range,
    count_frames,
    count_sharpness_times,
    read_sampled_runs,
    reading_pairs,
)
from asled_cli.progress import Progress, Report
from asled_cli.registration.analyse import LOOKED_FOR, Analyse, register_clip
from asled_cli.registration.analyse import analyse as usual_analysis
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.runtime.stages import parallel_map, usable_cores
from asled_cli.sync.lens_order import sample_pairs
from asled_cli.video.clock import Clock
from asled_cli.video.frames import Clip, FramePair

MAX_TRACKING_THREADS = 4  # threads that follow OIS, each with a stretch of small pictures and their motion


def register_clips(
    wide: Clip,
    ultra: Clip,
    clock: Clock,
    prior: LensPrior,
    report: Report,
    *,
    wide_range: Range = ALL,
    ultra_range: Range = ALL,
    analyse: Analyse | None = None,
) -> tuple[Registration, list[list[FramePair]]]:
    """Return how the views match at full size, and the short runs of reduced pairs that showed it.

    Where OIS moves one lens alone, every frame is read. analyse: the analysis to run; None: the usual one.
    Raises InputError as `analyse`.
    """
    start = wide.start_s if wide_range[0] is None else wide_range[0]
    runs: list[list[FramePair]] = []
    for done, total, run in read_sampled_runs(wide, ultra, clock, start, wide_range[1]):
        runs.append(run)
        report(Progress("analyse", done, total))
    frames = count_frames(wide, start, wide_range[1])
    found = register_clip(
        runs,
        lambda: reading_pairs(wide, ultra, clock, wide_range, ultra_range),
        prior,
        sizes=(wide.seen_size, ultra.seen_size),
        analyse=analyse or partial(usual_analysis, looking_for=partial(_report_analysis, report)),
        map_function=partial(parallel_map, threads=min(MAX_TRACKING_THREADS, usable_cores())),
        on_progress=lambda done: report(Progress("follow", done, frames)),
    )
    return found, runs


def _report_analysis(report: Report, what: str) -> None:
    report(Progress("register views", LOOKED_FOR.index(what), len(LOOKED_FOR), what))


def judge_clips(wide: Clip, ultra: Clip, clock: Clock, found: Registration, report: Report) -> BlurPlan:
    """Measure sharpness along the clip and plan where to deblur."""
    count = count_sharpness_times(wide, ultra, clock)
    moments = sample_pairs(wide, ultra, clock, count)
    return plan_blur(
        moments,
        found,
        lambda done: report(Progress("judge", done, count)),
        blended=lambda: measure_blend(ultra).blended > 0,
    )
