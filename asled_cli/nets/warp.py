"""Warping of images and features along a flow."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_portable = False  # whether all sampling is done by `grid_sample`


@contextmanager
def portable_sampling() -> Iterator[None]:
    """Sample by `grid_sample` on every device, which other runtimes have too."""
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def is_portable() -> bool:
    """Return whether only operations that other runtimes have are used now."""
    return _portable


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Warp `image` along `flow`: out(p) = image(p + flow(p)), bilinear, border repeated.

    image: (N, C, H, W), any floating dtype. flow: (N, 2, H, W) in pixels, x right then y down, any floating
    dtype; positions are always computed in float32. Gradients reach both. Returns (N, C, H, W) in the dtype
    of `image`, channels_last in memory when `image` is. Raises ValueError if the shapes do not fit.
    """
    count, _, height, width = image.shape
    if flow.shape != (count, 2, height, width):
        raise ValueError(
            f"flow has shape {tuple(flow.shape)}, expected {(count, 2, height, width)} for an image of "
            f"shape {tuple(image.shape)}."
        )
    x, y = _positions(flow)
    sample = _sample_rows if image.device.type == "cpu" and not _portable else _sample_grid
    return sample(image, x, y)


def warp_bicubic(picture: Tensor, flow: Tensor) -> Tensor:
    """Warp an image (N, C, H, W) of at most 4 channels along `flow` as `warp` does, but bicubically.

    It keeps detail that `warp` would blur. Without gradients, a CPU uses OpenCV, which is three times faster
    than `grid_sample` and rounds positions to 1/32 of a pixel. Returns float32.
    flow: (N, 2, h, w) in pixels of its own grid, which may be smaller than the image's.
    """
    follows_gradient = torch.is_grad_enabled() and (picture.requires_grad or flow.requires_grad)
    if picture.device.type != "cpu" or follows_gradient or _portable:
        x, y = _positions(scale_flow(flow, *picture.shape[-2:]))
        return _grid_sample(picture, x, y, "bicubic", "border")
    sources = picture.float().permute(0, 2, 3, 1).contiguous().numpy()  # (N, H, W, C)
    moved = np.empty_like(sources)
    for source, own, out in zip(sources, flow.float().permute(0, 2, 3, 1).numpy(), moved, strict=True):
        places = _places(own, (source.shape[1], source.shape[0]))
        # Stubs lack the form with one map of two channels.
        cv2.remap(source, places, None, cv2.INTER_CUBIC, out, cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return torch.from_numpy(moved).permute(0, 3, 1, 2)


def warp_smooth(field: Tensor, flow: Tensor) -> Tensor:
    """Warp a smooth field (N, C, H, W) of at most 4 channels as `warp` does, such as a flow or a guide.

    Without gradients, a CPU uses OpenCV, which is ten times faster and rounds positions to 1/32 of a pixel.
    Returns float32 there. flow: (N, 2, H, W) in pixels.
    """
    if field.device.type != "cpu" or torch.is_grad_enabled() or _portable:
        return warp(field, flow)
    x, y = _positions(flow)
    moved = [
        cv2.remap(
            cv2.merge(list(own.float().numpy())),
            cv2.merge([across.numpy(), down.numpy()]),
            None,  # type: ignore[call-overload]  # stubs lack the form with one map of two channels
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for own, across, down in zip(field, x, y, strict=True)
    ]
    return torch.from_numpy(np.stack(moved)).permute(0, 3, 1, 2)


def _places(flow: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (H, W, 2), the sampling position of each pixel, inside the image of `size` (width, height).

    flow: (h, w, 2) pixels of its own grid.
    """
    (rows, columns), (width, height) = flow.shape[:2], size
    scale = np.array([width / columns, height / rows], np.float32)
    places = np.asarray(cv2.resize(flow * scale, size, interpolation=cv2.INTER_LINEAR), np.float32)
    places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    flat = places.reshape(height, -1)  # x and y side by side
    flat[:, ::2] += np.arange(width, dtype=np.float32)
    np.maximum(flat, 0, out=flat)
    np.minimum(flat, np.tile(np.array([width - 1, height - 1], np.float32), width), out=flat)
    return places


def scale_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resize a flow (N, 2, h, w) bilinearly to (N, 2, height, width) and scale its vectors with the grid."""
    h, w = flow.shape[-2:]
    resized = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False)
    resized[:, 0].mul_(width / w)  # numbers, not a tensor made of them: an exported network has a free size
    resized[:, 1].mul_(height / h)
    return resized


def _positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sampling position of each pixel: x and y, (N, H, W) float32, clamped to the image."""
    _, _, height, width = flow.shape
    flow = flow.float()
    columns = torch.arange(width, dtype=torch.float32, device=flow.device)
    rows = torch.arange(height, dtype=torch.float32, device=flow.device).unsqueeze(1)
    x = (flow[:, 0] + columns).clamp(0, width - 1)
    y = (flow[:, 1] + rows).clamp(0, height - 1)
    return x, y


def _sample_rows(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample bilinearly as a weighted sum of four rows of an (N*H*W, C) table.

    On CPUs this is 5 to 7 times faster than `grid_sample`, which reads one channel at a time (64 channels of
    270 x 480 on two cores: 4.5 ms against 22 ms in float32, 3.4 against 41 in bfloat16).
    """
    count, channels, height, width = image.shape
    find = _corners if torch.is_grad_enabled() else _corners_by_opencv
    corners, weights = find(x, y)
    table = image.permute(0, 2, 3, 1).reshape(-1, channels)  # a view when channels_last
    sampled = F.embedding_bag(
        corners.view(-1, 4), table, mode="sum", per_sample_weights=weights.view(-1, 4).to(image.dtype)
    )
    channels_last = sampled.view(count, height, width, channels).permute(0, 3, 1, 2)
    if image.is_contiguous() and not image.is_contiguous(memory_format=torch.channels_last):
        return channels_last.contiguous()
    return channels_last


def _corners(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of the table around each position, and their weights, both (N, H, W, 4)."""
    count, height, width = x.shape
    left, top = x.detach().floor(), y.detach().floor()
    right_weight, bottom_weight = x - left, y - top
    x0, y0 = left.long(), top.long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    first_row = torch.arange(count, device=x.device).view(count, 1, 1) * (height * width)
    upper, lower = first_row + y0 * width, first_row + y1 * width
    corners = torch.stack((upper + x0, upper + x1, lower + x0, lower + x1), dim=-1)
    left_weight, top_weight = 1 - right_weight, 1 - bottom_weight
    weights = torch.stack(
        (
            top_weight * left_weight,
            top_weight * right_weight,
            bottom_weight * left_weight,
            bottom_weight * right_weight,
        ),
        dim=-1,
    )
    return corners, weights


def _corners_by_opencv(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `_corners` does, without gradients; torch joins four planes far more slowly."""
    count, height, width = x.shape
    to_right, below = int(width > 1), width * int(height > 1)
    corners = np.empty((count, height, width, 4), np.int32)
    weights = np.empty((count, height, width, 4), np.float32)
    for n, (across, down) in enumerate(zip(x.numpy(), y.numpy(), strict=True)):
        left = np.minimum(np.floor(across), max(width - 2, 0))  # so that the next column is there
        top = np.minimum(np.floor(down), max(height - 2, 0))
        right_weight, bottom_weight = across - left, down - top
        both = right_weight * bottom_weight
        upper_right, lower_left = right_weight - both, bottom_weight - both
        cv2.merge([1 - right_weight - lower_left, upper_right, lower_left, both], weights[n])
        first = top.astype(np.int32) * width + left.astype(np.int32) + n * height * width
        cv2.merge([first, first + to_right, first + below, first + (below + to_right)], corners[n])
    return torch.from_numpy(corners), torch.from_numpy(weights)


def _sample_grid(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample bilinearly by `grid_sample`, which is the fast way on GPUs."""
    # Positions are inside already, so the padding mode is free; "zeros" is the one every device knows.
    return _grid_sample(image, x, y, "bilinear", "zeros").to(image.dtype)


def _grid_sample(image: Tensor, x: Tensor, y: Tensor, mode: str, padding: str) -> Tensor:
    """Call `grid_sample` at pixel positions (N, H, W), in float32 even under autocast."""
    height, width = image.shape[-2:]
    grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
    with torch.autocast(image.device.type, enabled=False):
        return F.grid_sample(image.float(), grid, mode=mode, padding_mode=padding, align_corners=True)
