"""SPyNet: its size, its pyramid by hand, and frames of any size."""

import pytest
import torch
from torch import Tensor, nn

from asled_cli.nets.spynet import INPUT_MEAN, INPUT_SPREAD, LEVELS, SpyNet


class Constant(nn.Module):
    """A level that always answers one flow and notes what it saw."""

    def __init__(self, x: float, y: float) -> None:
        super().__init__()
        self.flow = nn.Parameter(torch.tensor([x, y]))
        self.notes: list[Tensor] = []

    def forward(self, seen: Tensor) -> Tensor:
        self.notes.append(seen)
        return self.flow.view(1, 2, 1, 1).expand(len(seen), 2, *seen.shape[-2:])


def test_parameters_as_published() -> None:
    assert sum(p.numel() for p in SpyNet().parameters()) == 1_440_300


def test_pyramid_doubles_sizes_and_vectors_and_adds_corrections() -> None:
    network = SpyNet()
    corrections = [(1.0, 0.0), (0.0, 0.0), (0.0, 0.5), (0.0, 0.0), (-2.0, 0.0), (0.25, 1.0)]
    network.levels = nn.ModuleList(Constant(*flow) for flow in corrections)
    frame = torch.rand(1, 3, 64, 96)
    flows = network.pyramid(frame, frame)
    assert [tuple(flow.shape[-2:]) for flow in flows] == [(2 << i, 3 << i) for i in range(LEVELS)]
    # By hand: x = ((((1*2)*2)*2)*2 - 2)*2 + 0.25, y = (0.5*2*2)*2 + 1
    for flow, x, y in zip(flows, (1, 2, 4, 8, 14, 28.25), (0, 0, 0.5, 1, 2, 5), strict=True):
        torch.testing.assert_close(flow[0, 0], torch.full_like(flow[0, 0], x))
        torch.testing.assert_close(flow[0, 1], torch.full_like(flow[0, 1], y))


def test_each_level_sees_both_frames_at_its_size_with_the_second_moved() -> None:
    network = SpyNet()
    levels = [Constant(1.0 if i == LEVELS - 2 else 0.0, 0.0) for i in range(LEVELS)]
    network.levels = nn.ModuleList(levels)
    first, second = torch.rand(2, 1, 3, 64, 64)
    network(first, second)
    last = levels[-1].notes[0]
    mean, spread = (torch.tensor(t).view(1, 3, 1, 1) for t in (INPUT_MEAN, INPUT_SPREAD))
    torch.testing.assert_close(last[:, :3], (first - mean) / spread)
    torch.testing.assert_close(last[:, 3:6, :, :-2], ((second - mean) / spread)[..., 2:])  # moved by 2 * 1
    torch.testing.assert_close(last[:, 6:], torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64))
    coarsest = levels[0].notes[0][:, :3]
    blocks = ((first - mean) / spread).unfold(2, 32, 32).unfold(3, 32, 32).mean(dim=(-1, -2))
    torch.testing.assert_close(coarsest, blocks)


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (32, 64), (45, 33)])
def test_any_size_comes_back_and_equals_the_padded_frame(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = SpyNet().eval()
    height, width = size
    first, second = torch.rand(2, 1, 3, *size)
    with torch.inference_mode():
        flow = network(first, second)
        rows = torch.arange(-(-height // 32) * 32).clamp(max=height - 1)
        columns = torch.arange(-(-width // 32) * 32).clamp(max=width - 1)
        padded = network(*(f[:, :, rows][:, :, :, columns] for f in (first, second)))
    assert flow.shape == (1, 2, height, width)
    torch.testing.assert_close(flow, padded[..., :height, :width])


def test_half_precision_flows_stay_float32() -> None:
    network = SpyNet().to(torch.bfloat16)
    frame = torch.rand(1, 3, 32, 32)
    assert network(frame, frame).dtype == torch.float32
