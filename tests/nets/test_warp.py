"""Warping against SciPy, and the two implementations (CPU rows, GPU grid) against each other."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from asled_cli.nets.warp import (
    _grid_sample,
    _positions,
    _sample_grid,
    _sample_rows,
    scale_flow,
    warp,
    warp_bicubic,
    warp_smooth,
)

SHAPES = [(1, 1, 1, 1), (1, 3, 7, 5), (2, 8, 12, 9)]


def random_pair(shape: tuple[int, int, int, int], reach: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    count, _, height, width = shape
    image = torch.rand(shape, generator=generator)
    flow = (torch.rand((count, 2, height, width), generator=generator) - 0.5) * 2 * reach
    return image, flow


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 1, 6), (1, 2, 6, 1)])
def test_equals_scipy(shape: tuple[int, int, int, int], gradients: bool) -> None:
    image, flow = random_pair(shape)
    with torch.set_grad_enabled(gradients):
        result = warp(image, flow).numpy()
    rows, columns = np.mgrid[: shape[2], : shape[3]].astype(np.float64)
    for n in range(shape[0]):
        at = [rows + flow[n, 1].numpy(), columns + flow[n, 0].numpy()]
        for c in range(shape[1]):
            expected = map_coordinates(image[n, c].numpy(), at, order=1, mode="nearest")
            np.testing.assert_allclose(result[n, c], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 40, 50), (2, 4, 12, 9)])
def test_smooth_fields_are_warped_to_a_64th_of_their_steps(shape: tuple[int, int, int, int]) -> None:
    field, flow = random_pair(shape)
    step = max(float(field.diff(dim=axis).abs().max()) for axis in (-2, -1))
    with torch.inference_mode():
        found, exact = warp_smooth(field, flow), warp(field, flow)
    assert found.shape == exact.shape
    assert float((found - exact).abs().max()) <= 2 * step / 64 + 1e-5  # rows and columns
    with torch.enable_grad():
        torch.testing.assert_close(warp_smooth(field, flow), exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 3, 7, 5), (2, 4, 12, 9)])
def test_equals_opencv(shape: tuple[int, int, int, int]) -> None:
    """OpenCV rounds positions to 1/32 of a pixel, so the flow is made of such steps."""
    image, flow = random_pair(shape)
    flow = (flow * 32).round() / 32
    result = warp(image, flow).numpy()
    rows, columns = np.mgrid[: shape[2], : shape[3]].astype(np.float32)
    for n in range(shape[0]):
        expected = cv2.remap(
            np.ascontiguousarray(image[n].permute(1, 2, 0).numpy()),
            columns + flow[n, 0].numpy(),
            rows + flow[n, 1].numpy(),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        np.testing.assert_allclose(result[n].transpose(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_equal_grid_with_gradients(shape: tuple[int, int, int, int]) -> None:
    results = []
    for sample in (_sample_rows, _sample_grid):
        image, flow = random_pair(shape)
        image.requires_grad_()
        flow.requires_grad_()
        out = sample(image, *_positions(flow))
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        assert image.grad is not None and flow.grad is not None
        results.append((out.detach(), image.grad, flow.grad))
    for by_rows, by_grid in zip(*results, strict=True):
        if min(shape[2:]) == 1 and by_rows.shape[1] == 2:
            continue  # a single pixel has no slope, and the two implementations may differ there
        torch.testing.assert_close(by_rows, by_grid, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_zero_flow_changes_nothing(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    image = random_pair((2, 8, 12, 9))[0].to(dtype).contiguous(memory_format=memory_format)
    out = warp(image, torch.zeros(2, 2, 12, 9, dtype=torch.float16))
    assert out.dtype == dtype and out.is_contiguous(memory_format=memory_format)
    assert torch.equal(out, image)


def test_whole_pixels_and_border() -> None:
    image = torch.arange(5.0).view(1, 1, 1, 5)
    flow = torch.zeros(1, 2, 1, 5)
    flow[:, 0] = 2
    assert warp(image, flow).flatten().tolist() == [2, 3, 4, 4, 4]


def test_scale_flow_scales_vectors() -> None:
    flow = torch.stack((torch.full((3, 4), 1.5), torch.full((3, 4), -2.0)))[None]
    scaled = scale_flow(flow, 6, 12)
    assert scaled.shape == (1, 2, 6, 12)
    torch.testing.assert_close(scaled[0, :, 2, 5], torch.tensor([4.5, -4.0]))


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected \(1, 2, 4, 4\)"):
        warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 5))


@pytest.mark.parametrize("shape", [(1, 3, 7, 5), (2, 3, 12, 9)])
def test_bicubic_is_the_same_with_and_without_a_gradient(shape: tuple[int, int, int, int]) -> None:
    """OpenCV, at steps of 1/32 of a pixel, against `grid_sample`; and in another order in memory."""
    picture, flow = random_pair(shape)
    flow = (flow * 32).round() / 32
    expected = _grid_sample(picture, *_positions(flow), "bicubic", "border")
    torch.testing.assert_close(warp_bicubic(picture, flow), expected, atol=2e-3, rtol=0)
    strided = picture.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(warp_bicubic(strided, flow), expected, atol=2e-3, rtol=0)
    followed = warp_bicubic(picture.clone().requires_grad_(), flow)
    torch.testing.assert_close(followed, expected)
    followed.sum().backward()  # type: ignore[no-untyped-call]


def test_bicubic_keeps_what_bilinear_blurs() -> None:
    """A wave moved by half a pixel against the wave itself."""
    x = torch.arange(64, dtype=torch.float32)
    wave = torch.sin(2 * torch.pi * x / 5).expand(1, 1, 8, 64)
    moved = torch.sin(2 * torch.pi * (x + 0.5) / 5).expand(1, 1, 8, 64)
    flow = torch.zeros(1, 2, 8, 64)
    flow[:, 0] = 0.5
    inside = np.s_[..., 4:-4]
    errors = [float((sample(wave, flow) - moved)[inside].abs().mean()) for sample in (warp_bicubic, warp)]
    assert errors[0] < 0.5 * errors[1]
