"""Sums over the colours of pixels and weighted sums of pictures, without copies on a CPU.

torch walks through whole pictures once per operation, and slowly where one weight serves three colours. On a
CPU, without gradients, OpenCV does the same a few rows at a time, while they are in the cache.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.nets.warp import is_portable

_ROWS = 64  # at a time
_MEAN_OF_THREE = np.full((1, 3), 1 / 3, np.float32)


def mean_difference(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean absolute difference over the colours, (N, 1, H, W). one, other: (N, 3, H, W)."""
    if not _by_opencv(one, other):
        return (one - other).abs().mean(dim=1, keepdim=True)
    pairs = zip(_interleaved(one), _interleaved(other), strict=True)
    return _planes([cv2.transform(cv2.absdiff(a, b), _MEAN_OF_THREE) for a, b in pairs])


def mean_size(difference: Tensor) -> Tensor:
    """Return the mean absolute value over the colours, (N, 1, H, W). difference: (N, 3, H, W)."""
    if not _by_opencv(difference):
        return difference.abs().mean(dim=1, keepdim=True)
    return _planes([cv2.transform(np.abs(own), _MEAN_OF_THREE) for own in _interleaved(difference)])


def mix(own: Tensor, scores: Tensor, differences: Sequence[Tensor]) -> Tensor:
    """Return a picture plus weighted differences, (N, 3, H, W).

    own: (N, 3, H, W). scores: (N, n, H, W): the weights are their softmax, with a score of zero for `own`.
    differences: n pictures (N, 3, H, W).
    """
    if not _by_opencv(own, scores, *differences):
        weights = torch.softmax(F.pad(scores, (0, 0, 0, 0, 1, 0)), dim=1)
        mixed = own
        for i, difference in enumerate(differences, start=1):
            mixed = torch.addcmul(mixed, weights[:, i : i + 1], difference)
        return mixed
    pictures = _interleaved(own).copy()
    others = [_interleaved(difference) for difference in differences]
    for n, (picture, planes) in enumerate(zip(pictures, scores.numpy(), strict=True)):
        for top in range(0, len(picture), _ROWS):
            rows = slice(top, top + _ROWS)
            _mix_rows(picture[rows], planes[:, rows], [other[n][rows] for other in others])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _mix_rows(
    picture: NDArray[np.float32], scores: NDArray[np.float32], differences: Sequence[NDArray[np.float32]]
) -> None:
    """Add the weighted differences to some rows of a picture, in place."""
    highest = np.maximum(scores.max(axis=0), 0)
    weights = np.exp(scores - highest)
    weights /= np.exp(-highest) + weights.sum(axis=0)
    for weight, difference in zip(weights, differences, strict=True):
        cv2.accumulateProduct(difference, cv2.merge([weight, weight, weight]), picture)


def _by_opencv(*tensors: Tensor) -> bool:
    """Return whether OpenCV can work on some tensors."""
    return not (torch.is_grad_enabled() or is_portable()) and all(
        one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors
    )


def _interleaved(picture: Tensor) -> NDArray[np.float32]:
    """Return a picture (N, 3, H, W) as (N, H, W, 3), a copy only where it is kept in another order."""
    return np.asarray(picture.permute(0, 2, 3, 1).contiguous().numpy(), np.float32)


def _planes(found: Sequence[cv2.typing.MatLike]) -> Tensor:
    """Return pictures (H, W) as (N, 1, H, W)."""
    return torch.from_numpy(np.stack([np.asarray(one, np.float32) for one in found])[:, None])
