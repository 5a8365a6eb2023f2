"""Cached training clips: frames, registered reference, guide and flows, made once and read many times.

A cached clip is one .npz: target, reference, truth uint8 (T, H, W, 3); guide float16 (T, h, w, 6);
flow_previous, flow_next float16 (T, h, w, 2); valid, reset bool (T); h = ceil(H / 4).
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asled_cli.errors import InputError
from asled_cli.guide import GUIDE_STRIDE
from asled_cli.nets.interface import ChunkInputs
from asled_cli.runtime.limits import free_memory

# Exceptions of reading a damaged archive of arrays.
_UNREADABLE = (OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True, slots=True)
class CachedClip:
    """Stored clip (module docstring), all on one device. Tensors may be views; never write into them."""

    target: Tensor
    reference: Tensor
    truth: Tensor
    guide: Tensor
    flow_previous: Tensor
    flow_next: Tensor
    reset: Tensor

    @property
    def frames(self) -> int:
        """Return T, the number of frames."""
        return len(self.target)

    def to(self, device: torch.device | str) -> "CachedClip":
        """Return the clip on `device`."""
        return CachedClip(*(getattr(self, name).to(device) for name in self.__slots__))


def read_clip(path: Path) -> CachedClip:
    """Load one cached clip. Raises InputError if the file is damaged, incomplete or inconsistent."""
    try:
        _check_unpacked_size(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            clip = CachedClip(**{name: torch.from_numpy(stored[name]) for name in CachedClip.__slots__})
    except (*_UNREADABLE, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not a cached training clip: {error}.", "Make it again.") from error
    if problem := _misfit(clip):
        raise InputError(f"{path} is not a cached training clip: {problem}.", "Make it again.")
    return clip


def _check_unpacked_size(path: Path) -> None:
    """Raise ValueError for an archive whose unpacked size exceeds the memory of this machine."""
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    free = free_memory()
    if free is not None and size > free:
        raise ValueError(f"it unpacks to {size / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def _misfit(clip: CachedClip) -> str:
    """Return what is wrong with the arrays of a clip; nothing if they match the module docstring."""
    if clip.target.ndim != 4 or not len(clip.target):
        return f"target has the shape {tuple(clip.target.shape)}, expected (T, H, W, 3)"
    frames, height, width = clip.target.shape[:3]
    grid = (frames, -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE))
    for name, channels in (("target", 3), ("reference", 3), ("truth", 3)):
        array = getattr(clip, name)
        if array.shape != (frames, height, width, channels) or array.dtype != torch.uint8:
            return f"it mixes sizes or types: {name} is {tuple(array.shape)} {array.dtype}"
    for name, channels in (("guide", 6), ("flow_previous", 2), ("flow_next", 2)):
        array = getattr(clip, name)
        if array.shape != (*grid, channels) or not array.is_floating_point():
            return f"it mixes sizes or types: {name} is {tuple(array.shape)} {array.dtype}"
        if not bool(array.isfinite().all()):
            return f"{name} holds numbers that are not finite"
    if clip.reset.shape != (frames,) or clip.reset.dtype != torch.bool:
        return f"it mixes sizes or types: reset is {tuple(clip.reset.shape)} {clip.reset.dtype}"
    return ""


def find_clips(folder: Path) -> list[Path]:
    """Return all cached clips directly in `folder`, sorted, without hidden (unfinished) files."""
    return sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))


def to_tensors(clip: CachedClip) -> dict[str, Tensor]:
    """Return the clip as tensors (T, C, h, w), views still uint8; `to_inputs` finishes on the device."""
    tensors = {}
    for name in CachedClip.__slots__:
        tensor = getattr(clip, name).contiguous()
        tensors[name] = tensor if tensor.ndim == 1 else tensor.permute(0, 3, 1, 2)
    return tensors


def to_inputs(batch: dict[str, Tensor], device: torch.device) -> tuple[ChunkInputs, Tensor]:
    """Convert a batch of `to_tensors` to float inputs and truth (N, T, 3, H, W) on `device`."""
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


def stack_samples(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples to a batch (N, T, C, h, w), each frame channels_last in memory."""
    return {name: _stack([sample[name] for sample in samples]) for name in samples[0]}


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    if tensors[0].ndim == 1:
        return torch.stack(list(tensors))
    return torch.stack([t.permute(0, 2, 3, 1) for t in tensors]).permute(0, 1, 4, 2, 3)
