"""Motion of the reference: DIS optical flow between neighbouring frames, and paths through several frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma, luma_codes, shrink
from asled_cli.imaging.warp import warp

REACH = 3  # frames on each side to which the flow is known
# Pixels from patch to patch of the flow of the analysis. 5 instead of the usual 3 took a third less time; on
# two pairs frames fit equally well along it, and half of the pixels moved by less than 0.03 px.
_STRIDE_PX = 5
_SAME_TIME = 1e-6  # intervals; a flow to the frame itself says nothing
Each = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


def _one_by_one(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


@dataclass(frozen=True)
class TrackedFrame:
    """A reference frame on the analysis canvas, with the flow to the frames around it.

    time: in target frame intervals. image: (H, W[, 3]) float32 0..1.
    paths: (dt, flow) for up to three frames on each side. flow: (H, W, 2) float32 pixels; the content at p is
    at p + flow(p) dt intervals later.
    """

    time: float
    image: Image
    paths: tuple[tuple[float, Image], ...]

    @cached_property
    def speed(self) -> float:
        """Return the typical (90th percentile) motion to the nearest frame, pixels per interval."""
        nearest = sorted(self.paths, key=lambda path: abs(path[0]))[:1]
        return max(
            (float(np.percentile(np.abs(f[::4, ::4]), 90)) / abs(dt) for dt, f in nearest), default=0.0
        )

    @cached_property
    def half(self) -> "TrackedFrame":
        """Return the luma of the frame at half size, computed once."""
        return halved(self)


def track_frames(
    times: Sequence[float], images: Sequence[Image], each: Each = _one_by_one
) -> list[TrackedFrame]:
    """Return the frames of one run with their motion.

    times: in target frame intervals, strictly rising. images: (H, W[, 3]) float32 0..1.
    each: calls a function on each of some items and returns the results, perhaps in several threads.
    """
    codes = each(luma_codes, images)
    pairs = each(lambda pair: MotionMeter(_STRIDE_PX).between(*pair), list(pairwise(codes)))
    return each(lambda i: connect(i, times, images[i], pairs), range(len(images)))


def connect(
    i: int,
    times: Sequence[float],
    image: Image,
    pairs: Sequence[tuple[Image, Image] | None],
    chained: dict[tuple[float, int], Image] | None = None,
) -> TrackedFrame:
    """Return frame `i` with its paths. Flow to frames farther away is chained.

    pairs: pairs[k] is the flow k -> k + 1 and back, or None across a cut.
    chained: flow that is known already, by time and steps from there; what is computed is added.
    """
    known = {} if chained is None else chained
    paths: list[tuple[float, Image]] = []
    for step, side in ((1, 0), (-1, 1)):
        flow: Image | None = None
        for reach in range(1, REACH + 1):
            k = i + reach - 1 if step == 1 else i - reach
            pair = pairs[k] if 0 <= k < len(pairs) else None
            if pair is None:
                break
            if flow is None:
                flow = pair[side]
            else:
                key = (times[i], step * reach)
                if key not in known:
                    known[key] = flow + warp(pair[side], flow)
                flow = known[key]
            paths.append((times[i + step * reach] - times[i], flow))
    return TrackedFrame(times[i], image, tuple(paths))


def halved(frame: TrackedFrame) -> TrackedFrame:
    """Return the luma of a frame at half size."""
    return at_half_size(in_luma(frame))


def in_luma(frame: TrackedFrame) -> TrackedFrame:
    """Return a frame with its luma as the picture."""
    return frame if frame.image.ndim == 2 else replace(frame, image=luma(frame.image))


def at_half_size(frame: TrackedFrame) -> TrackedFrame:
    """Return a frame at half size."""
    paths = tuple((dt, shrink(flow, 2) / np.float32(2)) for dt, flow in frame.paths)
    return TrackedFrame(frame.time, shrink(frame.image, 2), paths)


def displacement(frame: TrackedFrame, dt: float | Image, since: float | Image | None = None) -> Image | None:
    """Return (H, W, 2) float32: the displacement of the content at each pixel `dt` intervals later.

    dt: a number, or (H,), one per row. The path is the Lagrange polynomial through all known positions, since
    hand shake is too fast for straight lines between frames. Beyond the last known position it is linear.
    since: as dt, the time from which on the content moves; None: that of the frame.
    Returns None without any known motion.
    """
    if not frame.paths:
        return None
    known = [p for p in frame.paths if abs(p[0]) > _SAME_TIME]
    nodes = [at for at, _ in known]
    weights = path_weights(nodes, np.atleast_1d(dt))
    if since is not None:
        weights = weights - path_weights(nodes, np.atleast_1d(since))
    total = np.zeros_like(known[0][1])
    for weight, (_, flow) in zip(weights, known, strict=True):
        if len(weight) == 1:
            cv2.scaleAdd(flow, float(weight[0]), total, dst=total)
        else:
            total += flow * weight.astype(np.float32)[:, None, None]
    return total


def path_weights(nodes: Sequence[float], times: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (nodes, times): the Lagrange weights of the flow to each node at each time."""
    at, dt = np.array([0.0, *nodes]), times.astype(np.float64)
    weights = np.stack([np.prod([(dt - n) / (a - n) for n in at if n != a], axis=0) for a in nodes])
    for beyond, node in ((dt > at.max(), int(np.argmax(nodes))), (dt < at.min(), int(np.argmin(nodes)))):
        weights[:, beyond] = 0
        weights[node, beyond] = dt[beyond] / nodes[node]
    return weights


def halved_positions(u: Image, v: Image, size: tuple[int, int]) -> tuple[Image, Image]:
    """Return canvas positions (u, v) for both pictures at half size.

    size: (width, height) of the halved target.
    """
    # A mean of 2x2 pixels is centred between them: position p at half size is 2p + 1/2 at full size.
    half_u, half_v = (
        shrink(positions, 2)[: size[1], : size[0]] / np.float32(2) - np.float32(0.25) for positions in (u, v)
    )
    return half_u, half_v
