"""The records of one deblur job: request, plan, progress, result.

Standard library only, so that the command line can use them before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asled_cli.errors import UsageError
from asled_cli.progress import Progress
from asled_cli.runtime import option_limits as limits
from asled_cli.runtime.precision import Precision

if TYPE_CHECKING:
    from asled_cli.job.blur_plan import Interval
    from asled_cli.video.clock import Clock
    from asled_cli.video.encode.encoder import EncodeConfig, Encoder
    from asled_cli.video.frames import Clip
    from asled_cli.video.preserve.verify import Check

Method = Literal["auto", "network", "swap", "single"]
LensOrder = Literal["auto", "given"]
Target = Literal["wide", "ultra"]

_FOR_PAIRS = {
    "offset_s": "a second clip",
    "fov_ratio": "a second clip",
    "lens_order": "a second clip",
    "target": "a second clip",
    "skip_sharp": "a second clip",
    "model": "a network",
    "weights": "a network",
    "chunk": "a network",
    "overlap": "a network",
    "tile": "a network",
}
"""Options that mean nothing where one clip is deblurred alone, and what they concern."""

SPARE_S = Fraction(
    1, 2
)  # of the ultra clip read before and after the wanted time; several frames at any rate


@dataclass(frozen=True)
class DeblurConfig:
    """One deblur job as the user asks for it. None means: find a good value from the clips."""

    wide: Path  # the blurred clip, to be deblurred
    # The sharper clip of the same moment; the same file: its second video track. None: that track if there is
    # one, else the wide clip is deblurred alone.
    ultra: Path | None = None
    _: KW_ONLY
    out: Path | None = None  # file to write; None: beside `wide`, with _deblurred in its name
    method: Method = "auto"  # auto: network if its weights are found, else swap; one clip: single
    model: str | None = None  # name of a network in the zoo
    weights: Path | None = None  # a checkpoint instead of the published one
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    precision: Precision = "auto"
    lens_order: LensOrder = "auto"  # auto: detect which clip is the wide one; given: as named
    skip_sharp: bool = True  # leave frames that are sharp already as they were recorded
    target: Target = "wide"  # ultra: deblur the ultra-wide clip inside the wide field of view
    fov_ratio: float | None = None  # focal length of wide over ultra, as pictures: about 2
    offset_s: float | None = None  # seconds; ultra time = wide time - offset
    start_s: float | None = None  # seconds on the wide clip's clock; first frame at or after it
    end_s: float | None = None  # seconds on the wide clip's clock; last frame before it
    chunk: int | None = None  # frames restored at once
    overlap: int | None = None  # frames looked ahead past the end of a chunk
    tile: int | None = None  # side of a square tile in pixels; 0: whole frames
    strength: float = 1.0  # 0: change nothing ... 1: the full change
    encode: EncodeConfig | None = None  # how the result is encoded, and whether it may replace a file
    dry_run: bool = False  # stop after the plan
    truth: Path | None = None  # the sharp clip, where it is known, to measure PSNR against
    resume: bool = False  # continue unfinished work on the same output
    strict: bool = False  # refuse what could otherwise be done with a warning

    def __post_init__(self) -> None:
        limits.check_number("--strength", self.strength, 0, 1)
        limits.check_number("--fov-ratio", self.fov_ratio, *limits.FOV_RATIO_LIMITS, limits.FOV_RATIO_HINT)
        limits.check_time("--offset", self.offset_s)
        limits.check_range(self.start_s, self.end_s)
        limits.check_number("--chunk", self.chunk, 1, limits.MAX_FRAMES)
        limits.check_number("--overlap", self.overlap, 0, limits.MAX_FRAMES)
        limits.check_number("--tile", self.tile, 0, limits.MAX_SIDE)
        limits.check_number("--crf", None if self.encode is None else self.encode.crf, 0, limits.MAX_CRF)
        if self.method == "swap" and (self.weights is not None or self.model is not None):
            raise UsageError(
                "--method swap uses no network, but --model or --weights names one.", "Drop one of the two."
            )
        if self.method == "single":
            self.check_single()

    @property
    def clips(self) -> tuple[Path, ...]:
        """The files that are read, without the truth."""
        return (self.wide,) if self.method == "single" or self.ultra is None else (self.wide, self.ultra)

    def check_single(self) -> None:
        """Raise UsageError for an option that concerns a second clip or a network."""
        for field_ in fields(self):
            name, value = field_.name, getattr(self, field_.name)
            if name in _FOR_PAIRS and value != field_.default:
                option = ("--no-" if value is False else "--") + name.removesuffix("_s").replace("_", "-")
                kind = _FOR_PAIRS[name]
                raise UsageError(
                    f"{option} concerns {kind}, but one clip is deblurred alone (method single).",
                    f"Drop {option}"
                    + (", or name the ultra-wide clip as the second file." if self.ultra is None else "."),
                )


@dataclass(frozen=True, kw_only=True)
class DeblurPlan:
    """A job with every choice made and checked; what `run_deblur` will do."""

    config: DeblurConfig
    wide: Clip
    ultra: Clip | None = None  # None: the wide clip is deblurred alone
    out: Path
    frames: int  # expected number of frames to write, from the header
    start_s: Fraction  # on the wide clip's clock
    end_s: Fraction | None  # None: to the end of the clip
    offset_s: Fraction = Fraction(0)
    offset_source: str = ""  # where the offset comes from, for people
    clock_rate: Fraction = Fraction(1)  # seconds of the wide clip's clock per second of the ultra clip's
    offset_confidence: float = 1.0  # 0..1
    swapped: bool = False  # the clips were named in the other order
    fov_ratio: float = 1.0  # before refinement by registration
    fov_source: str = ""
    exposure: float = 0.0  # of one clip alone, frame intervals; 0: nothing can be inverted
    explained: float = 0.0  # share of its frames' differences that inversion with it explains, 0..1
    method: Literal["network", "swap", "single"]
    method_reason: str
    model: str | None
    weights: Path | None
    device: str
    precision: str
    chunk: int
    overlap: int
    tile: int  # pixels; 0: whole frames
    reference_radius: int = 0  # frames on either side over which the network is given the reference averaged
    align_threads: int = 1  # threads that align frames, and as many that fuse them
    memory_bytes: int  # estimate of the peak
    encoder: Encoder  # with all its options
    notes: tuple[str, ...] = ()  # what the user should know before it starts

    @property
    def wide_range(self) -> tuple[Fraction | None, Fraction | None]:
        """Times to read from the wide clip, start included, end excluded; None: no limit."""
        return (None if self.config.start_s is None else self.start_s), self.end_s

    @property
    def reference(self) -> Clip:
        """The ultra clip of a job with two clips."""
        assert self.ultra is not None
        return self.ultra

    @property
    def clips(self) -> dict[str, Clip]:
        """The clips that are read, by role."""
        return {"wide": self.wide} | ({} if self.ultra is None else {"ultra": self.ultra})

    @property
    def expectation(self) -> str:
        """What to expect of one clip alone, in a sentence; empty for a pair."""
        if self.ultra is not None:
            return ""
        if self.config.strength == 0:
            return "nothing will be changed: --strength is 0"
        if self.exposure <= 0:
            return (
                "nothing will be changed: its frames do not show the blur of a shaking camera "
                "(they are sharp, move steadily, or move in parts)"
            )
        return (
            "blur by camera shake is removed, objects that move by themselves and sharp frames stay "
            f"(explained: {self.explained:.0%} of how neighbouring frames differ)"
        )

    @property
    def ultra_range(self) -> tuple[Fraction | None, Fraction | None]:
        """The same times on the ultra clip's clock, with SPARE_S around them for pairing by nearest time."""
        start, end = self.wide_range
        first = (
            None if start is None else max(self.reference.start_s, self.clock.to_reference(start) - SPARE_S)
        )
        return first, (None if end is None else self.clock.to_reference(end) + SPARE_S)

    @property
    def clock(self) -> Clock:
        """The map from the ultra clip's clock to the wide clip's."""
        from asled_cli.video.clock import Clock

        return Clock(self.offset_s, self.clock_rate)

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "wide": _clip_info(self.wide),
            "ultra": None if self.ultra is None else _clip_info(self.ultra),
            "out": str(self.out),
            "frames": self.frames,
            "start_s": float(self.start_s),
            "end_s": None if self.end_s is None else float(self.end_s),
            "offset_s": float(self.offset_s),
            "offset_source": self.offset_source,
            "offset_confidence": round(self.offset_confidence, 3),
            "clock_drift_ppm": round(self.clock.drift_ppm, 1),
            "swapped": self.swapped,
            "fov_ratio": self.fov_ratio,
            "fov_source": self.fov_source,
            "exposure_frames": round(self.exposure, 3) if self.ultra is None else None,
            "explained": round(self.explained, 3) if self.ultra is None else None,
            "expectation": self.expectation,
            "method": self.method,
            "method_reason": self.method_reason,
            "model": self.model,
            "weights": None if self.weights is None else str(self.weights),
            "device": self.device,
            "precision": self.precision,
            "chunk": self.chunk,
            "overlap": self.overlap,
            "tile": self.tile,
            "reference_radius": self.reference_radius,
            "strength": self.config.strength,
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
    frames_unchanged: int = 0  # left alone because the wide clip is already sharp there
    copied: bool = False  # no frame was to change: the result holds the wide clip as it was encoded
    registration: Mapping[str, object] = field(default_factory=dict)  # what the analysis found
    stages: tuple[StageTime, ...] = ()
    analysis_s: float = 0.0
    wall_s: float = 0.0  # the whole job, without measuring against the truth
    problems: Mapping[str, int] = field(default_factory=dict)  # kind of problem -> how often
    dropped_tracks: tuple[str, ...] = ()  # tracks of the wide clip that the result lacks
    differences: Sequence[Check] = ()  # what else the result does not keep of the wide clip
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
            "registration": dict(self.registration),
            "stages": [
                {"name": s.name, "frames": s.frames, "busy_s": round(s.busy_s, 3), "fps": round(s.fps, 2)}
                for s in self.stages
            ],
            "analysis_s": round(self.analysis_s, 3),
            "wall_s": round(self.wall_s, 3),
            "problems": dict(self.problems),
            "dropped_tracks": list(self.dropped_tracks),
            "differences": [f"{c.name}: {c.found}, was {c.expected}" for c in self.differences],
            "psnr_input_db": self.psnr_input_db,
            "psnr_result_db": self.psnr_result_db,
        }


def _clip_info(clip: Clip) -> dict[str, object]:
    return {
        "path": str(clip.path),
        "codec": clip.codec,
        "width": clip.width,
        "height": clip.height,
        "pix_fmt": clip.pix_fmt,
        "rotation": clip.rotation,
        "fps": float(clip.average_rate),
        "duration_s": None if clip.duration_s is None else float(clip.duration_s),
    }
