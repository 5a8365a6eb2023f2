"""Sampling of pictures at points between pixels, bilinear and bicubic, with the border repeated.

The weights are those of OpenCV's INTER_LINEAR and INTER_CUBIC (Keys 1981, with a = -0.75). The taps are
gathered one by one: that runs alike on every device, where `grid_sample` lacks modes on some.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_SHARPNESS = -0.75  # a of the cubic kernel
_PIXELS = 1 << 20  # sampled at a time; each takes about 120 bytes meanwhile


def pixel_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x (1, width) and y (height, 1), float32, of every pixel; they broadcast to (height, width)."""
    x = torch.arange(width, dtype=torch.float32, device=device)[None]
    return x, torch.arange(height, dtype=torch.float32, device=device)[:, None]


def sample(picture: Tensor, u: Tensor, v: Tensor, *, cubic: bool = False) -> Tensor:
    """Return `picture` (H', W', C) float32 at the points (u, v), each (H, W) float32 pixels: (H, W, C)."""
    rows = max(1, _PIXELS // u.shape[1])
    taps = _cubic_taps if cubic else _linear_taps
    parts = [
        _sampled(picture, *places, taps)
        for places in zip(torch.split(u, rows), torch.split(v, rows), strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _sampled(
    picture: Tensor, u: Tensor, v: Tensor, taps: Callable[[Tensor], list[tuple[int, Tensor]]]
) -> Tensor:
    """Return some rows of `sample`. taps: offset and weight of each tap along a side."""
    height, width, channels = picture.shape
    # Farther out every tap is the border, and whole numbers fit into 32 bits.
    u, v = u.clamp(-2, width + 1), v.clamp(-2, height + 1)
    left, top = u.floor(), v.floor()
    columns = [((left + i).clamp_(0, width - 1).to(torch.int32), weight) for i, weight in taps(u - left)]
    table = picture.reshape(-1, channels)
    total = torch.zeros(*u.shape, channels, device=picture.device)
    for i, down in taps(v - top):
        row = (top + i).clamp_(0, height - 1).to(torch.int32) * width
        for column, across in columns:
            seen = table.index_select(0, (row + column).reshape(-1)).view(total.shape)
            total.addcmul_(seen, (down * across)[..., None])
    return total


def _linear_taps(fraction: Tensor) -> list[tuple[int, Tensor]]:
    """Return offset and weight of the two taps; fraction: 0..1, past the first one."""
    return [(0, 1 - fraction), (1, fraction)]


def _cubic_taps(fraction: Tensor) -> list[tuple[int, Tensor]]:
    """Return offset and weight of the four taps; fraction: 0..1, past the second one."""
    a, x, y = _SHARPNESS, fraction, 1 - fraction
    first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    second = ((a + 2) * x - (a + 3)) * x * x + 1
    third = ((a + 2) * y - (a + 3)) * y * y + 1
    return [(-1, first), (0, second), (1, third), (2, 1 - first - second - third)]
