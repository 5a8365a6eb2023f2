"""Cached clips -> training samples: random crops, flips, rotations, time reversal, dropped references.

A cached clip is one .npz: target, reference, truth uint8 (T, H, W, 3); guide float16 (T, h, w, 6);
flow_previous, flow_next float16 (T, h, w, 2); valid, reset bool (T); h = ceil(H / 4).
"""

import logging
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from asled_cli.errors import InputError, UsageError
from asled_cli.nets.chunks import GUIDE_STRIDE, ChunkInputs

log = logging.getLogger(__name__)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class CachedClip:
    """A clip as stored (module docstring). Arrays may be views; never write into them."""

    target: Array
    reference: Array
    truth: Array
    guide: Array
    flow_previous: Array
    flow_next: Array
    reset: Array

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return len(self.target)


def read_clip(path: Path) -> CachedClip:
    """Load one cached clip. Raises InputError if the file is damaged, incomplete or inconsistent."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            clip = CachedClip(**{name: stored[name] for name in CachedClip.__slots__})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a cached training clip: {error}.", "Make it again.") from error
    frames, height, width = clip.target.shape[:3]
    grid = (frames, -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE))
    views = (clip.target, clip.reference, clip.truth)
    maps = (clip.guide, clip.flow_previous, clip.flow_next)
    if any(v.shape != (frames, height, width, 3) for v in views) or any(m.shape[:3] != grid for m in maps):
        raise InputError(
            f"{path} mixes sizes: its views and its guide do not belong together.", "Make it again."
        )
    return clip


def find_clips(folder: Path) -> list[Path]:
    """All cached clips directly in `folder`, sorted; hidden files (still being written) are left out."""
    return sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))


def crop(clip: CachedClip, start: int, frames: int, top: int, left: int, size_px: int) -> CachedClip:
    """`frames` frames from `start`, a square of `size_px` at (top, left); all pixels multiples of 4."""
    time = slice(start, start + frames)
    full = (time, slice(top, top + size_px), slice(left, left + size_px))
    coarse = (
        time,
        slice(top // GUIDE_STRIDE, (top + size_px) // GUIDE_STRIDE),
        slice(left // GUIDE_STRIDE, (left + size_px) // GUIDE_STRIDE),
    )
    return CachedClip(
        clip.target[full],
        clip.reference[full],
        clip.truth[full],
        clip.guide[coarse],
        clip.flow_previous[coarse],
        clip.flow_next[coarse],
        clip.reset[time],
    )


def flip_x(clip: CachedClip) -> CachedClip:
    """Mirror left-right. The width must be a multiple of 4, so that the guide's grid maps onto itself."""
    return _map_space(clip, lambda a: a[:, :, ::-1], lambda f: f * np.array([-1, 1], f.dtype))


def flip_y(clip: CachedClip) -> CachedClip:
    """Mirror top-bottom. The height must be a multiple of 4."""
    return _map_space(clip, lambda a: a[:, ::-1], lambda f: f * np.array([1, -1], f.dtype))


def transpose(clip: CachedClip) -> CachedClip:
    """Swap x and y; with the flips this makes all rotations by 90 degrees."""
    return _map_space(clip, lambda a: a.swapaxes(1, 2), lambda f: f[..., ::-1])


def reverse_time(clip: CachedClip) -> CachedClip:
    """Play backwards: previous and next change places, a cut stays between the same two frames."""
    reset = np.zeros_like(clip.reset)
    reset[1:] = clip.reset[:0:-1]
    return CachedClip(
        clip.target[::-1],
        clip.reference[::-1],
        clip.truth[::-1],
        clip.guide[::-1],
        clip.flow_next[::-1],
        clip.flow_previous[::-1],
        reset,
    )


def drop_references(clip: CachedClip, missing: NDArray[np.bool_]) -> CachedClip:
    """Take the reference away from the frames marked in `missing` (T), as registration reports it."""
    absent = missing[:, None, None, None]
    from_absent = np.concatenate(([False], missing[:-1]))[:, None, None, None] | absent
    to_absent = np.concatenate((missing[1:], [False]))[:, None, None, None] | absent
    return replace(
        clip,
        reference=np.where(absent, clip.target, clip.reference),
        guide=np.where(absent, 0, clip.guide),
        flow_previous=np.where(from_absent, 0, clip.flow_previous),
        flow_next=np.where(to_absent, 0, clip.flow_next),
    )


def _map_space(clip: CachedClip, move: Any, turn: Any) -> CachedClip:
    return CachedClip(
        move(clip.target),
        move(clip.reference),
        move(clip.truth),
        move(clip.guide),
        turn(move(clip.flow_previous)),
        turn(move(clip.flow_next)),
        clip.reset,
    )


def to_tensors(clip: CachedClip) -> dict[str, Tensor]:
    """The clip as tensors (T, C, h, w), views still uint8; `to_inputs` finishes on the training device."""
    tensors = {}
    for name in CachedClip.__slots__:
        array = torch.from_numpy(np.ascontiguousarray(getattr(clip, name)))
        tensors[name] = array if array.ndim == 1 else array.permute(0, 3, 1, 2)
    return tensors


def to_inputs(batch: dict[str, Tensor], device: torch.device) -> tuple[ChunkInputs, Tensor]:
    """A batch of `to_tensors` (N, T, C, h, w) -> float inputs and truth (N, T, 3, H, W) on `device`."""
    moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    views = {name: moved[name].float() / 255 for name in ("target", "reference", "truth")}
    inputs = ChunkInputs(
        views["target"],
        views["reference"],
        moved["guide"].float(),
        moved["flow_previous"].float(),
        moved["flow_next"].float(),
        moved["reset"],
    )
    return inputs, views["truth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """How samples are cut from clips."""

    frames: tuple[int, int] = (5, 7)
    """Fewest and most frames of a sample; one batch shares one number."""
    crop_px: int = 128
    """Side of the square crop, a multiple of 4."""
    batch: int = 4
    """Samples per batch."""
    drop_reference: float = 0.1
    """Share of samples in which the reference is missing from some frames on."""
    seed: int = 0
    """Sample i depends on nothing but this, i and the clips in the folder."""
    rescan_every: int = 1000
    """Look for new clips in the folder after this many samples."""
    crops_per_clip: int = 2
    """Consecutive batches cut from the same clips: reading a clip costs more than cutting it."""

    def __post_init__(self) -> None:
        if self.crop_px % GUIDE_STRIDE:
            raise UsageError(f"crop_px is {self.crop_px}, expected a multiple of {GUIDE_STRIDE}.")
        if not 1 <= self.frames[0] <= self.frames[1]:
            raise UsageError(f"frames is {self.frames}, expected [fewest, most], at least 1.")


class CropDataset(Dataset[dict[str, Tensor]]):
    """Sample i of an endless series, a pure function of (seed, i, clips in the folder).

    So a resumed run continues with exactly the samples it would have seen. The folder may grow meanwhile;
    files that cannot be read or are too small are reported once and left out.
    """

    def __init__(self, folder: Path, config: SampleConfig) -> None:
        self.folder, self.config = folder, config
        self._paths: list[Path] = []
        self._unusable: set[Path] = set()
        self._scanned_at: int | None = None
        self._cache: OrderedDict[Path, CachedClip] = OrderedDict()

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        config = self.config
        batch_index, place = divmod(index, config.batch)
        # One stream of numbers each for what a batch shares, for the choice of the clip, and for the crop.
        frames = int(_numbers(config.seed, 0, batch_index).integers(*config.frames, endpoint=True))
        clip = self._choose(_numbers(config.seed, 1, batch_index // config.crops_per_clip, place), index)
        rng = _numbers(config.seed, 2, index)
        return to_tensors(
            augment(cut_randomly(clip, rng, frames, config.crop_px), rng, config.drop_reference)
        )

    def _choose(self, rng: np.random.Generator, index: int) -> CachedClip:
        self._rescan(index)
        while usable := [path for path in self._paths if path not in self._unusable]:
            path = usable[int(rng.integers(len(usable)))]
            try:
                return self._read(path)
            except InputError as error:
                log.warning("%s It is left out.", error.message)
                self._unusable.add(path)
        raise InputError(
            f"{self.folder} holds no usable training clip (*.npz of at least {self.config.frames[1]} frames "
            f"and {self.config.crop_px} pixels)."
        )

    def _rescan(self, index: int) -> None:
        if self._scanned_at is None or not 0 <= index - self._scanned_at < self.config.rescan_every:
            # Aligned to multiples, so that a resumed run looks at the same moments.
            self._scanned_at = index - index % self.config.rescan_every
            self._paths = find_clips(self.folder)

    def _read(self, path: Path) -> CachedClip:
        clip = self._cache.pop(path, None)
        if clip is None:
            clip = read_clip(path)
            _check_size(path, clip, self.config)
        self._cache[path] = clip
        if len(self._cache) > 2 * self.config.batch:
            self._cache.popitem(last=False)
        return clip


def _numbers(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def cut_randomly(clip: CachedClip, rng: np.random.Generator, frames: int, size_px: int) -> CachedClip:
    """A crop at a random place and time, aligned to the guide's grid."""
    height, width = clip.target.shape[1:3]
    start = int(rng.integers(clip.frames - frames, endpoint=True))
    top = int(rng.integers((height - size_px) // GUIDE_STRIDE, endpoint=True)) * GUIDE_STRIDE
    left = int(rng.integers((width - size_px) // GUIDE_STRIDE, endpoint=True)) * GUIDE_STRIDE
    return crop(clip, start, frames, top, left, size_px)


def augment(clip: CachedClip, rng: np.random.Generator, drop_reference: float) -> CachedClip:
    """Each of the 16 symmetries of a square over time with equal chance; sometimes references go missing."""
    for change in (flip_x, flip_y, transpose, reverse_time):
        if rng.random() < 0.5:
            clip = change(clip)
    if rng.random() < drop_reference:
        first, last = np.sort(rng.integers(clip.frames, size=2))
        missing = np.zeros(clip.frames, bool)
        missing[first : last + 1] = True
        clip = drop_references(clip, missing)
    return clip


def _check_size(path: Path, clip: CachedClip, config: SampleConfig) -> None:
    frames, (height, width) = config.frames[1], clip.target.shape[1:3]
    if clip.frames < frames or min(height, width) < config.crop_px:
        raise InputError(
            f"{path} has {clip.frames} frames of {width}x{height}, expected at least {frames} of "
            f"{config.crop_px}x{config.crop_px}."
        )


def stack_samples(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join samples to a batch (N, T, C, h, w), each frame staying channels_last in memory."""
    return {name: _stack([sample[name] for sample in samples]) for name in samples[0]}


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    if tensors[0].ndim == 1:
        return torch.stack(list(tensors))
    return torch.stack([t.permute(0, 2, 3, 1) for t in tensors]).permute(0, 1, 4, 2, 3)
