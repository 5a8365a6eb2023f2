"""Top-K matching: for each position of one feature map, the K most similar positions of another (paper §3.2).

The paper compares all pairs. That is 4.3 billion similarities for a frame of 256x256 and impossible at 1080p.
Here the choice of K is a search without gradients and with bounded memory, by one of three strategies. The
similarities at the K positions are then computed again with gradients, by the same code for all three.

    global    every position of the key; exact; for small frames and as the reference for the others
    window    every position within `radius` of the own position plus an offset; exact within that window
    coarse    global on features averaged over tile x tile cells, then a window around each cell's match
"""

from math import isqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Strategy = Literal["global", "window", "coarse"]

# Values held at once by a search: 2^20 (4 MB) stays in the cache of one CPU core. GPUs need longer runs.
CPU_BUDGET = 2**20
GPU_BUDGET = 2**26


def match(
    query: Tensor,
    key: Tensor,
    k: int,
    strategy: Strategy = "window",
    *,
    radius: int = 8,
    tile: int = 8,
    offset: Tensor | None = None,
    budget: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the k positions of `key` most similar to each position of `query`, best first (Eq. 1).

    query, key: (N, C, H, W), one size. Similarity is the cosine, computed in float32 at least. Of equal
    similarities the lower position wins. Positions outside the frame are never chosen.
    radius (pixels), offset: the window is `radius` in x and y around p + offset(p); `global` uses neither.
    offset: whole pixels, x right then y down: (2,) for all, or (N, 2, ceil(H / tile), ceil(W / tile)), one
        for each tile; tile=1 gives every pixel its own. Clamped so that tile + offset stays in the frame.
    tile: side in pixels of the squares searched together, and the cell of `coarse` (8 or 16 is fast).
    budget: number of values held at once. It changes speed and memory, never the result.
    Returns indices (N, k, H, W) int64, where y * W + x is a position, and similarities (N, k, H, W) with
    gradients to query and key. Raises ValueError if the shapes differ or the window can be smaller than
    k.
    """
    _check_request(query, key, k, strategy, radius)
    budget = budget or (CPU_BUDGET if query.device.type == "cpu" else GPU_BUDGET)
    with torch.autocast(query.device.type, enabled=False):
        query, key = _normalise(query), _normalise(key)
        with torch.no_grad():
            if strategy == "global":
                indices = _search_all(query, key, k, budget)
            else:
                if strategy == "coarse":
                    offset = _coarse_offset(query, key, tile, budget)
                indices = _search_windows(query, key, k, radius, tile, offset, budget)
        return indices, _similarities_at(query, key, indices)


def aggregate(values: Tensor, indices: Tensor, similarities: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return the sum of the values at the matches, weighted by softmax(similarities / temperature) (Eq. 2).

    values: (N, C, H, W). indices, similarities: (N, K, H, W) from `match`. Gradients reach values and
    similarities. Returns (N, C, H, W) in the dtype of `values`, channels_last in memory.
    """
    count, _, height, width = values.shape
    dtype = values.dtype
    if values.is_cuda and dtype == torch.bfloat16 and torch.is_grad_enabled():
        dtype = torch.float32  # CUDA has no gradient of the bag's weights in bf16
    weights = (similarities / temperature).softmax(dim=1).to(dtype)  # (N, K, H, W), sum 1 over K
    table, rows = _table(values.to(dtype)), _rows_of(indices)  # (N*H*W, C), (N, K, H, W)
    neighbours = indices.shape[1]
    summed = F.embedding_bag(
        rows.movedim(1, -1).reshape(-1, neighbours),
        table,
        mode="sum",
        per_sample_weights=weights.movedim(1, -1).reshape(-1, neighbours),
    )
    return summed.to(values.dtype).view(count, height, width, -1).movedim(-1, 1)


def _check_request(query: Tensor, key: Tensor, k: int, strategy: str, radius: int) -> None:
    if query.shape != key.shape:
        raise ValueError(f"query has shape {tuple(query.shape)}, key {tuple(key.shape)}: they must be equal.")
    height, width = query.shape[-2:]
    if strategy not in ("global", "window", "coarse"):
        raise ValueError(f"unknown search strategy {strategy!r}, expected global, window or coarse.")
    reach = max(height, width) if strategy == "global" else radius + 1  # a frame's corner sees radius + 1
    if not 1 <= k <= min(height, reach) * min(width, reach):
        raise ValueError(
            f"cannot choose {k} positions of a {height}x{width} map with strategy {strategy!r} and radius "
            f"{radius}: a corner of the map sees fewer."
        )


def _normalise(features: Tensor) -> Tensor:
    """Scale vectors along C to unit length, so that a dot product is the cosine; zero stays zero."""
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1, eps=1e-8)


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest along the last axis, best first, ties by lowest index; may overwrite `values`.

    `torch.topk` does not define the order of ties, but takes half the time of k rounds of `max` on a CPU. So
    it runs first, and the rounds run only for rows whose k + 1 largest values are not all different.
    """
    if values.device.type != "cpu" or k >= values.shape[-1]:
        return _largest_in_rounds(values, k)
    best = values.topk(k + 1)
    tied = (best.values[..., 1:] == best.values[..., :-1]).any(-1)
    found, indices = best.values[..., :k], best.indices[..., :k]
    if tied.any():
        found[tied], indices[tied] = _largest_in_rounds(values[tied], k)
    return found, indices


def _largest_in_rounds(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the same as `_largest` by k rounds of `max`, which returns the first of equals.

    Overwrites `values`.
    """
    best = []
    for _ in range(k):
        best.append(values.max(dim=-1))
        values.scatter_(-1, best[-1].indices.unsqueeze(-1), -torch.inf)
    return torch.stack([b.values for b in best], dim=-1), torch.stack([b.indices for b in best], dim=-1)


def _search_all(query: Tensor, key: Tensor, k: int, budget: int) -> Tensor:
    """Return the best k of all positions, block by block: (N, C, H, W) -> (N, k, H, W)."""
    count, _, height, width = query.shape
    queries, keys = query.flatten(2).transpose(1, 2), key.flatten(2)  # (N, HW, C), (N, C, HW)
    side = max(1, isqrt(budget // count))
    chosen = []
    for block in torch.split(queries, side, dim=1):
        best = block.new_empty(*block.shape[:2], 0)
        indices = torch.empty_like(best, dtype=torch.int64)
        for start in range(0, height * width, side):
            similarities = block @ keys[..., start : start + side]  # (N, block, side)
            values, picks = _largest(similarities, min(k, similarities.shape[-1]))
            # Earlier blocks stand first, so that the lower index still wins a tie.
            best, indices = torch.cat((best, values), -1), torch.cat((indices, picks + start), -1)
            best, order = _largest(best, min(k, best.shape[-1]))
            indices = indices.gather(-1, order)
        chosen.append(indices)
    return torch.cat(chosen, dim=1).transpose(1, 2).reshape(count, k, height, width)


def _coarse_offset(query: Tensor, key: Tensor, tile: int, budget: int) -> Tensor:
    """Return the offset of each tile x tile cell of the query to its best match in the key.

    Global search over cells. Returns (N, 2, ceil(H / tile), ceil(W / tile)), whole pixels, x then y.
    """
    cells = [F.avg_pool2d(features, tile, ceil_mode=True) for features in (query, key)]
    found = _search_all(_normalise(cells[0]), _normalise(cells[1]), 1, budget).squeeze(1)  # (N, h, w)
    rows, columns = found.shape[-2:]
    x = found % columns - torch.arange(columns, device=found.device)
    y = found // columns - torch.arange(rows, device=found.device).unsqueeze(1)
    return torch.stack((x, y), dim=1) * tile


def _search_windows(
    query: Tensor, key: Tensor, k: int, radius: int, tile: int, offset: Tensor | None, budget: int
) -> Tensor:
    """Return the best k inside each position's window, (N, C, H, W) -> (N, k, H, W).

    One matrix product per tile: its queries share one square of tile + 2 * radius keys. Keys outside the
    window of a query or outside the frame are masked.
    """
    _, channels, height, width = query.shape
    first_row, top, left = _window_corners(query, radius, tile, offset)  # (tiles,) each
    side = tile + 2 * radius
    queries = _cut_tiles(query, tile)  # (tiles, tile*tile, C)
    table = _table(key)  # (N*H*W, C)
    steps = torch.arange(side, device=query.device)
    unreachable = _unreachable(tile, radius, query)  # (tile*tile, side*side), 0 or -inf
    at_once = max(1, budget // (side * side * (tile * tile + channels)))
    inside = (top >= 0) & (left >= 0) & (top + side <= height) & (left + side <= width)
    chosen = torch.empty(len(queries), tile * tile, k, dtype=torch.int64, device=query.device)
    for within in (True, False):  # most windows lie inside the frame and need no second mask
        for part in torch.split((inside == within).nonzero().squeeze(1), at_once):
            y = (top[part, None] + steps).unsqueeze(2)  # (part, side, 1)
            x = (left[part, None] + steps).unsqueeze(1)  # (part, 1, side)
            positions = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(1)
            keys = F.embedding(positions + first_row[part, None], table)  # (part, side*side, C)
            similarities = torch.baddbmm(unreachable, queries[part], keys.transpose(1, 2))
            if not within:
                outside = ((y < 0) | (y >= height) | (x < 0) | (x >= width)).flatten(1)
                similarities.masked_fill_(outside.unsqueeze(1), -torch.inf)
            picks = _largest(similarities, k)[1]  # (part, tile*tile, k)
            chosen[part] = positions.unsqueeze(1).expand(-1, tile * tile, -1).gather(-1, picks)
    return _join_tiles(chosen, query, tile)


def _window_corners(query: Tensor, radius: int, tile: int, offset: Tensor | None) -> tuple[Tensor, ...]:
    """Return for each tile its image's first row in `_table`, and top and left of its window in pixels."""
    count, _, height, width = query.shape
    rows, columns = -(-height // tile), -(-width // tile)
    device = query.device
    top = torch.arange(rows, device=device).view(1, rows, 1) * tile
    left = torch.arange(columns, device=device).view(1, 1, columns) * tile
    image = torch.arange(count, device=device).view(count, 1, 1) * (height * width)
    shift = torch.zeros(2, dtype=torch.int64, device=device) if offset is None else offset.to(device).long()
    if shift.shape not in ((2,), (count, 2, rows, columns)):
        raise ValueError(
            f"offset has shape {tuple(shift.shape)}, expected (2,) or {(count, 2, rows, columns)} for tiles "
            f"of {tile} pixels."
        )
    shift_x, shift_y = shift.view(1, 2, 1, 1).unbind(1) if shift.ndim == 1 else shift.unbind(1)
    # A tile that hangs over the border moves no further out; every other tile stops at the border.
    new_top = torch.minimum((top + shift_y).clamp(min=0), top.clamp(min=height - tile))
    new_left = torch.minimum((left + shift_x).clamp(min=0), left.clamp(min=width - tile))
    corners = (image, new_top - radius, new_left - radius)
    return tuple(corner.expand(count, rows, columns).reshape(-1) for corner in corners)


def _unreachable(tile: int, radius: int, like: Tensor) -> Tensor:
    """Return a mask (tile*tile, side*side): 0 where a query of a tile reaches a key, -inf elsewhere."""
    inner = torch.arange(tile, device=like.device).unsqueeze(1)
    step = torch.arange(tile + 2 * radius, device=like.device) - inner  # (tile, side); reach is 0..2*radius
    near = (step >= 0) & (step <= 2 * radius)
    both = near[:, None, :, None] & near[None, :, None, :]  # (tile y, tile x, side y, side x)
    blocked = torch.zeros(both.shape, dtype=like.dtype, device=like.device).masked_fill_(~both, -torch.inf)
    return blocked.flatten(2).flatten(0, 1)


def _cut_tiles(features: Tensor, tile: int) -> Tensor:
    """Cut (N, C, H, W) into (N * rows * columns, tile * tile, C), zero-padded at the right and bottom."""
    count, channels, height, width = features.shape
    rows, columns = -(-height // tile), -(-width // tile)
    padded = F.pad(features, (0, columns * tile - width, 0, rows * tile - height))
    tiles = padded.view(count, channels, rows, tile, columns, tile).permute(0, 2, 4, 3, 5, 1)
    return tiles.reshape(-1, tile * tile, channels)


def _join_tiles(chosen: Tensor, query: Tensor, tile: int) -> Tensor:
    """Join results of tiles: (tiles, tile * tile, k) -> (N, k, H, W). The inverse of `_cut_tiles`."""
    count, _, height, width = query.shape
    rows, columns = -(-height // tile), -(-width // tile)
    tiles = chosen.view(count, rows, columns, tile, tile, -1).permute(0, 5, 1, 3, 2, 4)
    return tiles.reshape(count, -1, rows * tile, columns * tile)[..., :height, :width].contiguous()


def _table(values: Tensor) -> Tensor:
    """Return (N, C, H, W) as (N * H * W, C), one row per position; a view when channels_last."""
    return values.movedim(1, -1).reshape(-1, values.shape[1])


def _rows_of(indices: Tensor) -> Tensor:
    """Return positions inside each image, (N, K, H, W), as rows of `_table`."""
    count, _, height, width = indices.shape
    first = torch.arange(count, device=indices.device).view(count, 1, 1, 1) * (height * width)
    return indices + first


def _similarities_at(query: Tensor, key: Tensor, indices: Tensor) -> Tensor:
    """Return the dot products of unit vectors at the matches, with gradients: (N, K, H, W)."""
    table = _table(key)
    queries = query.movedim(1, -1)  # (N, H, W, C)
    chosen = [(queries * F.embedding(rows, table)).sum(-1) for rows in _rows_of(indices).unbind(1)]
    return torch.stack(chosen, dim=1)
