"""Endless series of training samples, cropped from cached clips."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from asled_cli.errors import InputError, UsageError
from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.training_data.augment import augment, cut_randomly, jitter_reference
from asled_cli.lab.training_data.cached_clip import CachedClip, find_clips, read_clip, to_tensors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """Settings of the crops."""

    frames: tuple[int, int] = (5, 7)
    """Minimum and maximum of frames of a sample; all samples of a batch have the same number."""
    crop_px: int = 128
    """Side of the square crop, a multiple of 4."""
    batch: int = 4
    """Samples per batch."""
    reference_dropout: float = 0.1
    """Share of samples in which the reference is missing from some frames on."""
    photometric: float = 0.0
    """Spread of the reference's gain and gamma against the target's, per channel; 0.05 is strong."""
    misalign_px: int = 0
    """Largest shift of the reference, in x and in y."""
    turn_time: bool = True
    """Whether half of the samples run backward in time."""
    seed: int = 0
    """Seed: sample i depends only on it, on i and on the clips in the folder."""
    rescan_every: int = 1000
    """Look for new clips in the folder after this many samples."""
    crops_per_clip: int = 2
    """Consecutive batches cut from the same clips: reading a clip costs more than cutting it."""
    cache_on_device: bool = False
    """Keep every clip once read on the device that trains, and cut there, without processes: for a GPU that
    has room for all (20 MB for one of 16 frames of 0.13 megapixels)."""

    def __post_init__(self) -> None:
        for name in ("batch", "rescan_every", "crops_per_clip", "crop_px"):
            if getattr(self, name) < 1:
                raise UsageError(f"samples.{name} is {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.reference_dropout <= 1:
            raise UsageError(f"samples.reference_dropout is {self.reference_dropout}, expected 0 to 1.")
        if self.crop_px % GUIDE_STRIDE:
            raise UsageError(f"crop_px is {self.crop_px}, expected a multiple of {GUIDE_STRIDE}.")
        if self.photometric < 0 or not 0 <= self.misalign_px < self.crop_px // 2:
            raise UsageError(
                f"photometric is {self.photometric} and misalign_px {self.misalign_px}, expected 0 or more "
                "and less than half of crop_px."
            )
        if not 1 <= self.frames[0] <= self.frames[1]:
            raise UsageError(f"frames is {self.frames}, expected [fewest, most], at least 1.")


class CropDataset(Dataset[dict[str, Tensor]]):
    """Endless series of samples; sample i is a pure function of (seed, i, clips in the folder).

    A resumed run therefore continues with the samples of an uninterrupted one. The folder may grow during a
    run. Files that cannot be read or are too small are reported once and left out.
    """

    def __init__(self, folder: Path, config: SampleConfig, device: torch.device | str = "cpu") -> None:
        """Open the folder. device: where resident clips are kept."""
        self.folder, self.config = folder, config
        self._home = device if config.cache_on_device else "cpu"
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
        sample = augment(
            cut_randomly(clip, rng, frames, config.crop_px),
            rng,
            config.reference_dropout,
            turn_time=config.turn_time,
        )
        if config.photometric or config.misalign_px:
            sample = jitter_reference(sample, rng, config.photometric, config.misalign_px)
        return to_tensors(sample)

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
            # Aligned to multiples, so that a resumed run looks at the folder at the same steps.
            self._scanned_at = index - index % self.config.rescan_every
            self._paths = find_clips(self.folder)
            for gone in self._cache.keys() - set(self._paths):
                del self._cache[gone]

    def _read(self, path: Path) -> CachedClip:
        clip = self._cache.pop(path, None)
        if clip is None:
            clip = read_clip(path)
            _check_size(path, clip, self.config)
            clip = clip.to(self._home)
        self._cache[path] = clip
        if not self.config.cache_on_device and len(self._cache) > 2 * self.config.batch:
            self._cache.popitem(last=False)
        return clip


def _numbers(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def _check_size(path: Path, clip: CachedClip, config: SampleConfig) -> None:
    frames, (height, width) = config.frames[1], clip.target.shape[1:3]
    if clip.frames < frames or min(height, width) < config.crop_px:
        raise InputError(
            f"{path} has {clip.frames} frames of {width}x{height}, expected at least {frames} of "
            f"{config.crop_px}x{config.crop_px}."
        )
