"""Convolutions fused with a sum or an activation equal the plain operations."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.nets import fused_conv
from asled_cli.nets.fused_conv import add_conv, conv_relu, conv_relu_of_parts, up_relu

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.04}  # of values up to four: 2^-7 of them


@pytest.fixture(params=[(3, 1, 1), (6, 2, 2), (1, 1, 0)], ids=["3x3", "6x6, stride 2", "1x1"])
def conv(request: pytest.FixtureRequest) -> nn.Conv2d:
    size, stride, padding = request.param
    torch.manual_seed(0)
    return nn.Conv2d(6, 8, size, stride=stride, padding=padding).to(memory_format=torch.channels_last)


@pytest.fixture(params=[torch.channels_last, torch.contiguous_format], ids=["pixels", "planes"])
def features(request: pytest.FixtureRequest) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 6, 18, 22).to(memory_format=request.param)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_activation(conv: nn.Conv2d, features: Tensor, dtype: torch.dtype, slope: float) -> None:
    expected = F.leaky_relu(conv(features), slope)
    found = conv_relu(conv.to(dtype), features.to(dtype), slope)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=TOLERANCES[dtype], rtol=0)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_sum(conv: nn.Conv2d, features: Tensor, dtype: torch.dtype) -> None:
    convolved = conv(features)
    total = torch.randn_like(convolved)
    before = total.clone()
    found = add_conv(total.to(dtype), conv.to(dtype), features.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), before + convolved, atol=TOLERANCES[dtype], rtol=0)
    assert torch.equal(total, before)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("widths", [(6,), (2, 4), (1, 3, 2)])
def test_parts(conv: nn.Conv2d, features: Tensor, dtype: torch.dtype, widths: tuple[int, ...]) -> None:
    expected = conv(features).relu()
    parts = features.to(dtype).split(widths, dim=1)
    found = conv_relu_of_parts(conv.to(dtype), *parts)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=TOLERANCES[dtype], rtol=0)
    assert torch.equal(torch.cat(parts, dim=1), features.to(dtype))


@pytest.fixture(params=[(4, 2, 1, 0), (2, 2, 0, 0), (3, 2, 1, 1)], ids=["4x4", "2x2", "3x3, one more"])
def up(request: pytest.FixtureRequest) -> nn.ConvTranspose2d:
    size, stride, padding, more = request.param
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(6, 8, size, stride=stride, padding=padding, output_padding=more)
    return up.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_enlarging(up: nn.ConvTranspose2d, features: Tensor, dtype: torch.dtype, slope: float) -> None:
    expected = F.leaky_relu(up(features), slope)
    found = up_relu(up.to(dtype), features.to(dtype), slope)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=TOLERANCES[dtype], rtol=0)


def test_input_is_left_alone(conv: nn.Conv2d, features: Tensor) -> None:
    before = features.clone()
    total = conv(features)
    kept = total.clone()
    conv_relu(conv, features)
    add_conv(total, conv, features)
    assert torch.equal(features, before)
    assert torch.equal(total, kept)


def test_without_the_fused_operators(
    conv: nn.Conv2d, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, up = conv(features) + 1, nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1)

    def all_of_them() -> tuple[Tensor, ...]:
        parts = conv_relu_of_parts(conv, *features.split(3, dim=1))
        return conv_relu(conv, features), add_conv(total, conv, features), parts, up_relu(up, features)

    fused = all_of_them()
    monkeypatch.setattr(fused_conv, "_AVAILABLE", False)
    torch.testing.assert_close(fused, all_of_them(), atol=1e-5, rtol=0)


def test_gradients_reach_weights_and_input(conv: nn.Conv2d) -> None:
    with torch.enable_grad():
        features = torch.randn(1, 6, 18, 22, requires_grad=True)
        total = conv(features).detach().requires_grad_()
        parts = conv_relu_of_parts(conv, *features.split(3, dim=1))
        (conv_relu(conv, features) + add_conv(total, conv, features) + parts).sum().backward()
        for part in (features, total, conv.weight):
            assert part.grad is not None
            assert part.grad.abs().sum() > 0


def test_operations_are_counted(
    conv: nn.Conv2d, up: nn.ConvTranspose2d, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    for available in (True, False):
        monkeypatch.setattr(fused_conv, "_AVAILABLE", available and fused_conv._AVAILABLE)
        with FlopCounterMode(display=False) as counter:
            add_conv(conv_relu(conv, features), conv, features)
            conv_relu_of_parts(conv, *features.split(2, dim=1))
            up_relu(up, features)
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1] > 0
