"""Sampling of pictures at points between pixels, bilinear and bicubic, with the border repeated.

The weights are those of OpenCV's INTER_LINEAR and INTER_CUBIC (Keys 1981, with a = -0.75). The taps are
gathered one by one: that runs alike on every device, where `grid_sample` lacks modes on some.
"""

import torch
from torch import Tensor

_SHARPNESS = -0.75  # a of the cubic kernel


def pixel_grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x (1, width) and y (height, 1), float32, of every pixel; they broadcast to (height, width)."""
    x = torch.arange(width, dtype=torch.float32, device=device)[None]
    return x, torch.arange(height, dtype=torch.float32, device=device)[:, None]


def sample(picture: Tensor, u: Tensor, v: Tensor, *, cubic: bool = False) -> Tensor:
    """Return `picture` (H', W', C) float32 at the points (u, v), each (H, W) float32 pixels: (H, W, C)."""
    height, width, channels = picture.shape
    # Farther out every tap is the border, and whole numbers fit into 32 bits.
    u, v = u.clamp(-2, width + 1), v.clamp(-2, height + 1)
    left, top = u.floor(), v.floor()
    taps = _cubic_taps if cubic else _linear_taps
    columns = [((left + i).clamp_(0, width - 1), weight) for i, weight in taps(u - left)]
    rows = [((top + i).clamp_(0, height - 1) * width, weight) for i, weight in taps(v - top)]
    table = picture.reshape(-1, channels)
    total = torch.zeros(*u.shape, channels, device=picture.device)
    for row, down in rows:
        first = row.to(torch.int32)
        for column, across in columns:
            places = (first + column.to(torch.int32)).reshape(-1)
            seen = table.index_select(0, places).view(total.shape)
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
