"""The analysis behind `asled probe`: the properties of one or two clips, and how they match."""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

from asled_cli.job.analysis import judge_clips, register_clips
from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import advice_for, check_shared_time, lens_prior, lost_second_views, match_clips
from asled_cli.job.records import MatchedClips
from asled_cli.job.tally import registration_info
from asled_cli.progress import Report, ignore
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.video.decode.reader import frame_times
from asled_cli.video.frames import Clip, FramePair, StereoInfo

_UNFIT = "The two views do not fit together: the reference would not be used, and nothing would be changed."
_IRREGULAR_SHARE = Fraction(1, 10)  # a frame whose interval is off the median by more counts as irregular


@dataclass(frozen=True)
class Inspection:
    """How a pair matches. sample: one short run of reduced pairs, for pictures of it."""

    match: MatchedClips
    registration: Registration
    blur_plan: BlurPlan
    sample: tuple[FramePair, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        match, timing = self.match, self.match.timing
        return {
            "wide": clip_info(match.wide),
            "ultra": clip_info(match.ultra),
            "swapped": match.order.swapped,
            "order_source": match.order.description,
            "offset_s": float(timing.clock.offset_s),
            "offset_source": timing.description,
            "offset_confidence": round(timing.confidence, 3),
            "clock_drift_ppm": round(timing.clock.drift_ppm, 1),
            "fov_ratio_prior": round(match.fov_ratio, 4),
            "fov_ratio_source": match.fov_source,
            "registration": registration_info(self.registration) | {"maps": len(self.registration.knots)},
            "sharpness": [
                {
                    "time_s": round(s.time_s, 3),
                    "wide_blur_px": round(s.whole.target_blur_px, 1),
                    "ultra_blur_px": round(s.whole.reference_blur_px, 1),
                    "ultra_advantage_db": round(s.whole.advantage_db, 2),
                    "ultra_advantage_in_part_db": round(s.part.advantage_db, 2),
                }
                for s in self.blur_plan.samples
            ],
            "plan": [segment.as_dict() for segment in self.blur_plan.segments],
            "gaps": [gap.as_dict() for gap in self.blur_plan.gaps],
            "notes": [
                *match.notes,
                *self.blur_plan.warnings(),
                *([] if self.registration.accepted else [_UNFIT]),
            ],
        }


def inspect_pair(config: DeblurConfig, report: Report = ignore) -> Inspection:
    """Match, register and judge two clips as a deblurring job would. Raises InputError as `match_clips`."""
    match = match_clips(config, report)
    wide, ultra, clock = match.wide, match.ultra, match.timing.clock
    notes = check_shared_time(wide, ultra, clock, wide.start_s, None, advice_for(config, "--offset"))
    if wide.view != ultra.view:
        notes += lost_second_views(wide)
    match = replace(match, notes=(*match.notes, *notes))
    found, runs = register_clips(wide, ultra, clock, lens_prior(match), report)
    blur_plan = judge_clips(match, found, report, runs=runs).filled_by(None)
    return Inspection(match, found, blur_plan, tuple(runs[len(runs) // 2]))


def align_sample(inspection: Inspection) -> list[AlignedFrame]:
    """Return the sample with its references warped onto its targets, at reduced size."""
    first = next(p for p in inspection.sample if p.reference is not None)
    assert first.reference is not None
    sizes = ((f.rgb.shape[1], f.rgb.shape[0]) for f in (first.target, first.reference))
    return list(render_references(inspection.sample, inspection.registration.resized(*sizes)))


def clip_info(clip: Clip) -> dict[str, Any]:
    """Return the properties of a clip as plain values."""
    times = frame_times(clip)
    gaps = [b - a for a, b in pairwise(times)]
    usual = median(gaps) if gaps else Fraction(0)
    irregular = sum(abs(gap - usual) > _IRREGULAR_SHARE * usual for gap in gaps)
    return {
        "path": str(clip.path),
        "track": clip.track,
        "codec": clip.codec,
        "size": f"{clip.width}x{clip.height}",
        "pix_fmt": clip.pix_fmt,
        "bit_depth": clip.bit_depth,
        "hdr": clip.is_hdr,
        "dolby_vision": clip.dolby_vision,
        "spatial": clip.spatial,
        "view": clip.view,
        "stereo": None if clip.stereo is None else stereo_info(clip.stereo),
        "rotation": clip.rotation,
        "frames": len(times),
        "fps": round(float(clip.average_rate), 3),
        "duration_s": round(float(times[-1] - times[0] + usual), 3) if times else 0.0,
        "irregular_share": round(irregular / len(gaps), 4) if gaps else 0.0,
        "audio": clip.has_audio,
        "lens": clip.lens_model,
        "focal_35mm": clip.focal_35mm,
        "interlaced": clip.interlaced,
        "warnings": list(clip.warnings),
    }


def stereo_info(stereo: StereoInfo) -> dict[str, Any]:
    """Return what a spatial clip says about its views as plain values."""
    return {
        "views": len(stereo.view_ids),
        "eyes": list(stereo.eyes),
        "baseline_mm": stereo.baseline_mm,
        "fov_deg": stereo.fov_deg,
        "disparity_shift": stereo.disparity_shift,
    }
