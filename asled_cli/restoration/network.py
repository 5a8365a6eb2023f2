"""Aligned frames -> changes: what the network, or the plain swap of views, wants to add to each frame.

Restorers have feed and flush, so that the result never depends on how frames arrive. Memory: one chunk with
its look-ahead, whatever the length of the clip.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.nets.interface import ChunkInputs, VideoNetwork
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.registration.rendering.temporal_fusion import FrameWindows, fuse_window
from asled_cli.restoration.oom_fallback import recut_states, smaller_pieces, tile_words
from asled_cli.restoration.sharp_regions import guard_colour, sharp_share
from asled_cli.restoration.tiles import Tile, cut_tiles
from asled_cli.runtime.device import is_out_of_memory, memory_limit
from asled_cli.video.frames import Frame

FULL_SCALE = 65535.0  # of a 16-bit picture

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoredFrame:
    """A frame and what is to be added to it.

    change: (H, W, 3) float32, RGB with 1.0 as full scale, gamma as coded; None: leave the frame as it is.
    has_reference: whether the other view was there to help. memory: what must be known to go on after this
    frame in another process, at the end of a segment; None where nothing must.
    """

    target: Frame
    change: NDArray[np.float32] | None
    has_reference: bool
    memory: "Memory | None" = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What a network remembers after a frame: its state for each tile; and the pieces in force."""

    states: dict[Tile, Any]  # each a named tuple of tensors
    chunk: int
    tile: int


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


class FusingRestorer:
    """Hands every frame on with its reference averaged over `reach` frames on either side."""

    def __init__(self, restorer: Restorer, reach: int) -> None:
        self.restorer = restorer
        self._windows = FrameWindows(reach)

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return what the restorer finishes with the frames that have seen their neighbours now."""
        return [done for w in self._windows.push(aligned) for done in self.restorer.push(fuse_window(w))]

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that are still inside either of the two."""
        last = [done for w in self._windows.flush() for done in self.restorer.push(fuse_window(w))]
        return last + self.restorer.flush()


class FrameByFrame:
    """Restores every frame by itself, at once.

    change: what is added to a frame, (H, W, 3) float32, RGB with 1.0 as full scale; None: nothing.
    """

    def __init__(self, change: Callable[[AlignedFrame], NDArray[np.float32] | None]) -> None:
        self._change = change

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return this frame at once."""
        return [_restored(aligned, self._change(aligned))]

    def flush(self) -> list[RestoredFrame]:
        """Nothing waits inside."""
        return []


class SwapRestorer(FrameByFrame):
    """Puts the aligned reference in the place of the target wherever it can be trusted; no network."""

    def __init__(self, strength: float) -> None:
        super().__init__(partial(_swapped, strength))


def _swapped(strength: float, aligned: AlignedFrame) -> NDArray[np.float32] | None:
    nothing = aligned.reference is None or strength == 0
    return None if nothing else _guarded(aligned, swap_change(aligned, strength))


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
    """Runs a network chunk by chunk; the forward state goes from chunk to chunk, one for each tile.

    segment: frames after which a chunk always ends, so that work can go on there later; 0: never.
    states: what an earlier run remembered, to go on after its last frame. Where memory runs out, pieces are
    halved and the chunk is tried again; `setting` tells the pieces in force.
    """

    def __init__(
        self,
        network: VideoNetwork,
        setting: NetworkSetting,
        segment: int = 0,
        states: dict[Tile, Any] | None = None,
    ) -> None:
        self.network = network
        self.setting = setting
        self.waiting: list[AlignedFrame] = []
        self.states: dict[Tile, Any] = states or {}
        self._segment = segment
        self._left = segment  # frames of the segment under way still to come

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return a chunk of frames once its look-ahead is there, else nothing."""
        if self.setting.strength == 0:
            return [_restored(aligned, None)]
        self.waiting.append(aligned)
        finished: list[RestoredFrame] = []
        while len(self.waiting) >= self._next_length() + self.setting.overlap:
            finished += self._run()
        return finished

    def flush(self) -> list[RestoredFrame]:
        """Restore the rest of the clip, which has no look-ahead past its end."""
        finished: list[RestoredFrame] = []
        while self.waiting:
            finished += self._run()
        return finished

    def _next_length(self) -> int:
        return min(self.setting.chunk, self._left) if self._segment else self.setting.chunk

    def _run(self) -> list[RestoredFrame]:
        """Restore the next chunk, in smaller pieces if memory runs out."""
        while True:
            keep = min(self._next_length(), len(self.waiting))
            try:
                changes, self.states = self._try(keep)
                break
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                cause = error
            self._shrink(cause)  # outside the handler, whose traceback holds what could not be computed
            del cause
        done, self.waiting = self.waiting[:keep], self.waiting[keep:]
        frames = [
            _restored(frame, _guarded(frame, _spared(frame, change.numpy(), self.setting.strength)))
            for frame, change in zip(done, changes, strict=True)
        ]
        if self._segment:
            self._left -= keep
            if self._left == 0:
                self._left = self._segment
                frames[-1] = replace(
                    frames[-1], memory=Memory(self.states, self.setting.chunk, self.setting.tile)
                )
        return frames

    def _try(self, keep: int) -> tuple[list[Tensor], dict[Tile, Any]]:
        inputs = stack_frames(self.waiting[: keep + self.setting.overlap], self.setting.device)
        with torch.inference_mode():
            return self._changes(inputs, keep)

    def _shrink(self, error: BaseException) -> None:
        """Halve the pieces. Raises MemoryLimitError if they are the smallest already."""
        target = self.waiting[0].pair.target.rgb
        size = target.shape[0], target.shape[1]
        smaller = smaller_pieces(self.setting.chunk, self.setting.tile, size)
        if smaller is None:
            raise memory_limit() from error
        log.warning(
            "memory ran out with chunks of %d frames and %s: going on with %d frames and %s",
            self.setting.chunk,
            tile_words(self.setting.tile),
            smaller[0],
            tile_words(smaller[1]),
        )
        if smaller[1] != self.setting.tile:
            tiles = cut_tiles(*size, smaller[1], self.setting.halo_px)
            self.states = recut_states(self.states, tiles, size) if self.states else {}
        self.setting = replace(self.setting, chunk=smaller[0], tile=smaller[1])
        gc.collect()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()

    def _changes(self, inputs: ChunkInputs, keep: int) -> tuple[list[Tensor], dict[Tile, Any]]:
        """strength * (restored - target) for the first `keep` frames, each (H, W, 3) float32 on the CPU.

        And the states after them.
        """
        height, width = inputs.target.shape[-2:]
        tiles = cut_tiles(height, width, self.setting.tile, self.setting.halo_px)
        states: dict[Tile, Any] = {}
        if len(tiles) == 1:
            changes, states[tiles[0]] = self._tile_changes(tiles[0], inputs, keep)
            return changes, states
        totals = [torch.zeros(height, width, 3) for _ in range(keep)]
        for tile in tiles:
            changes, states[tile] = self._tile_changes(tile, inputs, keep)
            for total, change in zip(totals, changes, strict=True):
                tile.add(total, change)
        return totals, states

    def _tile_changes(self, tile: Tile, inputs: ChunkInputs, keep: int) -> tuple[list[Tensor], Any]:
        part = tile.of(inputs)
        restored, state = self.network(part, self.states.get(tile), keep)
        changes = [  # one by one, so that each can be freed as soon as it is written
            (after.float() - before).mul_(self.setting.strength).permute(1, 2, 0).cpu()
            for after, before in zip(restored[0], part.target[0], strict=False)
        ]
        return changes, state


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


def swap_change(aligned: AlignedFrame, strength: float) -> NDArray[np.float32]:
    """(H, W, 3): what the plain swap adds to a frame that has a reference."""
    assert aligned.reference is not None
    change = aligned.reference.astype(np.float32)
    change -= aligned.pair.target.rgb
    change *= (swap_weight(aligned) * np.float32(strength / FULL_SCALE))[..., None]
    return change


def _spared(
    aligned: AlignedFrame, change: NDArray[np.float32], strength: float
) -> NDArray[np.float32] | None:
    """A network's change where there was blur; the less of it, the plain swap's, and then none.

    Of made clips that need no mending, 41 dB of likeness to themselves became 45; ten blurred ones lost 0.05.
    Without a reference, blur is what the frames right beside saw of it. None: they saw nothing either.
    """
    blur = aligned.guide[..., 3] if aligned.reference is not None else aligned.blur_around
    if blur is None:
        return None
    sharp = sharp_share(blur, change.shape[1], change.shape[0])
    if sharp is None:
        return change
    share = sharp[..., None]
    if aligned.reference is None:
        return np.asarray(change * (1 - share), np.float32)
    return change + share * ((1 - share) * swap_change(aligned, strength) - change)


def _guarded(aligned: AlignedFrame, change: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """A change without shifts of colour where nothing is blurred; as it is where no reference told so."""
    if change is None or aligned.reference is None:
        return change
    return guard_colour(change, aligned.guide[..., 3])


def _restored(aligned: AlignedFrame, change: NDArray[np.float32] | None) -> RestoredFrame:
    return RestoredFrame(aligned.pair.target, change, aligned.reference is not None)
