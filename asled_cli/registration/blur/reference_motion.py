"""The reference's own motion: dense flow between neighbouring frames, and paths through several of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import luma, luma_codes, shrink
from asled_cli.imaging.warp import warp


@dataclass(frozen=True)
class TrackedFrame:
    """One reference frame on the analysis canvas, and where its content is at the frames around it.

    time: in target frame intervals. image: (H, W[, 3]) float32 0..1. paths: (dt, flow) for up to two frames
    on each side; what is at p now is at p + flow(p) dt intervals later. flow: (H, W, 2) float32 pixels.
    """

    time: float
    image: Image
    paths: tuple[tuple[float, Image], ...]

    @property
    def speed(self) -> float:
        """Typical (90th percentile) motion towards the nearest frames, pixels per interval."""
        nearest = sorted(self.paths, key=lambda path: abs(path[0]))[:1]
        return max(
            (float(np.percentile(np.abs(f[::4, ::4]), 90)) / abs(dt) for dt, f in nearest), default=0.0
        )


def track_frames(times: Sequence[float], images: Sequence[Image], meter: MotionMeter) -> list[TrackedFrame]:
    """Return the frames of one run with their motion; times in target frame intervals, strictly rising."""
    codes = [luma_codes(image) for image in images]
    pairs = [meter.between(a, b) for a, b in pairwise(codes)]
    return [connect(i, times, images[i], pairs) for i in range(len(images))]


def connect(
    i: int, times: Sequence[float], image: Image, pairs: Sequence[tuple[Image, Image] | None]
) -> TrackedFrame:
    """Return frame `i` with its paths; pairs[k] is the flow k -> k + 1 and back, or None across a cut.

    Two frames away, flows are chained.
    """
    paths: list[tuple[float, Image]] = []
    for step, side in ((1, 0), (-1, 1)):
        flow: Image | None = None
        for reach in (1, 2, 3):
            k = i + reach - 1 if step == 1 else i - reach
            pair = pairs[k] if 0 <= k < len(pairs) else None
            if pair is None:
                break
            flow = pair[side] if flow is None else flow + warp(pair[side], flow)
            paths.append((times[i + step * reach] - times[i], flow))
    return TrackedFrame(times[i], image, tuple(paths))


def halved(moment: TrackedFrame) -> TrackedFrame:
    """Return the luma of a moment at half its size."""
    paths = tuple((dt, shrink(flow, 2) / np.float32(2)) for dt, flow in moment.paths)
    image = moment.image if moment.image.ndim == 2 else luma(moment.image)
    return TrackedFrame(moment.time, shrink(image, 2), paths)


def displacement(moment: TrackedFrame, dt: float | Image) -> Image | None:
    """Return (H, W, 2) float32: by how far what is at each pixel now will have moved `dt` intervals later.

    dt: one for all, or (H,) for the rows. The path is the polynomial through all known positions (Lagrange);
    a hand shakes too fast for straight lines between frames. Beyond the last known position it goes on
    straight. None without any motion.
    """
    if not moment.paths:
        return None
    known = [p for p in moment.paths if abs(p[0]) > 1e-6]
    total = np.zeros_like(known[0][1])
    for weight, (_, flow) in zip(_weights([at for at, _ in known], np.atleast_1d(dt)), known, strict=True):
        if len(weight) == 1:
            cv2.scaleAdd(flow, float(weight[0]), total, dst=total)
        else:
            total += flow * weight.astype(np.float32)[:, None, None]
    return total


def _weights(nodes: Sequence[float], times: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (nodes, times): how much of the position at each node makes up the one at each time."""
    at, dt = np.array([0.0, *nodes]), times.astype(np.float64)
    weights = np.stack([np.prod([(dt - n) / (a - n) for n in at if n != a], axis=0) for a in nodes])
    for beyond, node in ((dt > at.max(), int(np.argmax(nodes))), (dt < at.min(), int(np.argmin(nodes)))):
        weights[:, beyond] = 0
        weights[node, beyond] = dt[beyond] / nodes[node]
    return weights


def halved_places(u: Image, v: Image, size: tuple[int, int]) -> tuple[Image, Image]:
    """Return places (u, v) on a canvas with both pictures halved; size: (width, height) of the halved one."""
    # A mean of 2x2 pixels lies between them: position p at half size is 2p + 1/2 at full size.
    half_u, half_v = (
        shrink(places, 2)[: size[1], : size[0]] / np.float32(2) - np.float32(0.25) for places in (u, v)
    )
    return half_u, half_v
