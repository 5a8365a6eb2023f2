"""The records of one deblur job: match, plan, result. Standard library only: the command line loads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asled_cli.job.config import FAST_PX, DeblurConfig
from asled_cli.job.show import expectation
from asled_cli.job.show.paths import compare_path, report_path
from asled_cli.progress import Progress

if TYPE_CHECKING:
    from asled_cli.deconvolution.exposure import ExposureFit
    from asled_cli.job.blur.gaps import Gap
    from asled_cli.job.blur.stretches import Interval
    from asled_cli.registration.estimate.sharpness import Sharpness
    from asled_cli.sync.lens_order import Order
    from asled_cli.sync.offset import Timing
    from asled_cli.video.clock import Clock
    from asled_cli.video.encode.encoder import Encoder
    from asled_cli.video.frames import Clip
    from asled_cli.video.preserve.verify import Check

# Of the ultra clip read before and after the wanted time: several frames at any rate.
SPARE_S = Fraction(1, 2)


@dataclass(frozen=True)
class MatchedClips:
    """The clips in their detected order. timing: its target is `wide`. notes: for the user."""

    wide: Clip
    ultra: Clip
    timing: Timing
    order: Order
    fov_ratio: float  # before refinement by registration
    fov_source: str
    notes: tuple[str, ...]
    exposures_s: tuple[float, float] | None = None  # of `wide` and `ultra`, seconds; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodChoice:
    """How the clip is restored: method, network, device and piece sizes."""

    method: Literal["network", "swap", "single"]
    reason: str
    model: str | None = None
    weights: Path | None = None
    device: str = "cpu"
    pictures: Literal["opencv", "torch"] = "opencv"  # what works on full pictures; torch does on `device`
    precision: str = "fp32"
    chunk: int = 1
    overlap: int = 0
    tile: int = 0  # pixels; 0: whole frames
    tiles_at_once: int = 1
    reference_radius: int = 0  # frames on either side over which the network is given the reference averaged
    removes: Literal["motion", "defocus"] = "motion"
    memory_bytes: int = 0

    @property
    def has_network(self) -> bool:
        """Whether a network runs, whose memory goes from frame to frame."""
        return self.weights is not None


@dataclass(frozen=True, kw_only=True)
class DeblurPlan:
    """A job with every choice made and checked; what `run_deblur` will do."""

    config: DeblurConfig
    wide: Clip
    match: MatchedClips | None = None  # how the ultra clip fits; None: the wide clip is deblurred alone
    exposure: ExposureFit | None = None  # of the wide clip by its own frames; None: not inverted, or not yet
    choice: MethodChoice
    choice_alone: MethodChoice  # where the ultra clip cannot help
    out: Path
    frames: int  # expected number of frames to write, from the header
    start_s: Fraction  # on the wide clip's clock
    end_s: Fraction | None  # None: to the end of the clip
    align_threads: int = 1  # threads that align frames, and as many that fuse them
    inversion_threads: int = 1  # threads that share the inversion of a frame
    memory_bytes: int  # estimate of the peak
    encoder: Encoder  # with all its options
    notes: tuple[str, ...] = ()  # what the user should know before it starts

    @property
    def wide_range(self) -> tuple[Fraction | None, Fraction | None]:
        """Times to read from the wide clip, start included, end excluded; None: no limit."""
        return (None if self.config.start_s is None else self.start_s), self.end_s

    @property
    def ultra(self) -> Clip | None:
        """The ultra clip; None: the wide clip is deblurred alone."""
        return None if self.match is None else self.match.ultra

    @property
    def pair(self) -> MatchedClips:
        """The match of a job with two clips."""
        assert self.match
        return self.match

    @property
    def compare(self) -> Path | None:
        """The compare clip to write beside the result."""
        return compare_path(self.config.compare, self.out)

    @property
    def report(self) -> Path | None:
        """The page to write at the end."""
        return report_path(self.config.report, self.out)

    @property
    def own_exposure(self) -> float:
        """The exposure of the wide clip by its own frames, frame intervals; 0: nothing can be inverted."""
        return 0.0 if self.exposure is None else self.exposure.exposure

    @property
    def inversion_px(self) -> int | None:
        """The longer side to which larger frames are reduced for their inversion; None: never."""
        return FAST_PX if self.config.fast else None

    @property
    def alone(self) -> DeblurPlan:
        """The plan of the wide clip without its pair, whose reference cannot help."""
        return replace(self, match=None, choice=self.choice_alone)

    @property
    def clips(self) -> dict[str, Clip]:
        """The clips that are read, by role."""
        return {"wide": self.wide} | ({} if self.ultra is None else {"ultra": self.ultra})

    @property
    def spreads(self) -> bool:
        """Whether several processes share the frames. With --exact one process keeps a network's memory."""
        return self.config.spreads and not (self.config.exact and self.choice.has_network)

    @property
    def has_seams(self) -> bool:
        """Whether a network's memory is rebuilt at some places, so that frames differ a little there."""
        return self.spreads and self.choice.has_network

    @property
    def changes_nothing(self) -> bool:
        """Whether one clip alone is left as it is, for what is known of its blur."""
        return self.choice.method == "single" and self.own_exposure <= 0

    @property
    def expectation(self) -> str:
        """What to expect of the wide clip's own frames, in a sentence; empty where they are not inverted."""
        if self.match is not None:
            return expectation.of_pair(self.exposure)
        if self.choice.method == "network":
            return expectation.of_network_alone(self.choice.removes)
        return expectation.of_one_clip(self.exposure, self.config.strength)

    @property
    def ultra_range(self) -> tuple[Fraction | None, Fraction | None]:
        """The same times on the ultra clip's clock, with SPARE_S around them for pairing by nearest time."""
        start, end = self.wide_range
        first = (
            None if start is None else max(self.pair.ultra.start_s, self.clock.to_reference(start) - SPARE_S)
        )
        return first, (None if end is None else self.clock.to_reference(end) + SPARE_S)

    @property
    def clock(self) -> Clock:
        """The map from the ultra clip's clock to the wide clip's."""
        return self.pair.timing.clock

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "wide": _clip_info(self.wide),
            "ultra": None if self.ultra is None else _clip_info(self.ultra),
            "out": str(self.out),
            "compare": None if self.compare is None else str(self.compare),
            "report": None if self.report is None else str(self.report),
            "frames": self.frames,
            "start_s": float(self.start_s),
            "end_s": None if self.end_s is None else float(self.end_s),
            **_match_info(self.match),
            **_exposure_info(self),
            **_choice_info(self.choice),
            "strength": self.config.strength,
            "fast": self.config.fast,
            "memory_bytes": self.memory_bytes,
            "encoder": self.encoder.name,
            "pix_fmt": self.encoder.pix_fmt,
            "encoder_options": dict(self.encoder.options),
            "notes": list(self.notes),
        }


Event = DeblurPlan | Progress
JobReport = Callable[[Event], None]  # the plan before the work starts, then Progress


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage of the pipeline did."""

    name: str
    frames: int
    busy_s: float  # seconds spent working, without waiting for neighbours

    @property
    def fps(self) -> float:
        """Frames per second of this stage if it never had to wait."""
        return self.frames / self.busy_s if self.busy_s > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class DeblurResult:
    """The result of a job."""

    plan: DeblurPlan
    out: Path | None  # None after a dry run
    first_time_s: Fraction = Fraction(0)  # time in the wide clip that the output shows at its time 0
    frames_written: int = 0
    frames_changed: int = 0
    frames_without_reference: int = 0
    segments: tuple[Interval, ...] = ()  # what was done when, where that was decided by looking
    gaps: tuple[Gap, ...] = ()  # where the wide clip's frames have no frame of the ultra clip for a while
    sharpness: tuple[Sharpness, ...] = ()  # of both views over time, what the segments follow from
    frames_unchanged: int = 0  # left alone because the wide clip is already sharp there
    copied: bool = False  # no frame was to change: the result holds the wide clip as it was encoded
    registration: Mapping[str, object] = field(default_factory=dict)  # what the analysis found
    stages: tuple[StageTime, ...] = ()
    analysis_s: float = 0.0
    wall_s: float = 0.0  # the whole job, without measuring against the truth
    problems: Mapping[str, int] = field(default_factory=dict)  # kind of problem -> how often
    dropped_tracks: tuple[str, ...] = ()  # tracks of the wide clip that the result lacks
    differences: Sequence[Check] = ()  # what else the result does not keep of the wide clip
    views: Sequence[DeblurResult] = ()  # of a spatial clip: the result of each view that was deblurred
    psnr_input_db: float | None = None  # against the truth, where one was given
    psnr_result_db: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "out": None if self.out is None else str(self.out),
            "frames_written": self.frames_written,
            "frames_changed": self.frames_changed,
            "frames_without_reference": self.frames_without_reference,
            "frames_unchanged": self.frames_unchanged,
            "copied": self.copied,
            "segments": [segment.as_dict() for segment in self.segments],
            "gaps": [gap.as_dict() for gap in self.gaps],
            "registration": dict(self.registration),
            **_exposure_info(self.plan),
            "stages": [
                {"name": s.name, "frames": s.frames, "busy_s": round(s.busy_s, 3), "fps": round(s.fps, 2)}
                for s in self.stages
            ],
            "analysis_s": round(self.analysis_s, 3),
            "wall_s": round(self.wall_s, 3),
            "problems": dict(self.problems),
            "dropped_tracks": list(self.dropped_tracks),
            "differences": [f"{c.name}: {c.found}, was {c.expected}" for c in self.differences],
            "views": [_view_result(view) for view in self.views],
            "psnr_input_db": self.psnr_input_db,
            "psnr_result_db": self.psnr_result_db,
        }


def _view_result(result: DeblurResult) -> dict[str, object]:
    return {
        "view": result.plan.wide.view,
        "method": result.plan.choice.method,
        "frames_written": result.frames_written,
        "frames_changed": result.frames_changed,
        "frames_unchanged": result.frames_unchanged,
        "copied": result.copied,
    }


def _exposure_info(plan: DeblurPlan) -> dict[str, object]:
    return {
        "exposure_frames": None if plan.exposure is None else round(plan.exposure.exposure, 3),
        "explained": None if plan.exposure is None else round(plan.exposure.explained, 3),
        "expectation": plan.expectation,
    }


def _match_info(match: MatchedClips | None) -> dict[str, object]:
    if match is None:
        return {}
    timing = match.timing
    return {
        "offset_s": float(timing.clock.offset_s),
        "offset_source": timing.description,
        "offset_confidence": round(timing.confidence, 3),
        "clock_drift_ppm": round(timing.clock.drift_ppm, 1),
        "swapped": match.order.swapped,
        "fov_ratio": match.fov_ratio,
        "fov_source": match.fov_source,
    }


def _choice_info(choice: MethodChoice) -> dict[str, object]:
    return {
        "method": choice.method,
        "method_reason": choice.reason,
        "model": choice.model,
        "weights": None if choice.weights is None else str(choice.weights),
        "device": choice.device,
        "precision": choice.precision,
        "chunk": choice.chunk,
        "overlap": choice.overlap,
        "tile": choice.tile,
        "reference_radius": choice.reference_radius,
    }


def _clip_info(clip: Clip) -> dict[str, object]:
    return {
        "path": str(clip.path),
        "view": clip.view if clip.views > 1 else None,
        "codec": clip.codec,
        "width": clip.width,
        "height": clip.height,
        "pix_fmt": clip.pix_fmt,
        "rotation": clip.rotation,
        "fps": float(clip.average_rate),
        "duration_s": None if clip.duration_s is None else float(clip.duration_s),
    }
