"""Mixing of pictures by OpenCV on a CPU: the same numbers as by torch, which is used with gradients."""

import pytest
import torch
from torch import Tensor

from asled_cli.nets.asled_fast.mixing import mean_difference, mean_size, mix
from asled_cli.nets.warp import scale_flow, warp_bicubic

HEIGHT, WIDTH = 70, 44


def picture(seed: int, count: int = 2, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels_last", [False, True])
def test_mean_sizes_equal_those_of_torch(channels_last: bool) -> None:
    one, other = picture(0), picture(1)
    if channels_last:
        one, other = (image.contiguous(memory_format=torch.channels_last) for image in (one, other))
    expected = (one - other).abs().mean(dim=1, keepdim=True)
    with torch.inference_mode():
        torch.testing.assert_close(mean_difference(one, other), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(mean_size(one - other), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_the_mixture_equals_that_of_torch(scale: float) -> None:
    own, others = picture(0), [picture(i) - 0.5 for i in range(1, 5)]
    scores = (picture(9, channels=4) - 0.5) * scale
    expected = mix(own, scores.requires_grad_(), others)
    before = own.clone()
    with torch.inference_mode():
        found = mix(own, scores.detach(), others)
    torch.testing.assert_close(found, expected.detach(), atol=2e-5, rtol=0)
    assert torch.equal(own, before)


def test_a_picture_is_warped_along_a_flow_of_a_smaller_grid() -> None:
    image, flow = picture(0), 3 * (picture(1, channels=2)[..., :18, :11] - 0.5)
    with torch.inference_mode():
        found = warp_bicubic(image, flow)
        expected = warp_bicubic(image, scale_flow(flow, HEIGHT, WIDTH))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
