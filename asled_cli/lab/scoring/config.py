"""Settings of `asled eval`: what is scored, and how. Standard library only."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, get_args

from asled_cli.errors import UsageError
from asled_cli.runtime import option_limits as limits
from asled_cli.runtime.precision import Precision
from asled_cli.runtime.stages import usable_cores

Dataset = Literal["synthetic", "realmcvsr", "generic", "hsd", "gopro", "dvd", "bsd"]
Alignment = Literal["registered", "centre-crop"]
Protocol = Literal["basicsr", "refvsr", "nafnet", "asled-paper", "shift-aligned"]
Metric = Literal[
    "psnr", "ssim", "tgrad", "warp", "tof", "lpips-alex", "lpips-vgg", "rings", "sharpness", "niqe",
    "brisque", "semi", "flip", "cvvdp",
]  # fmt: skip

METRICS: tuple[Metric, ...] = get_args(Metric)
USUAL_METRICS: tuple[Metric, ...] = ("psnr", "ssim", "tgrad", "warp", "tof", "sharpness")
PAPER_METRICS: tuple[Metric, ...] = ("psnr", "ssim", "lpips-alex")
WITHOUT_TRUTH: frozenset[Metric] = frozenset({"sharpness", "niqe", "brisque", "semi"})
USUAL_METHODS = ("input", "swap", "asled-fast")
ALL_SETS = "all"
"""Split of `synthetic` that stands for the sets of the table of all networks."""
_SETS = ("valid", "test", "strong", "equal", "single", "stereo", "phone", "defocus")
SPLITS = {"synthetic": (*_SETS, *(f"{name}-uncompressed" for name in _SETS), ALL_SETS)}
USUAL_SPLIT = {"synthetic": "valid"}


@dataclass(frozen=True)
class EvalConfig:
    """Settings of one run of `asled eval`."""

    dataset: Dataset | None = None
    """Layout of `root`; None: only `pairs`."""
    root: Path | None = None
    """Top folder of the data set; for `synthetic` the folder of sharp photos and videos."""
    _: KW_ONLY
    pairs: tuple[str, ...] = ()
    """RESULT:TRUTH, or RESULT alone without a truth; files or folders of images."""
    methods: tuple[str, ...] = USUAL_METHODS
    """Methods: input, reference, swap, oracle-half, single, auto, networks of the zoo, or NAME=FILE for any
    weights."""
    weights: Path | None = None
    """A checkpoint for the one network among `methods` instead of the published one."""
    split: str | None = None
    """train, valid or test as the layout has it; `synthetic`: a set, or A,B or all for one table of several.
    None: test, for `synthetic` valid."""
    clips: tuple[str, ...] = ()
    """Only these clips; empty: all."""
    max_frames: int | None = None
    """Only the first frames of each clip."""
    protocol: Protocol = "basicsr"
    metrics: tuple[Metric, ...] = USUAL_METRICS
    metric_weights: Path | None = None
    """Folder with weights that metrics need, searched first."""
    alignment: Alignment = "registered"
    """registered: as `asled deblur` does it; centre-crop: crop and enlarge, as in the paper."""
    fov_ratio: float | None = None
    """Field of view of the reference over the target's. None: found in the pictures; 2 for the crop."""
    average: int = 7
    """Frames in one blurred frame of realmcvsr, odd."""
    average_reference: bool = False
    """Average the reference of realmcvsr too."""
    linear: bool = False
    """Average linear light instead of coded values."""
    profile_sizes: tuple[tuple[int, int], ...] = ()
    """Frame sizes (width, height) at which to measure the networks' speed and memory."""
    device: str = "auto"
    precision: Precision = "auto"
    workers: int | None = None
    """Clips scored at once, each on one thread. None: one per core, on a GPU one."""
    out: Path | None = None
    """Folder for the report; None: only the table is shown."""
    cache: Path | None = None
    """Folder of the cache (scores of finished clips, registrations). None: OUT/cache."""
    overwrite: bool = False
    """Replace files in `out` that this command did not write."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.root is None):
            raise UsageError("--dataset and --root belong together, one of them is missing.")
        if (self.dataset is None) == (not self.pairs):
            raise UsageError("Give either --dataset with --root, or --pairs RESULT:TRUTH.")
        limits.check_number("--max-frames", self.max_frames, 1, limits.MAX_FRAMES)
        limits.check_number("--workers", self.workers, 1, limits.MAX_JOBS)
        limits.check_number("--seed", self.seed, 0, limits.MAX_SEED)
        limits.check_number("--fov-ratio", self.fov_ratio, *limits.FOV_RATIO_LIMITS, limits.FOV_RATIO_HINT)
        limits.check_number("--average", self.average, 1, limits.MAX_FRAMES)
        if self.average % 2 == 0:
            raise UsageError(f"--average is {self.average}, expected an odd number of frames, such as 7.")
        unknown = [metric for metric in self.metrics if metric not in METRICS]
        if unknown or not self.metrics:
            raise UsageError(f"--metrics has {', '.join(unknown) or 'nothing'}, known: {', '.join(METRICS)}.")
        allowed = SPLITS.get(self.dataset or "")
        mixed = ALL_SETS in self.splits and len(self.splits) > 1
        if allowed is not None and (mixed or not set(self.splits) <= set(allowed)):
            raise UsageError(f"--split is {self.split!r}, expected {', '.join(allowed)} for {self.dataset}.")
        if len(set(self.methods)) != len(self.methods) or not self.methods:
            raise UsageError(f"--methods is {','.join(self.methods) or 'empty'}, expected each row once.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that are named, none by default."""
        return () if self.split is None else split_list(self.split)

    @property
    def resolved_split(self) -> str:
        """Return the split that is scored."""
        return self.split or USUAL_SPLIT.get(self.dataset or "", "test")

    @property
    def cache_folder(self) -> Path | None:
        """Return the folder of the score cache, if any."""
        return self.cache or (None if self.out is None else self.out / "cache")

    def worker_count(self, *, on_cpu: bool) -> int:
        """Return the number of clips to score at once."""
        return self.workers or (usable_cores() if on_cpu else 1)


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list without empty ones."""
    return tuple(part for part in (word.strip() for word in text.split(",")) if part)


def choose_metrics(text: str) -> tuple[Metric, ...]:
    """Return a list of metrics by name; `paper`, `usual` and `all` are sets. Raises UsageError for others."""
    sets = {"paper": PAPER_METRICS, "usual": USUAL_METRICS, "all": METRICS}
    chosen: list[Metric] = []
    for word in split_list(text):
        found = sets.get(word) or tuple(metric for metric in METRICS if metric == word)
        if not found:
            raise UsageError(f"--metrics has {word!r}, known: {', '.join([*METRICS, *sets])}.")
        chosen += [metric for metric in found if metric not in chosen]
    return tuple(chosen)
