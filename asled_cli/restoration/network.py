"""Aligned frames -> changes: what the network or the plain swap adds to each frame.

Restorers have feed and flush, so that the result never depends on how frames arrive. Memory: one chunk with
its look-ahead, whatever the length of the clip. Tiles that stay sharp over a chunk and its look-ahead are not
computed.
"""

import gc
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asled_cli.errors import WeightsError
from asled_cli.nets.interface import VideoNetwork
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import Memory, RestoredFrame, restored_frame
from asled_cli.restoration.oom_fallback import recut_states, smaller_pieces
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES, ChangePictures
from asled_cli.restoration.pictures.device_changes import DeviceChanges
from asled_cli.restoration.pictures.stacking import stack_frames
from asled_cli.restoration.sharp_regions import (
    all_kept,
    keep_sharp_regions,
    keep_unmoved,
    kept_blocks,
    limit_colour,
)
from asled_cli.restoration.tiles import Tile, cut_tiles
from asled_cli.runtime.device import is_out_of_memory, torch_threads
from asled_cli.runtime.memory import memory_limit
from asled_cli.runtime.option_limits import tile_text
from asled_cli.runtime.stages import parallel_map

log = logging.getLogger(__name__)


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
    tiles_at_once: int = 1  # computed side by side, each by its part of the cores
    limits_on_device: bool = False  # changes are limited there too; else by OpenCV on the CPU


class NetworkRestorer:
    """Runs a network chunk by chunk; the forward state goes from chunk to chunk, one for each tile.

    segment: frames after which a chunk always ends, so that work can go on there later; 0: never.
    first: frames before the first segment; 0: none.
    states: states kept by an earlier run, to continue after its last frame. Where memory runs out, pieces are
    halved and the chunk is tried again; `setting` tells the pieces in force.
    """

    def __init__(
        self,
        network: VideoNetwork,
        setting: NetworkSetting,
        segment: int = 0,
        states: dict[Tile, Any] | None = None,
        first: int = 0,
    ) -> None:
        self.network = network
        self.setting = setting
        self.waiting: list[AlignedFrame[Any]] = []
        self._pictures: ChangePictures[Any] = (
            DeviceChanges(setting.device) if setting.limits_on_device else OPENCV_CHANGES
        )
        self.states: dict[Tile, Any] = states or {}
        self._segment = segment
        self._left = first or segment  # frames missing in the current segment

    def push(self, aligned: AlignedFrame[Any]) -> list[RestoredFrame]:
        """Return a chunk of frames once its look-ahead is there, else nothing."""
        if self.setting.strength == 0:
            return [restored_frame(aligned, None)]
        if not self.network.info.needs_reference:
            aligned = replace(aligned, reference=None)
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

    @property
    def _home(self) -> torch.device:
        """Where changes are limited."""
        return self.setting.device if self.setting.limits_on_device else torch.device("cpu")

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
        if not all(math.isfinite(float(change.sum())) for change in changes):
            raise WeightsError(
                "The network gave numbers that are not finite: its weights are damaged, or too large for "
                "the precision.",
                "Use --precision fp32, other --weights, or --method swap.",
            )
        done, self.waiting = self.waiting[:keep], self.waiting[keep:]
        pairs = zip(done, changes, strict=True)
        frames = list(parallel_map(lambda pair: self._finished(*pair), pairs, self._at_once()))
        if self._segment:
            self._left -= keep
            if self._left == 0:
                self._left = self._segment
                frames[-1] = replace(
                    frames[-1], memory=Memory(self.states, self.setting.chunk, self.setting.tile)
                )
        return frames

    def _finished(self, frame: AlignedFrame[Any], found: Tensor) -> RestoredFrame:
        """Return a frame with its change, limited by what its reference and those beside it show."""
        pictures = self._pictures
        change: Any = found if self.setting.limits_on_device else found.numpy()
        if not self.network.info.needs_reference:
            if frame.blur_around is not None:
                change = keep_unmoved(frame.blur_around, change, pictures)
            kept = None if change is None else pictures.array(change)
            return RestoredFrame(frame.pair.target, kept, has_reference=True)  # none is missing
        change = keep_sharp_regions(frame, change, self.setting.strength, pictures)
        change = limit_colour(frame, change, pictures)
        return restored_frame(frame, None if change is None else pictures.array(change))

    def _try(self, keep: int) -> tuple[list[Tensor], dict[Tile, Any]]:
        frames = self.waiting[: keep + self.setting.overlap]
        height, width, _ = frames[0].pair.target.rgb.shape
        tiles = cut_tiles(height, width, self.setting.tile, self.setting.halo_px)
        blurred = self._blurred(tiles, frames)
        if blurred and len(tiles) == 1:
            changes, state = self._tile_changes(tiles[0], frames, keep)
            return changes, {tiles[0]: state}
        states: dict[Tile, Any] = {}
        totals = [torch.zeros(height, width, 3, device=self._home) for _ in range(keep)]
        for tile, (changes, state) in zip(blurred, self._each_tile(blurred, frames, keep), strict=True):
            states[tile] = state
            for total, change in zip(totals, changes, strict=True):
                tile.add(total, change)
        return totals, states

    def _blurred(self, tiles: Sequence[Tile], frames: Sequence[AlignedFrame[Any]]) -> list[Tile]:
        """Return the tiles in which a change counts in any of some frames; the others need no network.

        A tile that is left out forgets its state. It is taken up again with the look-ahead of a chunk, in
        which it is still sharp.
        """
        # Without a reference and any knowledge of blur, a network of two clips changes nothing.
        without = self.network.info.needs_reference
        kept = np.logical_and.reduce([kept_blocks(frame, without_blur=without) for frame in frames])
        size = frames[0].pair.target.rgb.shape[:2]
        return [tile for tile in tiles if not all_kept(kept, tile.full, size)]

    def _each_tile(
        self, tiles: Sequence[Tile], frames: Sequence[AlignedFrame[Any]], keep: int
    ) -> Iterator[tuple[list[Tensor], Any]]:
        """Yield the changes and state of each tile in order; several are computed at once."""
        at_once = max(1, min(self._at_once(), len(tiles)))
        with torch_threads(torch.get_num_threads() // at_once):
            yield from parallel_map(lambda tile: self._tile_changes(tile, frames, keep), tiles, at_once)

    def _at_once(self) -> int:
        """Return how many tiles are computed, or frames finished, side by side."""
        return min(torch.get_num_threads(), self.setting.tiles_at_once)

    def _shrink(self, error: BaseException) -> None:
        """Halve the pieces. Raises MemoryLimitError if they are the smallest already."""
        target = self.waiting[0].pair.target.rgb
        size = target.shape[0], target.shape[1]
        smaller = smaller_pieces(self.setting.chunk, self.setting.tile, size)
        if smaller is None:
            raise memory_limit() from error
        log.warning(
            "memory ran out with chunks of %d frames and %s: continuing with %d frames and %s",
            self.setting.chunk,
            tile_text(self.setting.tile),
            smaller[0],
            tile_text(smaller[1]),
        )
        if smaller[1] != self.setting.tile:
            tiles = cut_tiles(*size, smaller[1], self.setting.halo_px)
            self.states = recut_states(self.states, tiles, size) if self.states else {}
        self.setting = replace(self.setting, chunk=smaller[0], tile=smaller[1])
        gc.collect()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _tile_changes(
        self, tile: Tile, frames: Sequence[AlignedFrame[Any]], keep: int
    ) -> tuple[list[Tensor], Any]:
        """Return strength * (restored - target) of the first `keep` frames in a tile, and the state then.

        The changes are (h, w, 3) float32, where they will be limited.
        """
        inputs = stack_frames(frames, self.setting.device, tile)
        restored, state = self.network(inputs, self.states.get(tile), keep)
        changes = [  # one by one, so that each can be freed as soon as it is written
            (after.float() - before).mul_(self.setting.strength).permute(1, 2, 0).to(self._home)
            for after, before in zip(restored[0], inputs.target[0], strict=False)
        ]
        return changes, state
