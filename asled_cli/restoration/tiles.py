"""Frames cut into overlapping tiles, for pictures that do not fit into memory whole."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from asled_cli.guide import GUIDE_STRIDE

BLEND_PX = 16  # width of the soft seam on either side of a tile's edge; multiple of GUIDE_STRIDE


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of rows or columns: what is computed, and where inside it the result counts.

    start, stop: with context. inner_start, inner_stop: without. size: of the whole picture, pixels.
    """

    start: int
    stop: int
    inner_start: int
    inner_stop: int
    size: int

    def weight(self) -> Tensor:
        """Return (stop - start,) float32: 1 inside, a ramp to 0 across each seam; two ramps add up to 1."""
        position = torch.arange(self.start, self.stop) + 0.5
        weight = torch.ones(self.stop - self.start)
        if self.inner_start > 0:
            weight *= ((position - self.inner_start) / (2 * BLEND_PX) + 0.5).clamp(0, 1)
        if self.inner_stop < self.size:
            weight *= ((self.inner_stop - position) / (2 * BLEND_PX) + 0.5).clamp(0, 1)
        return weight


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the picture; the key under which its recurrent state is kept."""

    rows: Span
    columns: Span

    @property
    def pixels(self) -> int:
        """Pixels of this part, with its context."""
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)

    @property
    def full(self) -> tuple[slice, slice]:
        """Rows and columns of this part in a picture."""
        rows, columns = self.rows, self.columns
        return slice(rows.start, rows.stop), slice(columns.start, columns.stop)

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of this part in a picture, without its context."""
        rows, columns = self.rows, self.columns
        return slice(rows.inner_start, rows.inner_stop), slice(columns.inner_start, columns.inner_stop)

    @property
    def grid(self) -> tuple[slice, slice]:
        """Rows and columns of this part on the guide's grid."""
        return _grid_slice(self.rows), _grid_slice(self.columns)

    def add(self, total: Tensor, part: Tensor) -> None:
        """Add this tile's result (h, w, 3) to the picture (H, W, 3), softly at the seams."""
        weight = self.rows.weight()[:, None, None] * self.columns.weight()[None, :, None]
        total[self.full] += part * weight.to(total.device)


def cut_tiles(height: int, width: int, tile: int, halo_px: int) -> list[Tile]:
    """Cut a picture into tiles, row by row. tile: side in pixels, 0: one tile; halo_px: context."""
    rows = _cut(height, tile, halo_px)
    columns = _cut(width, tile, halo_px)
    return [Tile(row, column) for row in rows for column in columns]


def _cut(size: int, tile: int, halo_px: int) -> list[Span]:
    """Return equal spans of at most `tile` pixels, on the guide's grid, with context around them."""
    if tile <= 0 or tile >= size:
        return [Span(0, size, 0, size, size)]
    halo = _round_up(max(halo_px, BLEND_PX))
    count = -(-size // tile)
    edges = [min(size, _round_up(size * i // count)) for i in range(count)] + [size]
    return [
        Span(max(0, start - halo), min(size, stop + halo), start, stop, size)
        for start, stop in pairwise(edges)
        if stop > start
    ]


def _round_up(value: int) -> int:
    return -(-value // GUIDE_STRIDE) * GUIDE_STRIDE


def _grid_slice(span: Span) -> slice:
    return slice(span.start // GUIDE_STRIDE, -(-span.stop // GUIDE_STRIDE))
