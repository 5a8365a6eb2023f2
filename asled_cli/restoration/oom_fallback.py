"""Smaller pieces when memory runs out, and the network's states cut to them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.restoration.tiles import Tile

MIN_CHUNK = 3  # frames; shorter ones compute their look-ahead so often that tiles are the better way
MIN_TILE = 128  # pixels; the context around a smaller one is larger than itself


def smaller_pieces(chunk: int, tile: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the next smaller (chunk, tile) for pictures of `size` (height, width); None: there are none.

    First the chunk is halved, then the tile, last the chunk again.
    """
    if chunk > MIN_CHUNK:
        return max(MIN_CHUNK, chunk // 2), tile
    side = tile if 0 < tile < max(size) else max(size)
    half = -(-side // 2 // GUIDE_STRIDE) * GUIDE_STRIDE
    if half >= MIN_TILE:
        return chunk, half
    return (chunk // 2, tile) if chunk > 1 else None


def recut_states(states: dict[Tile, Any], tiles: Sequence[Tile], size: tuple[int, int]) -> dict[Tile, Any]:
    """Cut the same states for other tiles. size: (height, width) of the pictures; states: tuples of tensors.

    Each tensor is (N, C, h, w), as large as its tile or a whole number of times smaller than the padded tile.
    A tile gets none if some of its pixels have none.
    """
    like = next(iter(states.values()))
    whole = [_stitch({tile: state[i] for tile, state in states.items()}, size) for i in range(len(like))]
    known = np.zeros(size, np.bool_)
    for tile in states:
        known[tile.inner] = True
    known_tiles = [tile for tile in tiles if known[tile.full].all()]
    return {tile: _same_kind(like, [_cut(part, tile, size) for part in whole]) for tile in known_tiles}


def _same_kind(like: Any, parts: list[Tensor]) -> Any:
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)


def _scale(part: Tensor, tile: Tile) -> int:
    """Return the downsampling of a state against the padded picture; 0: as large as the bare picture."""
    rows, columns = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
    return 0 if part.shape[-2:] == (rows, columns) else round(_padded(rows) / part.shape[-2])


def _padded(pixels: int) -> int:
    return -(-pixels // GUIDE_STRIDE) * GUIDE_STRIDE


def _places(start: int, stop: int, scale: int) -> slice:
    """Return where pixels start..stop of the picture are in a state of this scale."""
    return slice(start, stop) if scale == 0 else slice(start // scale, _padded(stop) // scale)


def _stitch(parts: dict[Tile, Tensor], size: tuple[int, int]) -> Tensor:
    """Join the parts of all tiles, without their context, to one tensor for the whole picture."""
    tile, part = next(iter(parts.items()))
    scale = _scale(part, tile)
    height, width = (_places(0, extent, scale).stop for extent in size)
    whole = part.new_zeros(*part.shape[:2], height, width)
    for tile, part in parts.items():
        rows = _places(tile.rows.inner_start, tile.rows.inner_stop, scale)
        columns = _places(tile.columns.inner_start, tile.columns.inner_stop, scale)
        top = _places(tile.rows.start, tile.rows.stop, scale).start
        left = _places(tile.columns.start, tile.columns.stop, scale).start
        whole[..., rows, columns] = part[
            ..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
    return whole


def _cut(whole: Tensor, tile: Tile, size: tuple[int, int]) -> Tensor:
    scale = 0 if whole.shape[-2:] == size else round(_padded(size[0]) / whole.shape[-2])
    rows = _places(tile.rows.start, tile.rows.stop, scale)
    columns = _places(tile.columns.start, tile.columns.stop, scale)
    return whole[..., rows, columns].contiguous(memory_format=torch.channels_last)
