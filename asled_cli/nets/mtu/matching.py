"""Motion by local matching of features (§3.3, after FlowNet), without parameters.

For each position of the 1/4 grid, the most similar position of the previous frame within 10 px in x and y.
Similarities are cosines, averaged over 5x5 positions. The best shift has no gradient; the motion loss (Eq. 2)
has the cost volume's.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.nets.mtu.row_matching import POOL, RADIUS, SIDE, best_places
from asled_cli.nets.mtu.row_matching import SHIFTS as SHIFTS
from asled_cli.nets.warp import is_portable, warp

STRIDE = 4  # pixels per grid pixel
_TILE = 32  # columns that are compared at once; a matter of speed


def cost_volume(current: Tensor, previous: Tensor) -> Tensor:
    """Return C of §3.3, (N, 441, h, w): smoothed cosines of `current` with the shifted `previous`.

    current, previous: features (N, C, h, w). Channel (dy + 10) 21 + dx + 10 compares p with p + (dx, dy); it
    is zero outside of the picture.
    """
    return torch.cat(list(_rows(current, previous)), dim=1)


def find_shift(current: Tensor, previous: Tensor) -> Tensor:
    """Return W of §3.3, (N, 2, h, w) float32: dx, dy in grid pixels of the largest value of the cost volume.

    Of equal ones the first, so that all devices agree. The volume is never held as a whole.
    """
    on_cpu = current.device.type == "cpu" and not is_portable()
    place = (best_places if on_cpu else _best_places)(current.detach(), previous.detach())
    dy, dx = torch.div(place, SIDE, rounding_mode="floor"), place % SIDE
    return torch.stack((dx, dy), dim=1).float() - RADIUS


def shift_labels(flow: Tensor) -> Tensor:
    """Return the index of each true shift in the cost volume, (N, h, w); larger shifts are clamped.

    flow: (N, 2, h, w) in grid pixels towards the previous frame.
    """
    dx, dy = flow.round().clamp(-RADIUS, RADIUS).long().unbind(dim=1)
    return (dy + RADIUS) * SIDE + dx + RADIUS


def motion_loss(volume: Tensor, flow: Tensor) -> Tensor:
    """Return Eq. 2: the mean cross-entropy of the cost volume (N, 441, h, w) against true shifts."""
    return F.cross_entropy(volume.float(), shift_labels(flow))


def pull(features: Tensor, shift: Tensor, border: str) -> Tensor:
    """Return the previous features (N, C, H, W) aligned with the current frame.

    shift: (N, 2, H/4, W/4) grid pixels, enlarged by nearest. border: what is outside, repeat or zeros.
    """
    if border == "repeat" and _by_table(features, shift):
        return _pull_pixels(features, shift)
    full = F.interpolate(shift.float(), scale_factor=STRIDE, mode="nearest") * STRIDE
    if border == "repeat":
        return warp(features, full)
    framed = F.pad(features, (1, 1, 1, 1))  # positions further out end on the frame of zeros
    return warp(framed, F.pad(full, (1, 1, 1, 1), mode="replicate"))[..., 1:-1, 1:-1]


def _by_table(features: Tensor, shift: Tensor) -> bool:
    """Return whether features can be copied pixel by pixel: whole shifts, no gradient, on a CPU."""
    plain = features.device.type == "cpu" and not (torch.is_grad_enabled() or is_portable())
    return plain and bool((shift == shift.round()).all())


def _pull_pixels(features: Tensor, shift: Tensor) -> Tensor:
    """Return what `pull` does for whole shifts, channels_last, the border repeated."""
    count, channels, height, width = features.shape
    h, w = shift.shape[-2:]
    dx, dy = (shift.long() * STRIDE).view(count, 2, h, 1, w, 1).unbind(dim=1)
    y, x = (torch.arange(side).view(-1, STRIDE) for side in (height, width))
    down = (y[None, :, :, None, None] + dy).clamp_(0, height - 1)  # (N, h, STRIDE, w, 1)
    across = (x[None, None, None] + dx).clamp_(0, width - 1)  # (N, h, 1, w, STRIDE)
    first = torch.arange(count).view(count, 1, 1, 1, 1) * height
    rows = ((down + first) * width + across).view(-1)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)  # a view when channels_last
    return table.index_select(0, rows).view(count, height, width, channels).permute(0, 3, 1, 2)


def _best_places(current: Tensor, previous: Tensor) -> Tensor:
    """Return what `best_places` does, on any device and in few operations."""
    best: Tensor | None = None
    for number, row in enumerate(_rows(current, previous)):
        value, index = row.max(dim=1)  # the first of equal values
        index += number * SIDE
        if best is None:
            best, place = value, index
        else:
            better = value > best
            best, place = torch.where(better, value, best), torch.where(better, index, place)
    return place


def _rows(current: Tensor, previous: Tensor) -> Iterator[Tensor]:
    """Yield the 21 channels (N, 21, h, w) of each dy, from -10 to 10, one after the other."""
    return _rows_by_shift(current, previous) if is_portable() else _rows_by_tile(current, previous)


def _rows_by_shift(current: Tensor, previous: Tensor) -> Iterator[Tensor]:
    """Yield as `_rows`, in few operations that other runtimes have; it needs more time and memory."""
    height, width = current.shape[-2:]
    one = F.normalize(current.float(), dim=1)[:, :, None]
    other = F.pad(F.normalize(previous.float(), dim=1), (RADIUS, RADIUS, RADIUS, RADIUS))
    shifted = torch.stack([other[..., dx : dx + width] for dx in range(SIDE)], dim=2)  # (N, C, 21, h + 20, w)
    for dy in range(SIDE):
        products = (one * shifted[..., dy : dy + height, :]).sum(dim=1)
        yield F.avg_pool2d(products, POOL, stride=1, padding=POOL // 2)


def _rows_by_tile(current: Tensor, previous: Tensor) -> Iterator[Tensor]:
    """Yield as `_rows`, by products of matrices."""
    width = current.shape[-1]
    one = _to_tiles(F.normalize(current.float(), dim=1))  # (N, h, tiles, TILE, C)
    other = F.normalize(previous.float(), dim=1)
    right = RADIUS + one.shape[2] * _TILE - width
    other = F.pad(other, (RADIUS, right, RADIUS, RADIUS)).permute(0, 2, 3, 1)  # (N, h + 20, w + 20, C)
    windows = other.unfold(2, _TILE + 2 * RADIUS, _TILE).contiguous()  # (N, h + 20, tiles, C, TILE + 20)
    height = current.shape[-2]

    def row(number: int) -> Tensor:
        products = one @ windows[:, number : number + height]  # all pairs inside a tile
        n, h, tiles, _, reach = products.shape
        flat = products.reshape(n, h, tiles, _TILE * reach)
        # the pairs that are 0..20 columns apart: a band along the diagonal
        band = F.pad(flat, (0, _TILE)).view(n, h, tiles, _TILE, reach + 1)[..., :SIDE]
        channels = band.reshape(n, h, tiles * _TILE, SIDE)[:, :, :width].permute(0, 3, 1, 2)
        return _box_mean(channels)

    return map(row, range(SIDE))


def _box_mean(x: Tensor) -> Tensor:
    """Return the 5x5 mean with zeros around, as shifted sums: a CPU pools many channels far slower."""
    edge = POOL // 2
    padded = F.pad(x, (edge, edge, edge, edge))
    height, width = x.shape[-2:]
    rows = sum((padded[..., k : k + height, :] for k in range(1, POOL)), padded[..., :height, :])
    total: Tensor = sum((rows[..., k : k + width] for k in range(1, POOL)), rows[..., :width])
    return total / POOL**2


def _to_tiles(features: Tensor) -> Tensor:
    """Return (N, h, tiles, TILE, C) of (N, C, h, w), filled up with zeros."""
    padded = F.pad(features, (0, -features.shape[-1] % _TILE)).permute(0, 2, 3, 1)
    n, h, w, c = padded.shape
    return padded.reshape(n, h, w // _TILE, _TILE, c)
