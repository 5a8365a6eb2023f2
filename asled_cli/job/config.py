"""The request of one deblur job.

Standard library only, so that the command line can use it before anything heavy is loaded.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asled_cli.errors import UsageError
from asled_cli.runtime import option_limits as limits
from asled_cli.runtime.precision import Precision

if TYPE_CHECKING:
    from asled_cli.video.encode.encoder import EncodeConfig

Method = Literal["auto", "network", "swap", "single"]
LensOrder = Literal["auto", "given"]
Target = Literal["auto", "wide", "ultra", "both"]
OutputViews = Literal["auto", "both", "wide", "ultra"]
CompareLayout = Literal["side", "line"]

FAST_PX = 960  # longer side of the frames that are inverted with --fast

_FOR_PAIRS = {
    "offset_s": "a second clip",
    "fov_ratio": "a second clip",
    "exposure_s": "a second clip",
    "ultra_exposure_s": "a second clip",
    "lens_order": "a second clip",
    "target": "a second clip",
    "skip_sharp": "a second clip",
    "model": "a network",
    "weights": "a network",
    "chunk": "a network",
    "overlap": "a network",
    "tile": "a network",
    "adapt": "a network",
}
"""Options that mean nothing where one clip is deblurred alone, and what they concern."""


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
    fast: bool = False  # a first look: no network, and own frames inverted at a smaller size
    model: str | None = None  # name of a network in the zoo
    weights: Path | None = None  # a checkpoint instead of the published one
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    precision: Precision = "auto"
    lens_order: LensOrder = "auto"  # auto: detect which clip is the wide one; given: as named
    skip_sharp: bool = True  # leave frames that are sharp already as they were recorded
    # ultra: deblur the ultra-wide clip inside the wide field of view. auto: both views of a spatial clip,
    # else the wide clip.
    target: Target = "auto"
    output_views: OutputViews = "auto"  # of a spatial clip; auto: both
    view: int | None = None  # of a spatial clip: the view that this job deblurs, 0 or 1; None: the main one
    part_of_two: bool = (
        False  # the result will be joined with the other view, and is not written if unchanged
    )
    fov_ratio: float | None = None  # focal length of wide over ultra, as pictures: about 2
    offset_s: float | None = None  # seconds; ultra time = wide time - offset
    exposure_s: float | None = None  # of the wide clip's frames, seconds; with ultra_exposure_s
    ultra_exposure_s: float | None = None
    start_s: float | None = None  # seconds on the wide clip's clock; first frame at or after it
    end_s: float | None = None  # seconds on the wide clip's clock; last frame before it
    chunk: int | None = None  # frames restored at once
    overlap: int | None = None  # frames looked ahead past the end of a chunk
    tile: int | None = None  # side of a square tile in pixels; 0: whole frames
    strength: float = 1.0  # 0: change nothing ... 1: the full change
    adapt: int = 0  # epochs in which the network's codebook is tuned to the clip's own reference frames
    encode: EncodeConfig | None = None  # how the result is encoded, and whether it may replace a file
    dry_run: bool = False  # stop after the plan
    truth: Path | None = None  # the sharp clip, where it is known, to measure PSNR against
    resume: bool = False  # continue unfinished work on the same output
    workers: int = 1  # processes that share the frames of the clip
    ray: str | None = None  # address of a Ray cluster whose workers share them
    exact: bool = False  # with workers: the very frames that one process gives
    strict: bool = False  # refuse what could otherwise be done with a warning
    compare: Path | None = None  # clip that shows source and result; Path("auto"): named after the output
    compare_layout: CompareLayout = "side"  # side: beside each other; line: divided by a moving line
    report: Path | None = None  # page about the job; Path("auto"): named after the output

    def __post_init__(self) -> None:
        limits.check_number("--strength", self.strength, 0, 1)
        limits.check_number("--fov-ratio", self.fov_ratio, *limits.FOV_RATIO_LIMITS, limits.FOV_RATIO_HINT)
        limits.check_time("--offset", self.offset_s)
        self._check_exposures()
        limits.check_range(self.start_s, self.end_s)
        limits.check_number("--chunk", self.chunk, 1, limits.MAX_FRAMES)
        limits.check_number("--overlap", self.overlap, 0, limits.MAX_FRAMES)
        limits.check_number("--tile", self.tile, 0, limits.MAX_SIDE)
        limits.check_number("--workers", self.workers, 1, limits.MAX_JOBS)
        limits.check_number("--adapt", self.adapt, 0, limits.MAX_EPOCHS)
        self._check_workers()
        limits.check_number("--crf", None if self.encode is None else self.encode.crf, 0, limits.MAX_CRF)
        if self.method == "swap" and (self.weights is not None or self.model is not None):
            raise UsageError(
                "--method swap uses no network, but --model or --weights names one.", "Drop one of the two."
            )
        if self.fast and self.asks_for_network:
            raise UsageError("--fast uses no network, but one is asked for.", "Drop --fast, or the network.")
        if self.method == "single":
            self.check_single()

    @property
    def clips(self) -> tuple[Path, ...]:
        """The files that are read, without the truth."""
        return (self.wide,) if self.method == "single" or self.ultra is None else (self.wide, self.ultra)

    def _check_exposures(self) -> None:
        limits.check_number("--exposure", self.exposure_s, *limits.EXPOSURE_LIMITS)
        limits.check_number("--ultra-exposure", self.ultra_exposure_s, *limits.EXPOSURE_LIMITS)
        if (self.exposure_s is None) != (self.ultra_exposure_s is None):
            raise UsageError("--exposure and --ultra-exposure belong together.", "Pass both, or none.")

    def _check_workers(self) -> None:
        if self.spreads and (self.compare is not None or self.report is not None):
            raise UsageError(
                "--compare and --report look at every frame, which workers make in other processes.",
                "Drop --workers, --ray and --device cuda:all, or drop --compare and --report.",
            )

    @property
    def spreads(self) -> bool:
        """Whether several processes are to share the frames."""
        return self.workers > 1 or self.ray is not None or self.device == "cuda:all"

    @property
    def asks_for_network(self) -> bool:
        """Whether a network is named, by method, name or file."""
        return self.method == "network" or self.model is not None or self.weights is not None

    def check_single(self, *, network: bool = False) -> None:
        """Raise UsageError for an option that concerns a second clip, or a network unless one is used."""
        for field_ in fields(self):
            name, value = field_.name, getattr(self, field_.name)
            if network and _FOR_PAIRS.get(name) == "a network":
                continue
            if name in _FOR_PAIRS and value != field_.default:
                option = ("--no-" if value is False else "--") + name.removesuffix("_s").replace("_", "-")
                kind = _FOR_PAIRS[name]
                raise UsageError(
                    f"{option} concerns {kind}, but one clip is deblurred alone (method single).",
                    f"Drop {option}"
                    + (", or name the ultra-wide clip as the second file." if self.ultra is None else "."),
                )
