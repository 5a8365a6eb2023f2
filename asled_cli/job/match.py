"""Match two files: which clip is the wide one, and how their clocks and views relate."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import MatchedClips
from asled_cli.progress import Report, ignore
from asled_cli.registration.geometry.canvas import check_large_enough
from asled_cli.registration.geometry.lenses import COMMON_FOV_RATIO, LensPrior, RectifiedViews
from asled_cli.runtime.option_limits import FOV_RATIO_LIMITS
from asled_cli.sync.lens_order import NAMED, Order, find_order
from asled_cli.sync.offset import Timing, find_timing
from asled_cli.sync.orientation import check_orientation, turned_to
from asled_cli.video.clock import Clock
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import count_second_views, frame_times
from asled_cli.video.decode.video_tracks import count_video_tracks, count_views, has_depth_map
from asled_cli.video.frames import Clip

COMMON = "as on most phones"
TWO_VIEWS = "two views of one scale"
MIN_SHARED_S = Fraction(1, 10)  # clips that share less than this in time are taken for two recordings


def match_clips(
    config: DeblurConfig, report: Report = ignore, clips: tuple[Clip, Clip] | None = None
) -> MatchedClips:
    """Probe both clips and find out how they match.

    clips: by `probe_both`, where that was done already.
    Raises InputError if one cannot be used, or if they are not of one recording.
    """
    wide, ultra = clips or probe_both(config.wide, config.ultra or config.wide, config.view)
    check_orientation(wide, ultra)
    wide, ultra = turned_to(wide, ultra)
    timing = find_timing(
        wide, ultra, _guess_ratio(config, wide, ultra), offset_s=config.offset_s, report=report
    )
    two_views = wide.view != ultra.view
    given = config.lens_order == "given" or two_views
    order = NAMED if given else find_order(wide, ultra, timing.clock, timing.places)
    notes: list[str] = []
    if order.swapped:
        notes.append(_swap_note(wide, ultra, order))
        wide, ultra = turned_to(ultra, wide)
        timing = Timing(timing.clock.inverse(), timing.found_by, timing.confidence, timing.description)
    fov_ratio, fov_source = _fov_ratio(config, wide, ultra)
    if order.fov_ratio is not None and fov_source == COMMON:
        fov_ratio, fov_source = order.fov_ratio, "from the pictures"
    notes += [*wide.warnings, *([] if two_views else ultra.warnings)]
    if not two_views:
        notes += [_second_view_note(clip) for clip in (wide, ultra) if clip.views > 1]
    exposures = None
    if config.exposure_s is not None and config.ultra_exposure_s is not None:
        exposures = config.exposure_s, config.ultra_exposure_s
        exposures = exposures[::-1] if order.swapped else exposures
    return MatchedClips(wide, ultra, timing, order, fov_ratio, fov_source, tuple(notes), exposures)


def lens_prior(found: MatchedClips) -> LensPrior:
    """Return what is known about the two lenses before the pictures are compared."""
    stereo = found.wide.stereo
    if found.fov_source != TWO_VIEWS or stereo is None:
        return LensPrior(found.fov_ratio, source=found.fov_source, exposures_s=found.exposures_s)
    return LensPrior(1.0, tolerance=0.0, source=TWO_VIEWS, rectified=RectifiedViews.of(stereo))


def probe_both(first: Path, second: Path, view: int | None = None) -> tuple[Clip, Clip]:
    """Probe two files, or the first two video tracks of one, or the two views of a spatial clip.

    view: of a spatial clip, the one to return first; None: its main one.
    Raises InputError as `probe_clip`, and for clips that cannot be compared: tiny frames, or a single one.
    """
    wide, ultra = _probe_two(first, second, view or 0)
    for clip in (wide, ultra):
        check_comparable(clip)
    return wide, ultra


def check_comparable(clip: Clip) -> None:
    """Raise InputError for a clip whose frames cannot be compared: tiny ones, or a single one."""
    check_large_enough(clip.path.name, (clip.width, clip.height))
    if clip.frame_estimate < 2 and len(frame_times(clip)) < 2:
        raise InputError(
            f"{clip.path.name} has a single frame, expected two or more: motion cannot be measured.",
            "Name a longer part of the recording.",
        )


def lost_second_views(clip: Clip) -> list[str]:
    """Return a sentence if some frames of a spatial clip come without their second view."""
    frames, second = count_second_views(clip)
    if second == frames:
        return []
    return [
        f"{clip.path.name}: the second view is missing in {frames - second} of {frames} frames, where "
        "the main view is deblurred without it."
    ]


def is_single(config: DeblurConfig) -> bool:
    """Return whether one clip is to be deblurred alone: as asked, or because there is no second one."""
    if config.method != "auto" or config.ultra is not None:
        return config.method == "single"
    return count_views(config.wide) < 2


def _probe_two(first: Path, second: Path, view: int) -> tuple[Clip, Clip]:
    wide = probe_clip(first)
    if not _same_file(first, second):
        return wide, probe_clip(second)
    if wide.views > 1:
        return replace(wide, view=view), replace(wide, view=1 - view)
    if wide.spatial:
        raise InputError(
            f"The second view of {first.name} is missing or cannot be decoded, expected two views (MV-HEVC).",
            "Name the ultra-wide clip as the second file, or use --method single.",
        )
    if count_video_tracks(first) < 2 and has_depth_map(first):
        raise InputError(
            f"The second video track of {first} is a depth map (as of a Cinematic clip) or a small preview, "
            "expected the view of the ultra-wide lens.",
            "Name the ultra-wide clip as the second file.",
        )
    if count_video_tracks(first) < 2:
        raise InputError(
            f"{first} has one video track, expected two where no second clip is named.",
            "Name the ultra-wide clip as the second file, or use --method single.",
        )
    return wide, probe_clip(first, track=1)


def advice_for(config: DeblurConfig, *names: str) -> str:
    """Return advice for clips that do not fit. names: options that may help; given ones are skipped."""
    given = {"--offset": config.offset_s, "--fov-ratio": config.fov_ratio}
    names = names or tuple(given)
    missing = [name for name in names if given[name] is None]
    if missing:
        return f"Are both from one recording? If so, pass {' or '.join(missing)}."
    return f"Are both from one recording, and {' and '.join(names)} right?"


def check_shared_time(
    wide: Clip, ultra: Clip, clock: Clock, start: Fraction, end: Fraction | None, advice: str
) -> list[str]:
    """Raise InputError with `advice` if the clips share no time; else notes on parts without a reference."""
    if wide.duration_s is None or ultra.duration_s is None:
        return []
    wide_end = wide.start_s + wide.duration_s
    end = wide_end if end is None else min(end, wide_end)
    ultra_start = clock.to_target(ultra.start_s)
    ultra_end = clock.to_target(ultra.start_s + ultra.duration_s)
    shared = min(end, ultra_end) - max(start, ultra_start)
    if shared < min(MIN_SHARED_S, (end - start) / 2):
        raise InputError(
            f"{wide.path.name} ({float(start):.3f} to {float(end):.3f} s) and {ultra.path.name} "
            f"({float(ultra_start):.3f} to {float(ultra_end):.3f} s with the offset) share no time, "
            f"expected {float(MIN_SHARED_S):g} s or more.",
            advice,
        )
    missing = (end - start) - shared
    if missing > MIN_SHARED_S:
        return [
            f"{float(missing):.2f} s of {wide.path.name} lie outside {ultra.path.name}: no reference there."
        ]
    return []


def _swap_note(wide: Clip, ultra: Clip, order: Order) -> str:
    if wide.path == ultra.path:
        return f"The first video track of {wide.path.name} is the ultra-wide one ({order.description})."
    return (
        f"{wide.path.name} is the ultra-wide clip and {ultra.path.name} the wide one ({order.description}): "
        "they were named the other way round, and are used in their true places."
    )


def _second_view_note(clip: Clip) -> str:
    return (
        f"{clip.path.name} is spatial video (MV-HEVC): only its main view is used beside another clip. "
        "Alone, it is deblurred with its own second view."
    )


def _guess_ratio(config: DeblurConfig, wide: Clip, ultra: Clip) -> float:
    """Return the field-of-view ratio while the order of the clips is still unknown."""
    ratio, _ = _fov_ratio(config, wide, ultra)
    turned, _ = _fov_ratio(config, ultra, wide)
    return ratio if ratio != COMMON_FOV_RATIO else turned


def _fov_ratio(config: DeblurConfig, wide: Clip, ultra: Clip) -> tuple[float, str]:
    """Return the focal length of wide over ultra: from the option, else lens data, else common phones."""
    if config.fov_ratio is not None:
        return config.fov_ratio, "given"
    if wide.view != ultra.view:
        return 1.0, TWO_VIEWS
    if wide.focal_35mm and ultra.focal_35mm and wide.focal_35mm > ultra.focal_35mm:
        lenses = f"{wide.focal_35mm:g} mm over {ultra.focal_35mm:g} mm"
        ratio, most = wide.focal_35mm / ultra.focal_35mm, FOV_RATIO_LIMITS[1]
        if ratio > most:
            raise InputError(
                f"The lenses that the files name have a view ratio of {ratio:.2f} ({lenses}), expected up to "
                f"{most:g}.",
                "Are both clips of one moment? If so, pass --fov-ratio.",
            )
        return ratio, lenses
    return COMMON_FOV_RATIO, COMMON


def _same_file(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and first.samefile(second)
