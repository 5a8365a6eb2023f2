"""Supervision of the matching: the truth, shifted, is a sharp view of a blurred frame with known matches.

The idea of supervising motion by data known only in training is from "Real-time video deblurring via
lightweight motion compensation", §3.5. Here it supervises the matching of AsLeD-Net (§3.2), whose choice of
neighbours has no gradient of its own. Every clip can be used, also real video.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from asled_cli.nets.asled.components import AdaptiveLocalMatching

POSITIONS = 128  # per frame; they share one shift, so more add little
TEMPERATURE = 0.1  # of the cosines: right and wrong neighbours differ by some tenths


def matches(network: Any) -> bool:
    """Return whether a network has a matching to supervise."""
    return isinstance(getattr(network, "alm", None), AdaptiveLocalMatching)


def matching_loss(network: Any, target: Tensor, truth: Tensor, key: Sequence[int]) -> Tensor:
    """Return `matching_error` of the network's two encoders on one frame of each sample.

    target, truth: (N, T, 3, H, W). key: the only source of the draws of frame, shift and positions, so a
    resumed run draws the same as an uninterrupted one.
    """
    random = np.random.default_rng(list(key))
    frame = int(random.integers(target.shape[1]))
    radius = min(network.config.search.radius, (min(target.shape[-2:]) - 1) // 4)
    encoders = network.target_encoder, network.reference_encoder
    return matching_error(*encoders, target[:, frame], truth[:, frame], radius, random)


def matching_error(
    encode_target: Callable[[Tensor], Tensor],
    encode_reference: Callable[[Tensor], Tensor],
    target: Tensor,
    truth: Tensor,
    radius: int,
    random: np.random.Generator,
) -> Tensor:
    """Return the cross-entropy of matching, by cosine, the truth shifted by whole pixels.

    target, truth: (N, 3, H, W), more than 4 * radius pixels wide and high. Candidates are all positions
    within `radius` in x and y. A random guess scores log((2 * radius + 1)^2).
    """
    height, width = target.shape[-2:]
    dy, dx = (int(v) for v in random.integers(-radius, radius, size=2, endpoint=True))
    # The content of the target at p is at p + (dx, dy). Content that wrapped around the edge is in no window.
    moved = torch.roll(truth, (dy, dx), dims=(-2, -1))
    margin = 2 * radius
    y = torch.from_numpy(random.integers(margin, height - margin, POSITIONS)).to(target.device)
    x = torch.from_numpy(random.integers(margin, width - margin, POSITIONS)).to(target.device)
    reach = torch.arange(-radius, radius + 1, device=target.device)
    window = (reach[:, None] * width + reach).flatten()  # (O,)
    places = (y * width + x)[:, None] + window  # (P, O)
    query = F.normalize(encode_target(target), dim=1)[:, :, y, x]  # (N, C, P)
    known = F.normalize(encode_reference(moved), dim=1).flatten(2)[:, :, places]  # (N, C, P, O)
    cosines = torch.einsum("ncp,ncpo->npo", query, known)
    right = (dy + radius) * len(reach) + dx + radius
    labels = torch.full((cosines.shape[0] * POSITIONS,), right, device=target.device)
    return F.cross_entropy(cosines.flatten(0, 1) / TEMPERATURE, labels)
