"""Turn a request into a plan with every choice made and every quick check done."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from asled_cli.deconvolution.blended import blended_lens
from asled_cli.deconvolution.clip_file import measure_exposure
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.errors import AsledError, InputError, UsageError
from asled_cli.imaging.threads import opencv_threads
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import (
    advice_for,
    check_comparable,
    check_shared_time,
    is_single,
    match_clips,
    probe_both,
)
from asled_cli.job.method import (
    QUEUED_BYTES,
    FrameSize,
    choose_alone,
    choose_method,
    restores_alone,
)
from asled_cli.job.records import DeblurPlan, DeblurResult, MatchedClips
from asled_cli.job.sampling import RUN_LENGTH, RUNS, SHORT_CLIP, count_frames
from asled_cli.job.show.paths import check_distinct, check_report, compare_path, report_path
from asled_cli.job.target import retarget_to_ultra
from asled_cli.metrics.clip_psnr import check_truth
from asled_cli.progress import Progress, Report, ignore
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.restoration import one_clip, own_frames
from asled_cli.runtime.stages import usable_cores
from asled_cli.video.clock import exact_seconds
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.encoder import EncodeConfig, choose_encoder
from asled_cli.video.frames import Clip
from asled_cli.video.output_file import check_output, default_output, work_folder

MEMORY_BASE = 700 * 2**20  # interpreter, torch and codecs, measured
ANALYSIS_BYTES = 72  # per pixel of a frame that the analysis reads, measured
FRAMES_IN_FLIGHT = 12  # frames in queues, alignment window and decoder threads, as 16-bit RGB and planes
MAX_ALIGN_THREADS = 4  # threads that align frames, and as many that fuse them; more did not help
MAX_INVERSION_THREADS = 4  # threads that share a frame; rows of tiles are few
THREADS_AT_1080P = 8  # larger frames get fewer, for the same memory


def make_plan(config: DeblurConfig, report: Report = ignore) -> DeblurPlan:
    """Probe both clips, match their clocks and views, check everything, and make every choice.

    Raises InputError, UsageError or WeightsError with one sentence if the job cannot be done.
    """
    if config.ultra is None and config.view is None and restores_alone(config):
        return _plan_single(config, report, network=True)
    if is_single(config):
        return _plan_single(config, report)
    found = match_clips(config, report, _check_options(config))
    if config.target == "ultra":
        found = retarget_to_ultra(found)
    if found.order.swapped and config.ultra is not None:
        config = replace(
            config,
            wide=config.ultra,
            ultra=config.wide,
            offset_s=None if config.offset_s is None else -config.offset_s,
            exposure_s=config.ultra_exposure_s,
            ultra_exposure_s=config.exposure_s,
        )
    return _complete_plan(config, found, report)


def _complete_plan(config: DeblurConfig, found: MatchedClips, report: Report) -> DeblurPlan:
    """Check the job against its matched clips and make every choice that is left."""
    wide, ultra, clock = found.wide, found.ultra, found.timing.clock
    if config.truth is not None:
        check_truth(config.truth, wide)
    out = _output_path(config, wide)
    start, end = _window(config, wide)
    advice = advice_for(config, "--offset")
    notes = [*found.notes, *check_shared_time(wide, ultra, clock, start, end, advice)]
    choice = choose_method(config, FrameSize(*wide.seen_size))
    align_threads = choose_align_threads(choice.method, choice.device, wide)
    frames = count_frames(wide, start, end)
    return DeblurPlan(
        config=config,
        wide=wide,
        match=found,
        choice=choice,
        choice_alone=choose_alone(config, FrameSize(*wide.seen_size), "the ultra clip cannot help"),
        out=out,
        frames=frames,
        start_s=start,
        end_s=end,
        align_threads=align_threads,
        inversion_threads=inversion_threads(),
        memory_bytes=max(
            _memory(wide, ultra) + _memory_of_alignment(align_threads, wide) + choice.memory_bytes,
            memory_of_analysis(wide, frames),
        ),
        encoder=choose_encoder(wide, config.encode or EncodeConfig()),
        notes=tuple(notes),
    )


def _plan_single(config: DeblurConfig, report: Report, *, network: bool = False) -> DeblurPlan:
    """Check the job on one clip, and measure the blur of the clip. network: the one that is named."""
    config.check_single(network=network)
    wide = probe_clip(config.wide)
    if config.view is not None and wide.views > 1:
        wide = replace(wide, view=config.view)
    check_comparable(wide)
    if config.truth is not None:
        check_truth(config.truth, wide)
    out = _output_path(config, wide)
    start, end = _window(config, wide)
    encoder = choose_encoder(wide, config.encode or EncodeConfig())
    size = FrameSize(*wide.seen_size)
    if network:
        choice = replace(choose_method(config, size), reason="as asked, one clip alone")
    else:
        choice = choose_alone(config, size, "one clip; blur measured from its own frames")
    inversion = 0 if network else one_clip.BYTES_PER_PIXEL * wide.width * wide.height
    exposure = measure_own_exposure(config, wide, report) if choice.removes == "motion" else None
    if exposure is not None and exposure.blended and not network:
        inversion += blended_lens.memory_bytes(wide.width, wide.height)
    return DeblurPlan(
        config=config,
        wide=wide,
        exposure=exposure,
        choice=choice,
        choice_alone=choice,
        out=out,
        frames=count_frames(wide, start, end),
        start_s=start,
        end_s=end,
        inversion_threads=inversion_threads(),
        memory_bytes=MEMORY_BASE + inversion + choice.memory_bytes,
        encoder=encoder,
        notes=tuple(wide.warnings),
    )


def with_own_exposure(plan: DeblurPlan, exposure: ExposureFit) -> DeblurPlan:
    """Return the plan of a pair whose wide clip is inverted too, with this exposure of its own frames."""
    pixels = plan.wide.width * plan.wide.height if exposure.exposure > 0 else 0
    used = plan.memory_bytes + own_frames.BYTES_PER_PIXEL * pixels
    if exposure.blended:
        used += blended_lens.memory_bytes(plan.wide.width, plan.wide.height)
    return replace(plan, exposure=exposure, memory_bytes=used)


def inversion_threads() -> int:
    """Return the number of threads that share a frame of one clip alone."""
    return min(MAX_INVERSION_THREADS, usable_cores())


def measure_own_exposure(config: DeblurConfig, wide: Clip, report: Report) -> ExposureFit:
    """Return the exposure of one clip; 0 where its change would not be applied anyway."""
    if config.strength == 0:
        return ExposureFit(0.0, 0.0)
    start, end = (None if at is None else exact_seconds(at) for at in (config.start_s, config.end_s))
    report(Progress("measure exposure", 0, 1))
    with opencv_threads(1):
        found = measure_exposure(wide, start, end)
    report(Progress("measure exposure", 1, 1))
    return found


def _check_options(config: DeblurConfig) -> tuple[Clip, Clip]:
    """Check the options against the clips, in the order named, before anything long begins; return them."""
    wide, ultra = probe_both(config.wide, config.ultra or config.wide, config.view)
    if config.truth is not None:
        # The detected order may differ, and the truth belongs to the clip to be deblurred.
        _check_truth_of(config.truth, (wide, ultra) if config.target != "ultra" else (ultra, wide))
    _output_path(config, wide)
    _window(config, wide)
    choose_encoder(wide, config.encode or EncodeConfig())
    choose_method(config, wide)
    return wide, ultra


def _check_truth_of(truth: Path, clips: Sequence[Clip]) -> None:
    """Raise InputError unless the truth fits one of the clips; the first one's reason counts."""
    for clip in clips[1:]:
        try:
            check_truth(truth, clip)
            return
        except InputError:
            continue
    check_truth(truth, clips[0])


def _output_path(config: DeblurConfig, wide: Clip) -> Path:
    """Return the path to write. Raises UsageError if it must not or cannot be written."""
    out = config.out or default_output(wide.path)
    inputs = [path for path in (config.wide, config.ultra, config.truth) if path is not None]
    # A run that is resumed may have been cut off after it had published its result.
    overwrite = (config.encode is not None and config.encode.overwrite) or (
        config.resume and work_folder(out).is_dir()
    )
    check_output(out, inputs, overwrite)
    _check_views(config, out, inputs, overwrite)
    return out


def _check_views(config: DeblurConfig, out: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Raise UsageError if the compare clip or the report must not or cannot be written."""
    compare = compare_path(config.compare, out)
    if compare is not None:
        check_distinct("--compare", compare, [out, *inputs])
        check_output(compare, inputs, overwrite)
    others = [out, *inputs, *([] if compare is None else [compare])]
    check_report(report_path(config.report, out), others, overwrite=overwrite)


def _window(config: DeblurConfig, wide: Clip) -> tuple[Fraction, Fraction | None]:
    start = wide.start_s if config.start_s is None else exact_seconds(config.start_s)
    end = None if config.end_s is None else exact_seconds(config.end_s)
    if start < min(wide.start_s, Fraction(0)):
        raise UsageError(
            f"--start is {float(start):g} s, but {wide.path.name} starts at {float(wide.start_s):.3f} s."
        )
    last = None if wide.duration_s is None else wide.start_s + wide.duration_s
    if last is not None and start >= last:
        raise UsageError(
            f"--start is {float(start):g} s, but {wide.path.name} ends at {float(last):.3f} s.",
        )
    if end is not None and end <= wide.start_s:
        raise UsageError(
            f"--end is {float(end):g} s, but {wide.path.name} starts at {float(wide.start_s):.3f} s."
        )
    return start, end


def _memory(wide: Clip, ultra: Clip) -> int:
    per_frame = (
        wide.width * wide.height + ultra.width * ultra.height
    ) * 9  # 3 x 16 bit RGB + 1.5 x 16 bit planes
    return MEMORY_BASE + FRAMES_IN_FLIGHT * per_frame


def memory_of_analysis(wide: Clip, frames: int) -> int:
    """Return the bytes of the analysis: its frames at reduced size and their flow to six neighbours."""
    size = (wide.width, wide.height)
    width, height = Canvas(size, size, np.eye(3)).canvas_size
    looked_at = frames if frames <= SHORT_CLIP else RUNS * RUN_LENGTH
    return MEMORY_BASE + looked_at * width * height * ANALYSIS_BYTES


def choose_align_threads(method: str, device: str, wide: Clip) -> int:
    """Return the number of alignment threads of each step; few where the network needs the cores too."""
    beside_network = method == "network" and device == "cpu"
    most, at_1080p = (2, 1) if beside_network else (MAX_ALIGN_THREADS, THREADS_AT_1080P)
    room = at_1080p * 1920 * 1080 // (wide.width * wide.height)
    return max(1, min(most, usable_cores(), room))


def _memory_of_alignment(align_threads: int, wide: Clip) -> int:
    """Return the bytes of two stages, each with one registered frame more than alignment threads."""
    frames = 0 if align_threads == 1 else 2 * (align_threads + 1)
    return frames * QUEUED_BYTES * wide.width * wide.height


def refuse_if_strict(plan: DeblurPlan, warnings: Sequence[str]) -> None:
    """Raise InputError for the first of `warnings` if the job is to be strict."""
    if plan.config.strict and warnings:
        raise InputError(f"{warnings[0].rstrip('.')}.", "Without --strict this would be a warning.")


def refuse_plan_if_strict(plan: DeblurPlan, dropped: Sequence[str]) -> None:
    """Raise InputError for the first note or lost track of a strict job. dropped: what the result lacks."""
    refuse_if_strict(plan, [*plan.notes, *(f"{lost} would be left out" for lost in dropped)])


def report_if_strict(result: DeblurResult) -> None:
    """Raise AsledError if the file of a strict job differs from what was asked; the file is kept."""
    found = [f"{name}: {count}" for name, count in result.problems.items()]
    found += [f"{lost} is left out" for lost in result.dropped_tracks]
    found += [f"{c.name} is {c.found}, was {c.expected}" for c in result.differences]
    if result.plan.config.strict and found:
        raise AsledError(
            f"{result.out} is complete, but --strict does not accept it: {'; '.join(found)}.",
            "The file is kept. Check it before you use it.",
        )
