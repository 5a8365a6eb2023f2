"""The passes over two clips before anything is restored: where the views match, and what needs deblurring."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from asled_cli.deconvolution.clip_file import has_blended_frames
from asled_cli.job.blur.gaps import Gap, find_gaps
from asled_cli.job.blur.plan import DEBLUR_ALL, BlurPlan, plan_blur
from asled_cli.job.records import MatchedClips
from asled_cli.job.sampling import (
    ALL,
    Range,
    count_frames,
    count_sharpness_times,
    pairs_at,
    read_sampled_runs,
    reading_pairs,
)
from asled_cli.progress import Progress, Report
from asled_cli.registration.analyse import LOOKED_FOR, Analyse, register_clip
from asled_cli.registration.analyse import analyse as usual_analysis
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.runtime.stages import Stage, parallel_map, usable_cores
from asled_cli.sync.lens_order import moment_times, sample_pairs
from asled_cli.video.clock import Clock
from asled_cli.video.decode.pairing import pair_times
from asled_cli.video.decode.reader import frame_times
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


def judge_clips(
    match: MatchedClips,
    found: Registration,
    report: Report,
    wide_range: Range = ALL,
    *,
    measures: bool = True,
    runs: Sequence[Sequence[FramePair]] = (),
) -> BlurPlan:
    """Measure sharpness along the clip and plan where to deblur.

    wide_range: the part in which frames without a reference count. measures: whether sharpness matters.
    runs: pairs that `register_clips` has read, which need not be read again.
    """
    wide, ultra, clock = match.wide, match.ultra, match.timing.clock
    plan = DEBLUR_ALL
    if measures:
        count = count_sharpness_times(wide, ultra, clock)

        def reference_is_blended() -> bool:
            report(Progress("judge", count, count, "blended frames"))
            return has_blended_frames(ultra)

        with Stage(_moments(match, count, runs), 2, "moments") as moments:
            plan = plan_blur(
                moments,
                found,
                lambda done: report(Progress("judge", done, count, "sharpness")),
                blended=reference_is_blended,
            )
    return replace(plan, gaps=gaps_between(wide, ultra, clock, wide_range)) if found.accepted else plan


def _moments(match: MatchedClips, count: int, runs: Sequence[Sequence[FramePair]]) -> Iterator[FramePair]:
    """Yield pairs evenly spaced in the common time: of a clip that was read from end to end, those."""
    wide, ultra, clock = match.wide, match.ultra, match.timing.clock
    known = pairs_at(moment_times(wide, ultra, clock, count), runs)
    yield from known or sample_pairs(wide, ultra, clock, count)


def gaps_between(wide: Clip, ultra: Clip, clock: Clock, wide_range: Range = ALL) -> tuple[Gap, ...]:
    """Return where frames of the wide clip have no frame of the ultra clip, by the times in the files."""
    start, end = wide_range
    times = [t for t in frame_times(wide) if (start is None or t >= start) and (end is None or t < end)]
    partners = pair_times(times, frame_times(ultra), clock)
    return find_gaps([float(time) for time in times], [partner is not None for partner in partners])
