"""From blended frames to the sharp instants in them: flow and instants in turn, from coarse to fine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asled_cli.deconvolution.blended.instants import Blend, make_blend, nearest_frames
from asled_cli.deconvolution.scene.scene_motion import find_motion
from asled_cli.deconvolution.scene.soft_flow import soft_flows
from asled_cli.deconvolution.views import Planes
from asled_cli.imaging.homography import Image
from asled_cli.runtime.device import torch_threads
from asled_cli.runtime.stages import map_in_threads

AROUND = 4  # frames on either side whose flow shapes the motion of a frame


@dataclass(frozen=True)
class _Pass:
    """Solutions on pictures so many times smaller; the flow is judged by the instants between them."""

    smaller: int
    solutions: int
    steps: int


# Three solutions of a pass instead of two, the flow judged between them: +0.2 dB on seven averaged clips. A
# quarter of the size first, fewer steps at full size: +0.03 dB on three, a fifth less time.
_PASSES = (_Pass(4, 3, 12), _Pass(2, 4, 10), _Pass(1, 2, 10))
_TINT_STEPS = 12
_PATCH_ITERATIONS, _SEEN_SOFT_PX, _FLOW_SOFT_PX = 5, 1.0, 2.0  # of the flow between instants


@dataclass(frozen=True)
class Instants:
    """Sharp instants M = T + count - 1 of T frames, and how they move.

    luma: (M, h, w). tint: (M, h', w', 2), at half size. flows: (M - 1, h, w, 2), from each to the next,
    pixels.
    trust: (M - 1, h, w), 0..1: how far the next one is as the flow says.
    """

    luma: NDArray[np.float32]
    tint: NDArray[np.float32]
    flows: Sequence[Image]
    trust: NDArray[np.float32]


def unblend(frames: Sequence[Planes], soft: Sequence[Image], count: int) -> Instants:
    """Return the instants of consecutive frames, each the mean of `count` of them, an odd number.

    frames: coded values with tint. soft: the same frames by `soft_flow.soft_picture`.
    """
    with torch_threads(1):  # the sums of conjugate gradients depend on the number of threads
        height, width = frames[0].luma.shape
        flows = first_flows(soft, count)
        blend: Blend | None = None
        instants: Tensor | None = None
        for one in _PASSES:
            size = max(width // one.smaller, 1), max(height // one.smaller, 1)
            if instants is not None:
                flows = next_flows(instants[:, 0].numpy(), flows)
            pictures = [resized(frame.luma, size) for frame in frames]
            blend = make_blend(pictures, [resized_flow(flow, size) for flow in flows])
            instants = nearest_frames(blend.frames, count) if instants is None else _enlarged(instants, size)
            for number in range(one.solutions):
                blend = blend.judged(instants) if number else blend
                instants = blend.solved(instants, one.steps)
        assert blend is not None and instants is not None
        fine = [resized_flow(flow, (width, height)) for flow in flows]
        trust = blend.trust[:, 0].numpy()
        tint = _tint(frames, fine, trust, count)
        return Instants(instants[:, 0].numpy(), tint, fine, trust)


def first_flows(soft: Sequence[Image], count: int) -> list[Image]:
    """Return the flow from each instant to the next, from frames too soft for their blur to matter."""
    return instant_flows(frame_flows(soft), count)


def frame_flows(soft: Sequence[Image], reach: int = AROUND, *, quick: bool = False) -> list[list[Image]]:
    """Return for each frame the flows by which `soft_flows` finds it in `reach` frames on either side."""

    def around(t: int) -> list[Image]:
        return soft_flows(soft[max(0, t - reach) : t + reach + 1], min(t, reach), quick=quick)

    return map_in_threads(around, range(len(soft)))


def instant_flows(around: Sequence[Sequence[Image]], count: int, reach: int = AROUND) -> list[Image]:
    """Return the flow from each instant to the next if every frame is the mean of `count` of them.

    around: by `frame_flows`, of the same `reach`; they do not depend on the count.
    """

    def steps(t: int) -> list[Image]:
        """Return the flows from the instants at frame t, and from those beyond an end there."""
        motion = find_motion(around[t], min(t, reach), float(count))
        first = -(count // 2) if t == 0 else 0
        last = count // 2 if t == len(around) - 1 else 1
        places = [motion.at(time) for time in range(first, last + 1)]
        return [np.asarray(after - before, np.float32) for before, after in pairwise(places)]

    return [flow for found in map_in_threads(steps, range(len(around))) for flow in found]


def next_flows(instants: NDArray[np.float32], flows: Sequence[Image]) -> list[Image]:
    """Return the flows (M - 1, h, w, 2) between instants (M, h, w), found from flows of any size."""
    height, width = instants.shape[1:]
    codes = [
        np.clip(cv2.GaussianBlur(one, (0, 0), _SEEN_SOFT_PX) * 255, 0, 255).astype(np.uint8)
        for one in instants
    ]

    def between(j: int) -> Image:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setVariationalRefinementIterations(_PATCH_ITERATIONS)
        moved = search.calc(codes[j], codes[j + 1], resized_flow(flows[j], (width, height)).copy())
        return np.asarray(cv2.GaussianBlur(moved, (0, 0), _FLOW_SOFT_PX), np.float32)

    return map_in_threads(between, range(len(codes) - 1))


def resized(picture: Image, size: tuple[int, int]) -> Image:
    """Return a picture (h, w[, C]) reduced to `size` (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def resized_flow(flow: Image, size: tuple[int, int]) -> Image:
    """Return a flow (h, w, 2) for pictures of `size` (width, height), in their pixels."""
    if flow.shape[1::-1] == size:
        return flow
    factors = np.array([size[0] / flow.shape[1], size[1] / flow.shape[0]], np.float32)
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * factors, np.float32)


def _enlarged(instants: Tensor, size: tuple[int, int]) -> Tensor:
    if instants.shape[:-3:-1] == size:
        return instants
    return torch.nn.functional.interpolate(instants, size[::-1], mode="bilinear", align_corners=False)


def _tint(
    frames: Sequence[Planes], flows: Sequence[Image], trust: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    tints = [frame.tint for frame in frames if frame.tint is not None]
    half = tints[0].shape[1], tints[0].shape[0]
    blend = make_blend(tints, [resized_flow(flow, half) for flow in flows])
    weights = np.stack([resized(one, half) for one in trust])
    blend = replace(blend, trust=torch.from_numpy(weights)[:, None])
    solved = blend.solved(nearest_frames(blend.frames, count), _TINT_STEPS)
    return np.ascontiguousarray(solved.numpy().transpose(0, 2, 3, 1))
