"""Augmentations of a cached clip: crops, flips, quarter turns, time reversal, lost references."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.training_data.cached_clip import CachedClip


def cut_randomly(clip: CachedClip, rng: np.random.Generator, frames: int, size_px: int) -> CachedClip:
    """Crop at a random place and time, aligned to the guide's grid."""
    height, width = clip.target.shape[1:3]
    start = int(rng.integers(clip.frames - frames, endpoint=True))
    top = int(rng.integers((height - size_px) // GUIDE_STRIDE, endpoint=True)) * GUIDE_STRIDE
    left = int(rng.integers((width - size_px) // GUIDE_STRIDE, endpoint=True)) * GUIDE_STRIDE
    return crop(clip, start, frames, top, left, size_px)


def augment(
    clip: CachedClip, rng: np.random.Generator, reference_dropout: float, *, turn_time: bool = True
) -> CachedClip:
    """Apply one of the 16 symmetries of a square over time with equal chance; sometimes drop references.

    turn_time: whether half of the clips run backward; without it there are 8 symmetries.
    """
    for change in (flip_x, flip_y, transpose, reverse_time):
        if rng.random() < 0.5 and (turn_time or change is not reverse_time):
            clip = change(clip)
    if rng.random() < reference_dropout:
        first, last = np.sort(rng.integers(clip.frames, size=2))
        missing = np.zeros(clip.frames, bool)
        missing[first : last + 1] = True
        clip = drop_references(clip, missing)
    return clip


def jitter_reference(
    clip: CachedClip, rng: np.random.Generator, photometric: float, misalign_px: int
) -> CachedClip:
    """Change the colours of the reference and shift it, equally for all frames, borders repeated.

    photometric: spread of the logarithms of gain and gamma, per channel. misalign_px: largest shift each way.
    """
    gain, gamma = np.exp(rng.normal(0.0, photometric, (2, 3)))
    y, x = (int(v) for v in rng.integers(-misalign_px, misalign_px, 2, endpoint=True))
    reference = clip.reference
    if photometric:
        curve = np.clip((np.arange(256)[:, None] / 255.0) ** gamma * gain, 0, 1)  # (256, 3)
        table = torch.from_numpy(np.rint(curve * 255).astype(np.uint8)).to(reference.device)
        reference = torch.stack([table[reference[..., c].long(), c] for c in range(3)], dim=-1)
    if y or x:
        reference = _moved(_moved(reference, 1, y), 2, x)
    return replace(clip, reference=reference)


def _moved(frames: Tensor, dim: int, shift: int) -> Tensor:
    """Shift frames by `shift` pixels along `dim`; borders repeated."""
    size = frames.shape[dim]
    places = torch.arange(size, device=frames.device) + shift
    return frames.index_select(dim, places.clamp(0, size - 1))


def crop(clip: CachedClip, start: int, frames: int, top: int, left: int, size_px: int) -> CachedClip:
    """Crop `frames` frames from `start` to a square at (top, left); all pixels are multiples of 4."""
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
    return _map_space(clip, lambda a: a.flip(2), lambda f: torch.stack([-f[..., 0], f[..., 1]], dim=-1))


def flip_y(clip: CachedClip) -> CachedClip:
    """Mirror top-bottom. The height must be a multiple of 4."""
    return _map_space(clip, lambda a: a.flip(1), lambda f: torch.stack([f[..., 0], -f[..., 1]], dim=-1))


def transpose(clip: CachedClip) -> CachedClip:
    """Swap x and y; with the flips this makes all rotations by 90 degrees."""
    return _map_space(clip, lambda a: a.transpose(1, 2), lambda f: f.flip(-1))


def reverse_time(clip: CachedClip) -> CachedClip:
    """Play backwards: previous and next flows swap, and a cut stays between the same two frames."""
    reset = torch.zeros_like(clip.reset)
    reset[1:] = clip.reset[1:].flip(0)
    return CachedClip(
        clip.target.flip(0),
        clip.reference.flip(0),
        clip.truth.flip(0),
        clip.guide.flip(0),
        clip.flow_next.flip(0),
        clip.flow_previous.flip(0),
        reset,
    )


def drop_references(clip: CachedClip, missing: NDArray[np.bool_]) -> CachedClip:
    """Remove the reference of the frames marked in `missing` (T), as registration reports it."""
    nothing = [False]
    absent, from_absent, to_absent = (
        torch.from_numpy(mask[:, None, None, None]).to(clip.reference.device)
        for mask in (
            missing,
            missing | np.concatenate((nothing, missing[:-1])),
            missing | np.concatenate((missing[1:], nothing)),
        )
    )
    return replace(
        clip,
        reference=torch.where(absent, clip.target, clip.reference),
        guide=clip.guide.masked_fill(absent, 0),
        flow_previous=clip.flow_previous.masked_fill(from_absent, 0),
        flow_next=clip.flow_next.masked_fill(to_absent, 0),
    )


def _map_space(
    clip: CachedClip, move: Callable[[Tensor], Tensor], turn: Callable[[Tensor], Tensor]
) -> CachedClip:
    return CachedClip(
        move(clip.target),
        move(clip.reference),
        move(clip.truth),
        move(clip.guide),
        turn(move(clip.flow_previous)),
        turn(move(clip.flow_next)),
        clip.reset,
    )
