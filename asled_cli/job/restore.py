"""Aligned frames -> changes: what the network, or the plain swap of views, wants to add to each frame.

Restorers have feed and flush, so that the result never depends on how frames arrive. Memory: one chunk with
its look-ahead, whatever the length of the clip.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.job.tiles import Tile, cut_tiles
from asled_cli.nets.chunks import ChunkInputs, VideoNetwork
from asled_cli.registration.render import AlignedFrame, swap_weight
from asled_cli.video.frames import Frame

FULL_SCALE = 65535.0  # of a 16-bit picture


@dataclass(frozen=True, slots=True)
class RestoredFrame:
    """A frame and what is to be added to it.

    change: (H, W, 3) float32, RGB with 1.0 as full scale, gamma as coded; None: leave the frame as it is.
    has_reference: whether the other view was there to help.
    """

    target: Frame
    change: NDArray[np.float32] | None
    has_reference: bool


class Restorer(Protocol):
    """Turns aligned frames into restored ones, in order, possibly some frames later."""

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        ...

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that are still inside; the clip is over."""
        ...


def restore(frames: Iterable[AlignedFrame], restorer: Restorer) -> Iterator[RestoredFrame]:
    """Run a whole stream of frames through a restorer."""
    for frame in frames:
        yield from restorer.push(frame)
    yield from restorer.flush()


class SwapRestorer:
    """Puts the aligned reference in the place of the target wherever it can be trusted; no network."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return this frame at once."""
        if aligned.reference is None or self.strength == 0:
            return [_restored(aligned, None)]
        change = aligned.reference.astype(np.float32)
        change -= aligned.pair.target.rgb
        change *= (swap_weight(aligned) * np.float32(self.strength / FULL_SCALE))[..., None]
        return [_restored(aligned, change)]

    def flush(self) -> list[RestoredFrame]:
        """Nothing waits inside."""
        return []


@dataclass(frozen=True, slots=True)
class NetworkSetting:
    """How a network is run."""

    device: torch.device
    dtype: torch.dtype  # of weights and features; pictures stay in 32 bit
    chunk: int  # frames restored at once
    overlap: int  # frames looked ahead past the chunk
    tile: int  # pixels, 0: whole frames
    halo_px: int  # context around a tile
    strength: float


class NetworkRestorer:
    """Runs a network chunk by chunk; the forward state goes from chunk to chunk, one for each tile."""

    def __init__(self, network: VideoNetwork, setting: NetworkSetting) -> None:
        self.network = network
        self.setting = setting
        self.waiting: list[AlignedFrame] = []
        self.states: dict[Tile, Any] = {}

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return a chunk of frames once its look-ahead is there, else nothing."""
        if self.setting.strength == 0:
            return [_restored(aligned, None)]
        self.waiting.append(aligned)
        if len(self.waiting) < self.setting.chunk + self.setting.overlap:
            return []
        return self._run(self.setting.chunk)

    def flush(self) -> list[RestoredFrame]:
        """Restore the rest of the clip, which has no look-ahead past its end."""
        finished: list[RestoredFrame] = []
        while self.waiting:
            finished += self._run(min(self.setting.chunk, len(self.waiting)))
        return finished

    def _run(self, keep: int) -> list[RestoredFrame]:
        inputs = stack_frames(self.waiting, self.setting.device)
        with torch.inference_mode():
            changes = self._changes(inputs, keep)
        done, self.waiting = self.waiting[:keep], self.waiting[keep:]
        return [_restored(frame, change.numpy()) for frame, change in zip(done, changes, strict=True)]

    def _changes(self, inputs: ChunkInputs, keep: int) -> list[Tensor]:
        """strength * (restored - target) for the first `keep` frames, each (H, W, 3) float32 on the CPU."""
        height, width = inputs.target.shape[-2:]
        tiles = cut_tiles(height, width, self.setting.tile, self.setting.halo_px)
        if len(tiles) == 1:
            return self._tile_changes(tiles[0], inputs, keep)
        totals = [torch.zeros(height, width, 3) for _ in range(keep)]
        for tile in tiles:
            for total, change in zip(totals, self._tile_changes(tile, inputs, keep), strict=True):
                tile.add(total, change)
        return totals

    def _tile_changes(self, tile: Tile, inputs: ChunkInputs, keep: int) -> list[Tensor]:
        part = tile.of(inputs)
        restored, self.states[tile] = self.network(part, self.states.get(tile), keep)
        return [  # one by one, so that each can be freed as soon as it is written
            (after.float() - before).mul_(self.setting.strength).permute(1, 2, 0).cpu()
            for after, before in zip(restored[0], part.target[0], strict=False)
        ]


def stack_frames(frames: list[AlignedFrame], device: torch.device) -> ChunkInputs:
    """The frames as one batch of one clip, on `device`; a missing reference becomes a copy of the target."""
    pictures = [frame.pair.target.rgb for frame in frames]
    views = [
        target if frame.reference is None else frame.reference
        for frame, target in zip(frames, pictures, strict=True)
    ]
    return ChunkInputs(
        target=_pictures(pictures, device),
        reference=_pictures(views, device),
        guide=_grids([frame.guide for frame in frames], device),
        flow_previous=_grids([frame.flow_previous for frame in frames], device),
        flow_next=_grids([frame.flow_next for frame in frames], device),
        reset=torch.tensor([[frame.is_cut for frame in frames]], device=device),
    )


def _pictures(pictures: list[NDArray[np.uint16]], device: torch.device) -> Tensor:
    """(1, T, 3, H, W) float32, 0..1; in memory the colours of a pixel lie side by side."""
    height, width, _ = pictures[0].shape
    stacked = torch.empty(len(pictures), height, width, 3, device=device)
    for place, picture in zip(stacked, pictures, strict=True):
        place.copy_(torch.from_numpy(picture))
    stacked /= FULL_SCALE
    return stacked.permute(0, 3, 1, 2)[None]


def _grids(grids: list[NDArray[np.float16]], device: torch.device) -> Tensor:
    """(1, T, C, h, w) float32."""
    stacked = torch.from_numpy(np.stack(grids)).to(device).float()  # (T, h, w, C)
    return stacked.permute(0, 3, 1, 2)[None]


def _restored(aligned: AlignedFrame, change: NDArray[np.float32] | None) -> RestoredFrame:
    return RestoredFrame(aligned.pair.target, change, aligned.reference is not None)
