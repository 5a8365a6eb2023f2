"""Tune a network's codebook to one clip, from its own reference frames: no truth is used.

Each epoch sees one random crop of every frame. Only keys and basis change. Equal seeds and frames give equal
weights on one thread of one machine.
"""

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.nets.memory import ReferenceMemory
from asled_cli.runtime.processes import one_thread
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.frames import Clip

log = logging.getLogger(__name__)

RATE = 1e-4
CROP_PX = 128  # a multiple of 8; smaller frames are taken whole
MAX_FRAMES = 120
PROBES = 8  # frames on which the tuned codebook is compared with the one before


def adapt_to_clip(
    memory: ReferenceMemory, clip: Clip, span: tuple[Fraction | None, Fraction | None], epochs: int
) -> None:
    """Tune the codebook to at most MAX_FRAMES frames of a reference clip, evenly spaced, for so many epochs.

    span: times to read, end excluded; None: no limit. Frames, seed and the one thread are fixed, so a resumed
    job and each of its workers get the same codebook.
    """
    step = max(1, -(-len(frame_times(clip)) // MAX_FRAMES))
    with ClipReader(clip, start_s=span[0], end_s=span[1]) as frames:
        kept = [frame.rgb for index, frame in enumerate(frames) if index % step == 0]
    with one_thread():
        errors = adapt(memory, kept, epochs)
    if errors:
        log.info("adapted to %d reference frames: error %.4f to %.4f", len(kept), errors[0], errors[-1])


def adapt(
    memory: ReferenceMemory,
    references: Sequence[NDArray[np.uint16]],
    epochs: int,
    *,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> list[float]:
    """Tune keys and basis in place; return the mean error of each epoch, 0..1.

    They stay as they were if the frames are not rebuilt better by the tuned ones.

    references: sharp frames (H, W, 3) uint16 of the clip. epochs: 0 changes nothing. check: called before
    each step, may raise.
    """
    if not epochs or not references:
        return []
    draw = np.random.default_rng(seed)
    before = _codebook(memory)
    frozen = [(p, p.requires_grad) for p in memory.parameters()]
    memory.requires_grad_(False)
    for parameter in memory.codebook():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(memory.codebook(), RATE)
    errors = []
    try:
        for _ in range(epochs):
            total = 0.0
            for index in draw.permutation(len(references)):
                check()
                crop = _crop(references[int(index)], draw).to(memory.keys.dtype)
                loss = F.l1_loss(memory.reconstruct(crop), crop)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += float(loss.detach())
            errors.append(total / len(references))
    finally:
        for parameter, learns in frozen:
            parameter.requires_grad_(learns)
            parameter.grad = None
    probes = [
        _crop(frame, np.random.default_rng(seed)) for frame in references[:: -(-len(references) // PROBES)]
    ]
    tuned, error = _codebook(memory), _error(memory, probes)
    _set(memory, before)
    if error < _error(memory, probes):
        _set(memory, tuned)
    return errors


def _error(memory: ReferenceMemory, crops: Sequence[Tensor]) -> float:
    with torch.inference_mode():
        return float(np.mean([float(F.l1_loss(memory.reconstruct(crop), crop)) for crop in crops]))


def _codebook(memory: ReferenceMemory) -> list[Tensor]:
    """Return a copy of keys and basis."""
    return [parameter.detach().clone() for parameter in memory.codebook()]


def _set(memory: ReferenceMemory, codebook: Sequence[Tensor]) -> None:
    for parameter, value in zip(memory.codebook(), codebook, strict=True):
        parameter.data.copy_(value)


def _crop(frame: NDArray[np.uint16], draw: np.random.Generator) -> Tensor:
    """Return (1, 3, h, w) 0..1 of a random place, sides multiples of 8."""
    height, width = (min(CROP_PX, side // 8 * 8) for side in frame.shape[:2])
    top, left = (
        int(draw.integers(0, side - part + 1))
        for side, part in zip(frame.shape[:2], (height, width), strict=True)
    )
    part = frame[top : top + height, left : left + width].astype(np.float32) / np.float32(65535.0)
    return torch.from_numpy(part).permute(2, 0, 1)[None]
