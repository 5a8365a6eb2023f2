"""Convolutions that add a picture or cut off negative values as they write their result.

On a CPU with fast 16-bit products, such a step apart takes as long as the convolution, because it reads and
writes all features again. torch fuses them for compiled networks (its oneDNN operators); here the same
operators are called without a compiler. Where they are missing, for gradients and for exports, the plain
operations do the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

from asled_cli.nets.warp import is_portable

_AVAILABLE = bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
_DTYPES = (torch.float32, torch.bfloat16)


def conv_relu(conv: nn.Conv2d, features: Tensor, slope: float = 0.0) -> Tensor:
    """Return leaky_relu(conv(features), slope), (N, C, H, W). slope: of negative values; 0: plain ReLU."""
    if _fuses(conv, features):
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            features, conv.weight, conv.bias, *_shape(conv), *_named(slope), ""
        )
        return fused
    return _activate(conv(features), slope)


def add_conv(total: Tensor, conv: nn.Conv2d, features: Tensor) -> Tensor:
    """Return total + conv(features), (N, C, H, W)."""
    if _fuses(conv, features) and total.dtype == features.dtype:
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            features, total, conv.weight, conv.bias, *_shape(conv), "add", 1.0, None, [], None
        )
        return fused
    added: Tensor = conv(features)
    return added.add_(total)  # in place: large allocations cost a CPU more than the sum itself


def conv_relu_of_parts(conv: nn.Conv2d, *parts: Tensor) -> Tensor:
    """Return relu(conv(torch.cat(parts, dim=1))), (N, C, H, W), without joining the parts in memory."""
    if len(parts) == 1 or not _fuses(conv, parts[0]):
        return conv_relu(conv, torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
    weights = torch.split(conv.weight, [part.shape[1] for part in parts], dim=1)
    total: Tensor = torch.ops.mkldnn._convolution_pointwise(
        parts[0], weights[0], conv.bias, *_shape(conv), "none", [], ""
    )
    for i in range(1, len(parts)):
        activation = "relu" if i == len(parts) - 1 else None
        torch.ops.mkldnn._convolution_pointwise_.binary(
            total, parts[i], weights[i], None, *_shape(conv), "add", 1.0, activation, [], None
        )
    return total


def up_relu(conv: nn.ConvTranspose2d, features: Tensor, slope: float = 0.0) -> Tensor:
    """Return leaky_relu(conv(features), slope), (N, C, stride H, stride W)."""
    if not _fuses(conv, features) or conv.output_padding != (0, 0):
        return _activate(conv(features), slope)
    padding, stride, dilation, groups = _shape(conv)
    fused: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
        features, conv.weight, conv.bias, padding, [0, 0], stride, dilation, groups, *_named(slope), ""
    )
    return fused


def _named(slope: float) -> tuple[str, list[float]]:
    """Return name and numbers of an activation, as the fused operators take them."""
    return ("leaky_relu", [slope]) if slope else ("relu", [])


def _activate(found: Tensor, slope: float) -> Tensor:
    """Apply the activation in place."""
    return F.leaky_relu(found, slope, inplace=True) if slope else F.relu(found, inplace=True)


def _shape(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[list[int], list[int], list[int], int]:
    """Return padding, stride, dilation and groups, as the fused operators take them."""
    assert not isinstance(conv.padding, str)
    return list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups


def _fuses(conv: nn.Conv2d | nn.ConvTranspose2d, features: Tensor) -> bool:
    """Return whether the fused operators are there and may be used."""
    return (
        _AVAILABLE
        and features.device.type == "cpu"
        and features.dtype == conv.weight.dtype
        and features.dtype in _DTYPES
        and not (torch.is_grad_enabled() or is_portable() or torch.compiler.is_exporting())
    )


def _count_operations(*arguments: object, out_val: Tensor, **_: object) -> int:
    """Return the operations of a fused convolution, for torch's counter."""
    tensors = [one for one in arguments if isinstance(one, Tensor) and one.ndim == 4]
    return conv_flop_count(list(tensors[0].shape), list(tensors[-1].shape), list(out_val.shape))


def _count_operations_up(features: Tensor, weight: Tensor, *_: object, out_val: Tensor, **__: object) -> int:
    """Return those of a fused transposed convolution."""
    return conv_flop_count(list(features.shape), list(weight.shape), list(out_val.shape), transposed=True)


if _AVAILABLE:
    _fused = torch.ops.mkldnn
    register_flop_formula([_fused._convolution_pointwise, _fused._convolution_pointwise_], get_raw=True)(
        _count_operations
    )
    register_flop_formula(_fused._convolution_transpose_pointwise, get_raw=True)(_count_operations_up)
