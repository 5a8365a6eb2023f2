"""Preparation of cached clips from public data sets, pairs of `asled synth-blur`, or sharp sources.

It runs once per data set, before training. Existing cached clips are not made again.
"""

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError, UsageError
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.dual_lens import LensRig, soften_for_ultra
from asled_cli.lab.datasets.image_sequence import EightBit, Pictures
from asled_cli.lab.datasets.layouts import Averaging, DatasetClip, Layout, read_layout
from asled_cli.lab.datasets.sources import Sources, Split, find_sources
from asled_cli.lab.synthesis.random_clip import STRONG_ODDS, USUAL_ODDS, at_phone_bit_rates, random_pair
from asled_cli.lab.synthesis.random_focus import random_defocus_pair
from asled_cli.lab.training_data.cached_clip import find_clips
from asled_cli.lab.training_data.register import (
    ClipViews,
    crop_sample,
    inverted_sample,
    make_sample,
    one_lens_sample,
    synthetic_views,
    write_sample,
)
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.atomic_file import explain_full_disk
from asled_cli.runtime.processes import run_in_processes

log = logging.getLogger(__name__)

# Folder that identifies each layout, in any split; the first that exists decides.
_SIGNS: tuple[tuple[str, Layout], ...] = (
    ("*/HR/W", "realmcvsr"),
    ("*/guide", "hsd"),
    ("*/*/Blur/RGB", "bsd"),
    ("ref", "generic"),
    ("*/ref", "generic"),
    ("*_GT_blurred", "dvd"),
    ("*/*/input", "dvd"),
    ("*/input", "dvd"),
    ("*/*/sharp", "gopro"),
    ("*/blur", "gopro"),
    ("blur", "generic"),
)
HELD_OUT_EVERY = 10  # of the clips of a set without a valid split, for validation; one at least


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Settings of the conversion from clips on disk to training samples."""

    layout: Literal["auto", "cached", "sources", "realmcvsr", "generic", "hsd", "gopro", "dvd", "bsd"] = (
        "auto"
    )
    """auto: by the content of the folder. sources: sharp photos and videos, for synthetic clips."""
    reference: Literal["registered", "centre", "inverted", "none"] = "registered"
    """registered: the ultra view as `asled deblur` aligns it. centre: its middle, enlarged. inverted: the
    target's own multi-frame inversion. none: the target itself, with the flow between sharp frames; for
    networks of one lens, much quicker to make."""
    reference_radius: int = 0
    """Frames on either side over which a registered reference is averaged, equal to the network's."""
    ratio: float = 2.0
    """Field of view of the ultra lens over the wide one's, for `centre` and for single-lens sets."""
    average: int = 7
    """Frames of a mean, for sharp sets (realmcvsr)."""
    average_reference: bool = False
    """Whether the ultra view is averaged too."""
    average_linear: bool = False
    """Average linear light."""
    run_frames: int = 15
    """Frames of a cached clip; longer clips are cut."""
    window_px: int = 512
    """Frames larger than this are cut to windows of at most this side, a multiple of 4."""
    windows: int = 2
    """Windows of each run of frames that is larger."""
    synthetic_clips: int = 500
    """Clips made from `sources`."""
    synthetic_frames: int = 0
    """Frames of each of them; 0: 13 to 18 with motion blur, 6 out of focus."""
    synthetic_size: tuple[int, int] = (0, 0)
    """Width and height of each of them, multiples of 16; (0, 0): one of seven sizes of 0.1 to 0.15
    megapixels. Small and short clips are registered much sooner."""
    blur: Literal["motion", "strong", "defocus"] = "motion"
    """Blur of the clips made from `sources`. strong: motion too, but every frame is blurred, those of hand
    shake by 8 px or more."""
    bit_rate: Literal["any", "phone"] = "any"
    """Compression of the clips with motion blur made from `sources`. phone: 0.1 to 0.2 bit per pixel."""
    truth: Literal["sharp", "defocus"] = "sharp"
    """What the network is to give. defocus: a grey map of the blur of clips out of focus, 1 for a Gaussian of
    7 px, for `dmenet`."""

    def __post_init__(self) -> None:
        least_values = {
            "run_frames": 2,
            "windows": 1,
            "synthetic_clips": 1,
            "window_px": 32,
            "reference_radius": 0,
        }
        for name, least in least_values.items():
            if getattr(self, name) < least:
                raise UsageError(f"data.{name} is {getattr(self, name)}, expected {least} or more.")
        if self.synthetic_frames < 0 or self.synthetic_frames == 1:
            raise UsageError(f"data.synthetic_frames is {self.synthetic_frames}, expected 0, or 2 or more.")
        if self.synthetic_size != (0, 0) and not all(
            side >= 32 and side % 16 == 0 for side in self.synthetic_size
        ):
            raise UsageError(
                f"data.synthetic_size is {self.synthetic_size}, expected multiples of 16, 32 or more, or "
                "zeros."
            )
        if self.truth == "defocus" and self.blur != "defocus":
            raise UsageError(f"data.truth is defocus and data.blur {self.blur}, expected defocus too.")
        if self.window_px % 4:
            raise UsageError(f"data.window_px is {self.window_px}, expected a multiple of 4.")


@dataclass(frozen=True, slots=True)
class _Task:
    """Cached clips to make: a run of frames of a data set's clip, or a synthetic clip."""

    path: Path
    clip: DatasetClip | None = None
    start: int = 0
    count: int = 0
    sources: Path | None = None
    split: Split = "train"
    seed: int = 0


def prepare(
    data: Path,
    cache: Path,
    config: DataConfig,
    *,
    jobs: int = 1,
    report: Report = ignore,
    check: Callable[[], None] = lambda: None,
) -> Path:
    """Return the folder with train/*.npz and valid/*.npz: `data` itself if cached, else the filled `cache`.

    Raises InputError if `data` has nothing to train on.
    """
    layout = _recognise(data) if config.layout == "auto" else config.layout
    if layout == "cached":
        return data
    tasks = list(
        _made_tasks(data, cache, config) if layout == "sources" else _tasks(layout, data, cache, config)
    )
    waiting = [task for task in tasks if not _done(task.path).exists()]
    for task in waiting:
        if task.path.exists() and not _begun(task.path).exists():
            raise UsageError(
                f"{task.path} exists, and asled did not write it.", "Choose another --cache, or move it away."
            )
    for part in ("train", "valid"):
        with explain_full_disk(cache):
            (cache / part).mkdir(parents=True, exist_ok=True)
    step = "make" if layout == "sources" else "register"
    report(Progress(step, len(tasks) - len(waiting), len(tasks)))
    work = [(task, config) for task in waiting]
    for done, problem in enumerate(run_in_processes(_make, work, jobs, check), len(tasks) - len(waiting) + 1):
        if problem:
            log.warning("%s It is left out.", problem)
        report(Progress(step, done, len(tasks)))
    if not find_clips(cache / "train"):
        raise InputError(f"{data} gave no training clip; see the warnings above.")
    return cache


def _recognise(data: Path) -> Literal["cached", "sources"] | Layout:
    if any(find_clips(folder) for folder in (data, data / "train")):
        return "cached"
    for sign, layout in _SIGNS:
        if any(path.is_dir() for path in data.glob(sign)):
            return layout
    find_sources(data, "all")  # raises where there is nothing at all
    return "sources"


def _made_tasks(data: Path, cache: Path, config: DataConfig) -> Iterator[_Task]:
    for seed in range(config.synthetic_clips):
        yield _Task(cache / "train" / f"{seed:06d}.npz", sources=data, seed=seed)
    try:
        find_sources(data, "held-out")
    except InputError:
        log.warning("%s names no held-out sources (held_out.txt): the run goes without validation.", data)
        return
    for seed in range(1_000_000, 1_000_000 + max(1, min(10, config.synthetic_clips // 10))):
        yield _Task(cache / "valid" / f"{seed:06d}.npz", sources=data, split="held-out", seed=seed)


def _tasks(layout: Layout, data: Path, cache: Path, config: DataConfig) -> Iterator[_Task]:
    averaging = Averaging(
        count=config.average, reference=config.average_reference, linear=config.average_linear
    )
    train = read_layout(layout, data, "train", averaging)
    if any((data / name).is_dir() for name in ("valid", "valid_GT")):
        valid = read_layout(layout, data, "valid", averaging)
    else:
        valid = train[:: max(2, min(HELD_OUT_EVERY, len(train)))] if len(train) > 1 else []
        train = [clip for clip in train if clip not in valid]
    for part, clips in (("train", train), ("valid", valid)):
        for clip in clips:
            for start in range(0, clip.frames, config.run_frames):
                count = min(config.run_frames, clip.frames - start)
                if count > 1 or clip.frames == 1:
                    yield _Task(cache / part / f"{clip.name}_{start:05d}.npz", clip, start, count)


def _make(task: _Task, config: DataConfig) -> str:
    """Make the cached clips of one task; return why there are none, or nothing."""
    try:
        if task.sources is not None:
            views = _synthetic(find_sources(task.sources, task.split), task.seed, config)
        else:
            views = _read_views(task, config)
        sample = _sample(views, config)
        with explain_full_disk(task.path):
            _begun(task.path).touch()
        for number, part in enumerate(_windows(sample, task.path.stem, config)):
            path = task.path if number == 0 else task.path.with_stem(f"{task.path.stem}_{number}")
            write_sample(path, part)
    except InputError as error:
        return f"{task.path.stem}: {error.message}"
    with explain_full_disk(task.path):
        _done(task.path).touch()
        _begun(task.path).unlink(missing_ok=True)
    return ""


def _synthetic(sources: Sources, seed: int, config: DataConfig) -> ClipViews:
    """Return the views of a clip drawn from the sharp sources."""
    frames = config.synthetic_frames or None
    size = config.synthetic_size if config.synthetic_size != (0, 0) else None
    if config.blur != "defocus":
        odds = STRONG_ODDS if config.blur == "strong" else USUAL_ODDS
        if config.bit_rate == "phone":
            odds = at_phone_bit_rates(odds)
        return synthetic_views(random_pair(sources, seed, frames=frames, size=size, odds=odds))
    pair = random_defocus_pair(sources, seed, frames=frames, size=size)
    views = synthetic_views(pair)
    if config.truth == "sharp":
        return views
    assert pair.defocus is not None
    return replace(views, truth=np.repeat(pair.defocus[..., None], 3, axis=-1))


def _sample(views: ClipViews, config: DataConfig) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a cached clip with the reference that the recipe asks for."""
    if config.reference == "none":
        return one_lens_sample(views)
    if config.reference == "inverted":
        return inverted_sample(views, config.reference_radius)
    ratio = None if config.reference == "registered" else config.ratio
    return make_sample(views, ratio, config.reference_radius)


def _read_views(task: _Task, config: DataConfig) -> ClipViews:
    clip = task.clip
    assert clip is not None

    def read(pictures: Pictures) -> NDArray[np.uint8]:
        return np.stack([EightBit(pictures)[i] for i in range(task.start, task.start + task.count)])

    target, truth = read(clip.target), read(clip.truth)
    ultra = read(clip.reference) if clip.reference is not None else _see_as_ultra(truth, config.ratio)
    return ClipViews(target, ultra, truth, np.ones(task.count, bool), 30.0, {"clip": clip.name})


def _see_as_ultra(truth: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    """Return a simulated ultra-wide view of a single-lens clip: the truth, reduced, with mirrored borders."""
    size = truth.shape[2], truth.shape[1]
    back = np.asarray(np.linalg.inv(LensRig(ratio=ratio).homography(size)), np.float64)
    return np.stack([warp_homography(soften_for_ultra(frame, ratio), back, size) for frame in truth])


def _windows(
    sample: dict[str, NDArray[np.generic]], name: str, config: DataConfig
) -> Sequence[dict[str, NDArray[np.generic]]]:
    """Return the sample, or windows of it at places drawn from its name."""
    height, width = sample["target"].shape[1:3]
    side = config.window_px
    if height <= side and width <= side:
        return [sample]
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    parts = []
    for _ in range(config.windows):
        top, left = (int(draw.integers(max(extent - side, 0) // 4 + 1)) * 4 for extent in (height, width))
        parts.append(crop_sample(sample, top, left, min(side, height), min(side, width)))
    return parts


def _begun(path: Path) -> Path:
    """Return the mark of an unfinished task, whose files may be replaced."""
    return path.with_name(f".{path.stem}.begun")


def _done(path: Path) -> Path:
    """Return the mark of a finished task; its first clip does not show that all windows exist."""
    return path.with_name(f".{path.stem}.done")
