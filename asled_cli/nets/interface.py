"""The call that all networks share, and the cutting of a clip into chunks that carry state.

The forward state passes from chunk to chunk exactly. The backward pass of a chunk starts from zero, `overlap`
frames after its last frame. So chunked output differs from whole-clip output by the influence of frames
further ahead, and equals it where the overlap reaches the end of the clip. The required look-ahead depends on
the trained weights: with `NetworkInfo.overlap` the two agreed to 50 dB or better on recorded clips
(docs/experiments/training-fast.md and training-asled.md, which also have a case where they do not).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE


@dataclass(frozen=True, slots=True)
class ChunkInputs:
    """T neighbouring frames of a clip and their registration. RGB is 0..1, gamma as coded."""

    target: Tensor
    """(N, T, 3, H, W) frames to deblur."""
    reference: Tensor
    """(N, T, 3, H, W) the registered other view; a copy of the target where it is missing."""
    guide: Tensor
    """(N, T, 6, h, w) target minus reblurred reference (RGB), blur strength, confidence, valid."""
    flow_previous: Tensor
    """(N, T, 2, h, w) x, y in guide pixels: content at p was at p + flow in the previous frame."""
    flow_next: Tensor
    """(N, T, 2, h, w) the same towards the next frame."""
    reset: Tensor
    """(N, T) bool: a scene cut is before this frame."""

    @property
    def frames(self) -> int:
        """Return T, the number of frames."""
        return self.target.shape[1]

    def slice(self, start: int, stop: int) -> "ChunkInputs":
        """Return frames start..stop-1 as views."""
        return ChunkInputs(*(getattr(self, field.name)[:, start:stop] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """Properties of a network that its caller needs, declared beside the network."""

    overlap: int
    """Look-ahead frames for more than 50 dB between chunked and whole-clip output on recorded clips."""
    halo_px: int
    """Context around a tile, in pixels, for the same agreement between tiles and whole frames."""
    bytes_per_pixel: int
    """Peak memory per frame pixel and per frame of a chunk, in 16-bit precision."""
    reference_radius: int = 0
    """Frames on either side over which the reference is averaged before the network sees it (`fusion`)."""
    ahead: int = 0
    """Frames that a call restores ahead of the finished ones and keeps in the state."""
    working_bytes_per_pixel: int = 0
    """Peak memory per frame pixel that does not depend on the length of the chunk."""
    size_multiple: int = GUIDE_STRIDE
    """Width and height of frames that the network sees without padding, in pixels."""
    largest_tile_px: int = 0
    """Side of the largest tile that is worth its memory on a CPU; 0: whole frames are, where they fit."""
    needs_reference: bool = True
    """Whether the network uses the other view; if not, it restores a single clip too."""
    adapts: bool = False
    """Whether it has a codebook that can be tuned to a clip (`nets/memory`)."""
    removes: Literal["motion", "defocus"] = "motion"
    """The blur that it is trained against. A frame that does not move keeps what it has, but for defocus."""


class VideoNetwork(Protocol):
    """Call that all networks share."""

    info: NetworkInfo

    def __call__(
        self, inputs: ChunkInputs, state: Any | None = None, keep: int | None = None
    ) -> tuple[Tensor, Any]:
        """Restore the first `keep` frames (default: all) and return them with the state after the last one.

        The backward pass runs over all T frames from a zero state, then the forward pass over `keep` frames
        from `state`.
        """
        ...


class Chunk(NamedTuple):
    """Frames start .. start + frames - 1 as input, of which the first `keep` are output."""

    start: int
    keep: int
    frames: int


def plan_chunks(frames: int, chunk: int, overlap: int) -> Iterator[Chunk]:
    """Cut a clip of `frames` frames into chunks of `chunk`, each with `overlap` frames of look-ahead."""
    if chunk < 1 or overlap < 0:
        raise ValueError(f"chunk is {chunk} and overlap {overlap}, expected at least 1 and 0.")
    for start in range(0, frames, chunk):
        left = frames - start
        yield Chunk(start, min(chunk, left), min(chunk + overlap, left))


def run_chunks(network: VideoNetwork, inputs: ChunkInputs, chunk: int, overlap: int) -> Tensor:
    """Restore a clip in memory chunk by chunk: (N, T, 3, H, W)."""
    restored, state = [], None
    for start, keep, frames in plan_chunks(inputs.frames, chunk, overlap):
        part, state = network(inputs.slice(start, start + frames), state, keep)
        restored.append(part)
    return torch.cat(restored, dim=1)
