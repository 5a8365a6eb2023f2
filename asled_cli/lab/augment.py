"""Changes of a cached clip that keep it true: crops, flips, quarter turns, time reversal, lost references."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.cached import Array, CachedClip
from asled_cli.nets.chunks import GUIDE_STRIDE


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


def jitter_reference(
    clip: CachedClip, rng: np.random.Generator, photometric: float, misalign_px: int
) -> CachedClip:
    """The reference in other colours and a little aside, the same for all frames, borders repeated.

    photometric: spread of the logarithms of gain and gamma, per channel. misalign_px: largest shift each way.
    """
    gain, gamma = np.exp(rng.normal(0.0, photometric, (2, 3)))
    y, x = (int(v) for v in rng.integers(-misalign_px, misalign_px, 2, endpoint=True))
    reference = clip.reference
    if photometric:
        curve = np.clip((np.arange(256)[:, None] / 255.0) ** gamma * gain, 0, 1)  # (256, 3)
        table = np.rint(curve * 255).astype(np.uint8)
        reference = np.stack([table[reference[..., c], c] for c in range(3)], axis=-1)
    if y or x:
        edge = abs(y), abs(x)
        padded = np.pad(reference, ((0, 0), (edge[0],) * 2, (edge[1],) * 2, (0, 0)), mode="edge")
        height, width = reference.shape[1:3]
        reference = padded[:, edge[0] + y :, edge[1] + x :][:, :height, :width]
    return replace(clip, reference=reference)


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


def _map_space(
    clip: CachedClip, move: Callable[[Array], Array], turn: Callable[[Array], Array]
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
