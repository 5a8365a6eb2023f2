"""The reference's own motion: dense flow between neighbouring frames, and paths through several of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, pixel_grid

# Where flow there and back leads home (to 2 px) for less than this share of a picture, the scene has changed.
_CUT_CONSISTENT, _HOME_PX = 0.2, 2.0
# Reduction at which a shift of the whole picture is sought, the share of both pictures that must then show
# the same, and the share of their difference that may be left.
_SHIFT_REDUCTION, _SHIFT_OVERLAP, _SHIFT_GAIN = 4, 0.5, 0.8


@dataclass(frozen=True)
class Moment:
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


class MotionMeter:
    """Dense flow between neighbouring reference frames (DIS optical flow of OpenCV), both ways."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setVariationalRefinementIterations(3)

    def between(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[Image, Image] | None:
        """Return flow first -> second and back, (H, W, 2) pixels; None if the scene is another one."""
        start = np.empty((*first.shape, 2), np.float32)
        start[:] = _whole_shift(first, second)
        forward = np.asarray(self._flow.calc(first, second, start.copy()), dtype=np.float32)
        backward = np.asarray(self._flow.calc(second, first, -start), dtype=np.float32)
        if _consistent_share(forward, backward) < _CUT_CONSISTENT:
            return None
        return forward, backward


def _whole_shift(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[float, float]:
    """Return where `second` shows what `first` shows, (x, y) pixels, if that is farther than flow can look.

    Phase correlation of reduced pictures; (0, 0) where a shift by it does not bring them clearly closer.
    """
    size = (first.shape[1] // _SHIFT_REDUCTION, first.shape[0] // _SHIFT_REDUCTION)
    a, b = (cv2.resize(f, size, interpolation=cv2.INTER_AREA).astype(np.float32) for f in (first, second))
    (x, y), _ = cv2.phaseCorrelate(a, b, cv2.createHanningWindow(size, cv2.CV_32F))
    moved = cv2.warpAffine(
        b, np.array([[1, 0, x], [0, 1, y]]), size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=-1,
    )  # fmt: skip
    seen = moved >= 0
    if seen.mean() < _SHIFT_OVERLAP:
        return 0.0, 0.0
    still = float(np.abs(a - b)[seen].mean())
    if float(np.abs(a - moved)[seen].mean()) > still * _SHIFT_GAIN:
        return 0.0, 0.0
    return float(x) * _SHIFT_REDUCTION, float(y) * _SHIFT_REDUCTION


def luma_codes(image: Image) -> NDArray[np.uint8]:
    """Return (H, W) uint8 luma of an RGB or grey float picture 0..1, for optical flow."""
    grey = luma(image) if image.ndim == 3 else image
    return np.asarray(np.clip(grey * 255 + 0.5, 0, 255), dtype=np.uint8)


def luma(rgb: Image) -> Image:
    """Return (H, W) float32 luma (Rec. 709 weights) of an RGB picture."""
    return np.asarray(rgb @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32), dtype=np.float32)


def without_shades(grey: Image, sigma_px: float) -> Image:
    """Return a luma less its shades broader than `sigma_px`, in which any two scenes may agree."""
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), sigma_px), dtype=np.float32)


def moments(times: Sequence[float], images: Sequence[Image], meter: MotionMeter) -> list[Moment]:
    """Return the frames of one run with their motion; times in target frame intervals, strictly rising."""
    codes = [luma_codes(image) for image in images]
    pairs = [meter.between(a, b) for a, b in pairwise(codes)]
    return [connect(i, times, images[i], pairs) for i in range(len(images))]


def connect(
    i: int, times: Sequence[float], image: Image, pairs: Sequence[tuple[Image, Image] | None]
) -> Moment:
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
            flow = pair[side] if flow is None else flow + pull(pair[side], flow)
            paths.append((times[i + step * reach] - times[i], flow))
    return Moment(times[i], image, tuple(paths))


def halved(moment: Moment) -> Moment:
    """Return the luma of a moment at half its size."""
    paths = tuple((dt, shrink(flow, 2) / np.float32(2)) for dt, flow in moment.paths)
    image = moment.image if moment.image.ndim == 2 else luma(moment.image)
    return Moment(moment.time, shrink(image, 2), paths)


def displacement(moment: Moment, dt: float | Image) -> Image | None:
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


def pull(image: Image, flow: Image) -> Image:
    """Return `image` (H, W[, C]) sampled at each pixel plus `flow` (H, W, 2)."""
    x, y = pixel_grid((image.shape[1], image.shape[0]))
    return np.asarray(
        cv2.remap(
            image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    )


def _consistent_share(forward: Image, backward: Image) -> float:
    """Return the share of pixels that come home when they follow `forward` and then `backward`."""
    some = np.ascontiguousarray(forward[::2, ::2])
    x, y = pixel_grid((forward.shape[1], forward.shape[0]))
    there = cv2.remap(
        backward, x[::2, ::2] + some[..., 0], y[::2, ::2] + some[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    miss = some + there
    return float(np.mean(miss[..., 0] ** 2 + miss[..., 1] ** 2 < _HOME_PX**2))


def halved_places(u: Image, v: Image, size: tuple[int, int]) -> tuple[Image, Image]:
    """Return places (u, v) on a canvas with both pictures halved; size: (width, height) of the halved one."""
    # A mean of 2x2 pixels lies between them: position p at half size is 2p + 1/2 at full size.
    half_u, half_v = (
        shrink(places, 2)[: size[1], : size[0]] / np.float32(2) - np.float32(0.25) for places in (u, v)
    )
    return half_u, half_v


def shrink(image: Image, factor: int) -> Image:
    """Return `image` reduced by a whole `factor`, each pixel the mean of its square."""
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
