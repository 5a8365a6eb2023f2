"""Local matching on a CPU, one row of some columns at a time, while its costs are in the cache.

A product of matrices compares a few columns with all their candidates; NumPy does the rest in place.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

RADIUS = 10  # D, grid pixels
SIDE = 2 * RADIUS + 1
SHIFTS = SIDE * SIDE
POOL = 5  # side of the mean over positions
_EDGE = POOL // 2
_TILE = 16  # columns that one product compares; a matter of speed, like the next
_TILES = 3  # side by side: with more, the costs of five rows would not stay in the cache
_WIDTH = _TILES * _TILE - 2 * _EDGE  # columns of a strip whose sums are complete
_REACH = _TILE + 2 * RADIUS  # columns of the candidates of a tile

Floats = NDArray[np.float32]


def best_places(current: Tensor, previous: Tensor) -> Tensor:
    """Return the channel of the cost volume with the largest value, (N, h, w) int64; of equal ones the first.

    current, previous: features (N, C, h, w) on the CPU. No gradient passes.
    """
    count, _, height, width = current.shape
    strips = -(-width // _WIDTH)
    margin = _EDGE, strips * _WIDTH - width + _EDGE
    own = F.pad(F.normalize(current.float(), dim=1), margin).permute(0, 2, 3, 1).contiguous().numpy()
    around = margin[0] + RADIUS, margin[1] + RADIUS, RADIUS, RADIUS
    others = F.pad(F.normalize(previous.float(), dim=1).contiguous(), around).numpy()
    best = np.empty((count, height, strips * _WIDTH), np.int64)

    def find(place: tuple[int, int]) -> None:
        n, left = place
        columns = slice(left, left + _TILES * _TILE)
        candidates = others[n, ..., left : columns.stop + 2 * RADIUS]
        _find_in_strip(own[n, :, columns], candidates, best[n, :, left : left + _WIDTH])

    places = [(n, strip * _WIDTH) for n in range(count) for strip in range(strips)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(find, places))
    return torch.from_numpy(best[..., :width])


def _find_in_strip(own: Floats, others: Floats, best: NDArray[np.int64]) -> None:
    """Write the best channels of a strip of columns to `best`, (h, WIDTH).

    own: (h, TILES * TILE, C). others: (C, h + 20, TILES * TILE + 20), their candidates.
    """
    height, columns, channels = own.shape
    tiles = np.ascontiguousarray(own).reshape(height, _TILES, _TILE, channels)
    channel, row, column = others.strides
    windows = as_strided(
        others, (_TILES, channels, height + 2 * RADIUS, _REACH), (_TILE * column, channel, row, column)
    ).reshape(_TILES, channels, -1)
    products = np.empty((_TILES, _TILE, SIDE * _REACH), np.float32)
    far, near, one = products.strides
    # A column and its candidates: a band along the diagonal of what was multiplied.
    band = as_strided(products, (_TILES, _TILE, SIDE, SIDE), (far, near + one, _REACH * one, one))
    costs = np.empty((columns, SHIFTS), np.float32)
    pairs, total = np.empty_like(costs[1:]), np.empty_like(costs[:_WIDTH])
    sums = np.zeros((POOL, _WIDTH, SHIFTS), np.float32)  # of five columns, in each of the last five rows
    for y in range(height + _EDGE):
        sum_of_row = sums[y % POOL]
        if y < height:
            np.matmul(tiles[y], windows[..., y * _REACH : (y + SIDE) * _REACH], out=products)
            np.copyto(costs.reshape(band.shape), band)
            np.add(costs[:-1], costs[1:], out=pairs)
            np.add(pairs[:_WIDTH], pairs[2 : _WIDTH + 2], out=sum_of_row)
            sum_of_row += costs[POOL - 1 :]
        else:
            sum_of_row.fill(0)
        if y >= _EDGE:
            np.add(sums[0], sums[1], out=total)
            for more in sums[2:]:
                total += more
            np.argmax(total, axis=1, out=best[y - _EDGE])
