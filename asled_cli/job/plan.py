"""From what the user asks for to a plan with every choice made: all checks that need no long work."""

from fractions import Fraction
from pathlib import Path

from asled_cli.errors import InputError, UsageError
from asled_cli.job.measure import check_truth
from asled_cli.job.method import choose_method
from asled_cli.job.records import DeblurConfig, DeblurPlan
from asled_cli.registration.lenses import COMMON_FOV_RATIO
from asled_cli.video.encode import EncodeConfig, choose_encoder
from asled_cli.video.frames import Clip
from asled_cli.video.probe import count_video_tracks, probe_clip
from asled_cli.video.sound import find_offset
from asled_cli.video.target import FORMATS, check_output

LEAST_SHARED_S = Fraction(1, 10)  # clips that share less than this in time are taken for two recordings
MEMORY_BASE = 700 * 2**20  # interpreter, torch and codecs, measured
FRAMES_IN_FLIGHT = 12  # frames in queues, alignment window and decoder threads, as 16-bit RGB and planes


def make_plan(config: DeblurConfig) -> DeblurPlan:
    """Probe both clips, check everything that can be checked at once, and make every choice.

    Raises InputError, UsageError or WeightsError with one sentence if the job cannot be done.
    """
    wide, ultra = _probe_both(config)
    _check_same_orientation(wide, ultra)
    if config.truth is not None:
        check_truth(config.truth, wide)
    out = _output_path(config, wide)
    offset, offset_source = _offset(config, wide, ultra)
    start, end = _window(config, wide)
    notes = [*wide.warnings, *ultra.warnings, *_check_shared_time(wide, ultra, offset, start, end)]
    fov_ratio, fov_source = _fov_ratio(config, wide, ultra)
    choice = choose_method(config, wide)
    return DeblurPlan(
        config=config,
        wide=wide,
        ultra=ultra,
        out=out,
        frames=_frame_count(wide, start, end),
        start_s=start,
        end_s=end,
        offset_s=offset,
        offset_source=offset_source,
        fov_ratio=fov_ratio,
        fov_source=fov_source,
        method=choice.method,
        method_reason=choice.reason,
        model=choice.model,
        weights=choice.weights,
        device=choice.device,
        precision=choice.precision,
        chunk=choice.chunk,
        overlap=choice.overlap,
        tile=choice.tile,
        memory_bytes=_memory(wide, ultra) + choice.memory_bytes,
        encoder=choose_encoder(wide, config.encode or EncodeConfig()),
        notes=tuple(notes),
    )


def _probe_both(config: DeblurConfig) -> tuple[Clip, Clip]:
    wide = probe_clip(config.wide)
    if not _same_file(config.wide, config.ultra):
        return wide, probe_clip(config.ultra)
    if count_video_tracks(config.wide) < 2:
        raise InputError(
            f"{config.wide} has one video track, expected two where no second clip is named.",
            "Name the ultra-wide clip as the second file.",
        )
    return wide, probe_clip(config.wide, track=1)


def _check_same_orientation(wide: Clip, ultra: Clip) -> None:
    if wide.rotation != ultra.rotation:
        raise InputError(
            f"{wide.path.name} is rotated by {wide.rotation} degrees, {ultra.path.name} by {ultra.rotation}, "
            "expected the same for both lenses of one phone.",
            "Are both from one recording, and neither edited? If so, set one clip's rotation to the other's.",
        )


def _output_path(config: DeblurConfig, wide: Clip) -> Path:
    """Where to write. Raises UsageError if the file must not or cannot be written there."""
    path = wide.path
    suffix = path.suffix if path.suffix.lower() in FORMATS else ".mp4"
    out = config.out or path.with_name(f"{path.stem}_deblurred{suffix}")
    inputs = [path for path in (config.wide, config.ultra, config.truth) if path is not None]
    check_output(out, inputs, config.encode is not None and config.encode.overwrite)
    return out


def _offset(config: DeblurConfig, wide: Clip, ultra: Clip) -> tuple[Fraction, str]:
    """Seconds that ultra started after wide: the first of option, sound, both started together."""
    if config.offset_s is not None:
        return Fraction(config.offset_s).limit_denominator(10**6), "given"
    if wide.path == ultra.path:
        return Fraction(0), "two tracks of one file"
    if not (wide.has_audio and ultra.has_audio):
        return Fraction(0), "taken to start together, since not both have sound"
    found = find_offset(wide, ultra)
    if found is None:
        return Fraction(0), "taken to start together, since their sound does not match"
    return found, "by their sound"


def _window(config: DeblurConfig, wide: Clip) -> tuple[Fraction, Fraction | None]:
    start = wide.start_s if config.start_s is None else Fraction(config.start_s)
    end = None if config.end_s is None else Fraction(config.end_s)
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


def _check_shared_time(
    wide: Clip, ultra: Clip, offset: Fraction, start: Fraction, end: Fraction | None
) -> list[str]:
    """Raise InputError if the clips share no time; else notes about parts of `wide` without a reference."""
    if wide.duration_s is None or ultra.duration_s is None:
        return []
    wide_end = wide.start_s + wide.duration_s
    end = wide_end if end is None else min(end, wide_end)
    ultra_start = ultra.start_s + offset  # on the wide clip's clock
    ultra_end = ultra_start + ultra.duration_s
    shared = min(end, ultra_end) - max(start, ultra_start)
    if shared < min(LEAST_SHARED_S, (end - start) / 2):
        raise InputError(
            f"{wide.path.name} ({float(start):.3f} to {float(end):.3f} s) and {ultra.path.name} "
            f"({float(ultra_start):.3f} to {float(ultra_end):.3f} s with the offset) share no time, "
            f"expected {float(LEAST_SHARED_S):g} s or more.",
            "Are both from one recording? If so, pass --offset.",
        )
    missing = (end - start) - shared
    if missing > LEAST_SHARED_S:
        return [
            f"{float(missing):.2f} s of {wide.path.name} lie outside {ultra.path.name}: no reference there."
        ]
    return []


def _fov_ratio(config: DeblurConfig, wide: Clip, ultra: Clip) -> tuple[float, str]:
    """Focal length of wide over ultra: the first of option, lens data in the files, common phones."""
    if config.fov_ratio is not None:
        return config.fov_ratio, "given"
    if wide.focal_35mm and ultra.focal_35mm and wide.focal_35mm > ultra.focal_35mm:
        words = f"{wide.focal_35mm:g} mm over {ultra.focal_35mm:g} mm"
        return wide.focal_35mm / ultra.focal_35mm, words
    return COMMON_FOV_RATIO, "as on most phones"


def _frame_count(wide: Clip, start: Fraction, end: Fraction | None) -> int:
    if wide.duration_s is None or wide.duration_s <= 0:
        return wide.frame_estimate
    whole = wide.start_s + wide.duration_s
    part = min(end or whole, whole) - max(start, wide.start_s)
    return max(1, round(wide.frame_estimate * part / wide.duration_s))


def _memory(wide: Clip, ultra: Clip) -> int:
    per_frame = (
        wide.width * wide.height + ultra.width * ultra.height
    ) * 9  # 3 x 16 bit RGB + 1.5 x 16 bit planes
    return MEMORY_BASE + FRAMES_IN_FLIGHT * per_frame


def _same_file(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and first.samefile(second)
