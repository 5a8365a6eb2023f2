"""Matching of MTU: cost volume against loops, order of its channels, exact shifts, border, motion loss."""

import math

import pytest
import torch
from torch import Tensor

from asled_cli.nets.mtu.matching import (
    RADIUS,
    SHIFTS,
    SIDE,
    cost_volume,
    find_shift,
    motion_loss,
    pull,
    shift_labels,
)
from asled_cli.nets.mtu.row_matching import best_places
from asled_cli.nets.warp import portable_sampling, warp


def by_loops(current: Tensor, previous: Tensor) -> Tensor:
    """Cosine of every pair, zero outside, then the 5x5 mean with zeros around: six nested loops."""
    n, _, h, w = current.shape
    raw = torch.zeros(n, SHIFTS, h, w)
    one = current / current.norm(dim=1, keepdim=True).clamp(min=1e-12)
    other = previous / previous.norm(dim=1, keepdim=True).clamp(min=1e-12)
    for b in range(n):
        for y in range(h):
            for x in range(w):
                for dy in range(-RADIUS, RADIUS + 1):
                    for dx in range(-RADIUS, RADIUS + 1):
                        if 0 <= y + dy < h and 0 <= x + dx < w:
                            index = (dy + RADIUS) * SIDE + dx + RADIUS
                            raw[b, index, y, x] = one[b, :, y, x] @ other[b, :, y + dy, x + dx]
    smooth = torch.zeros_like(raw)
    for y in range(h):
        for x in range(w):
            near = raw[..., max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            smooth[..., y, x] = near.sum(dim=(-2, -1)) / 25
    return smooth


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 4), (2, 13)])
def test_cost_volume_against_loops(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(1, 3, *size).relu(), torch.randn(1, 3, *size).relu()
    volume = cost_volume(one, other)
    torch.testing.assert_close(volume, by_loops(one, other), atol=1e-6, rtol=1e-5)
    index = volume.argmax(dim=1)
    expected = torch.stack((index % SIDE - RADIUS, index // SIDE - RADIUS), dim=1).float()
    assert torch.equal(find_shift(one, other), expected)


def test_widths_around_a_tile() -> None:
    torch.manual_seed(0)
    for width in (31, 32, 33, 65):
        one, other = torch.randn(1, 2, 2, width), torch.randn(1, 2, 2, width)
        whole = cost_volume(one, other)
        for x in (0, width // 2, width - 1):  # a part of the picture that holds all that x sees
            left, right = max(0, x - 12), min(width, x + 13)
            part = cost_volume(one[..., left:right], other[..., left:right])
            seen = slice(max(0, x - 0) - left, x - left + 1)
            torch.testing.assert_close(part[..., seen][..., :1, :], whole[..., x : x + 1][..., :1, :])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("width", [1, 43, 44, 45, 100])  # around one strip of columns and its margin
def test_rows_of_a_cpu_find_what_the_volume_says(width: int, threads: int) -> None:
    torch.manual_seed(0)
    one, other = (torch.randn(2, 4, 9, width).relu() for _ in range(2))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = best_places(one, other)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, cost_volume(one, other).argmax(dim=1))
    with portable_sampling():  # as other devices and runtimes do it
        shift = find_shift(one, other)
    assert torch.equal(shift[:, 0] + RADIUS + SIDE * (shift[:, 1] + RADIUS), found.float())


def test_channel_order_by_a_moved_delta() -> None:
    now, before = torch.zeros(1, 1, 25, 25), torch.zeros(1, 1, 25, 25)
    now[0, 0, 12, 12] = before[0, 0, 12 - 2, 12 + 3] = 1
    volume = cost_volume(now, before)
    assert int(volume[0, :, 12, 12].argmax()) == (-2 + RADIUS) * SIDE + 3 + RADIUS
    assert float(volume[0, :, 12, 12].sum()) == pytest.approx(1 / 25)
    assert find_shift(now, before)[0, :, 12, 12].tolist() == [3, -2]
    assert int(shift_labels(torch.tensor([3.2, -1.8]).view(1, 2, 1, 1))) == 8 * SIDE + 13


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (-10, 10), (0, 0), (7, 5)])
def test_shift_of_a_texture_is_exact_inside(dx: int, dy: int) -> None:
    torch.manual_seed(0)
    wide = torch.randn(1, 8, 64, 64).relu()
    now = wide[..., 16:48, 16:48]
    before = wide[..., 16 - dy : 48 - dy, 16 - dx : 48 - dx]  # content at p was at p + (dx, dy)
    inside = find_shift(now, before)[..., 12:-12, 12:-12]
    assert bool((inside == torch.tensor([dx, dy]).view(1, 2, 1, 1)).all())


def test_ties_take_the_first() -> None:
    nothing = torch.zeros(1, 2, 3, 3)
    assert bool((find_shift(nothing, nothing) == -RADIUS).all())


@torch.inference_mode()
def test_whole_shifts_are_copied_as_the_warp_samples_them() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 12, 20).to(memory_format=torch.channels_last)
    shift = torch.randint(-10, 11, (2, 2, 3, 5)).float()  # most of them lead outside
    full = shift.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) * 4
    assert torch.equal(pull(features, shift, "repeat"), warp(features, full))
    torch.testing.assert_close(pull(features, shift + 0.3, "repeat"), warp(features, full + 1.2))


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("border", ["repeat", "zeros"])
def test_shifts_pull_whole_blocks(border: str, inference: bool) -> None:
    torch.manual_seed(0)
    features, shift = torch.randn(1, 2, 12, 16), torch.zeros(1, 2, 3, 4)
    shift[0, :, 1, 1] = torch.tensor([1.0, -1.0])
    shift[0, :, 2, 3] = torch.tensor([5.0, 0.0])  # outside
    with torch.inference_mode(inference):
        pulled = pull(features, shift, border)
    expected = features.clone()
    expected[..., 4:8, 4:8] = features[..., 0:4, 8:12]
    edge = features[..., 8:12, 15:] if border == "repeat" else torch.zeros(1)
    expected[..., 8:12, 12:16] = edge
    assert torch.equal(pulled, expected)


def test_motion_loss_of_certain_and_of_no_knowledge() -> None:
    flow = torch.tensor([4.0, -30.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # the second is clamped to -10
    even = torch.zeros(1, SHIFTS, 3, 3)
    assert float(motion_loss(even, flow)) == pytest.approx(math.log(SHIFTS))
    certain = even.clone()
    certain[:, 0 * SIDE + 14] = 1000
    assert float(motion_loss(certain, flow)) == 0


def test_volume_has_a_gradient() -> None:
    torch.manual_seed(0)
    one = torch.rand(1, 3, 6, 7, requires_grad=True)
    motion_loss(cost_volume(one, torch.rand(1, 3, 6, 7)), torch.zeros(1, 2, 6, 7)).backward()  # type: ignore[no-untyped-call]
    assert one.grad is not None and bool(one.grad.abs().sum() > 0)
