"""Blurring the sharp reference as the target was blurred: its own motion, averaged over a trial exposure.

A sharp and a blurry picture of one scene register badly, two equally blurred ones to a few hundredths of a
pixel. The reference is sharp, so its motion is easy to measure; its frames are moved along that motion to
instants inside the target's exposure and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.homography import Image, pixel_grid

# Distance in pixels between neighbouring instants of an exposure, and the bounds on their number.
_INSTANT_STEP_PX = 1.0
_INSTANTS_MIN, _INSTANTS_MAX = 3, 41
# Coarser steps do for comparing trial exposures with each other.
_TRIAL_STEP_PX, _TRIAL_INSTANTS_MAX = 1.5, 12
# Photographic gamma good enough for averaging light; the exact curve of a phone is not known.
_GAMMA = 2.2
# Where flow there and back leads home (to 2 px) for less than this share of a picture, the scene has changed.
_CUT_CONSISTENT, _HOME_PX = 0.2, 2.0
# Reduction at which a shift of the whole picture is sought, the share of both pictures that must then show
# the same, and the share of their difference that may be left.
_SHIFT_REDUCTION, _SHIFT_OVERLAP, _SHIFT_GAIN = 4, 0.5, 0.8


@dataclass(frozen=True)
class Exposure:
    """How the target's shutter relates to the reference's frames.

    length: open time in target frame intervals (a mean of N frames: N). shift: by how many intervals its
    middle lies after the target's timestamp. comb: a mean of whole frames rather than of continuous motion.
    linear: averaged in linear light rather than in coded values.
    """

    length: float
    shift: float = 0.0
    comb: bool = False
    linear: bool = False


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


def displacement(moment: Moment, dt: float) -> Image | None:
    """Return (H, W, 2): where what is at each pixel now will be `dt` intervals later, minus the pixel.

    The path is the polynomial through all known positions (Lagrange); a hand shakes too fast for straight
    lines between frames. Beyond the last known position it goes on straight. None without any motion.
    """
    if not moment.paths:
        return None
    known = [p for p in moment.paths if abs(p[0]) > 1e-6]
    low, high = min(0.0, *(p[0] for p in known)), max(0.0, *(p[0] for p in known))
    if dt < low or dt > high:
        ahead = [p for p in known if (p[0] > 0) == (dt > 0)] or known
        nearest_dt, flow = min(ahead, key=lambda p: abs(p[0]))
        return flow * np.float32(dt / nearest_dt)
    nodes = [0.0] + [p[0] for p in known]
    total = np.zeros_like(known[0][1])
    for at, flow in known:
        weight = np.prod([(dt - n) / (at - n) for n in nodes if n != at])
        total += flow * np.float32(weight)
    return total


class Reblur:
    """Averages of a run of reference frames over trial exposures."""

    def __init__(self, frames: Sequence[Moment]) -> None:
        self.frames = frames
        self._lights: dict[int, Image] = {}
        self._times = np.array([f.time for f in frames])
        shape = frames[0].image.shape
        self._x, self._y = pixel_grid((shape[1], shape[0]))
        self._speed = max(float(np.median([f.speed for f in frames])), 0.05)

    def instant(self, time: float) -> Image:
        """Return the view at `time` (intervals): the nearest frame moved along its motion."""
        return self._moved(time, linear=False)

    def exposed(self, time: float, exposure: Exposure) -> Image:
        """Return the mean view over `exposure` of a target stamped `time` (intervals)."""
        return self.exposed_at(time + exposure.shift, exposure)

    def exposed_at(self, middle: float, exposure: Exposure) -> Image:
        """Return the mean view over an `exposure` whose middle, shift included, is at `middle`."""
        times = self._instants(middle, exposure)
        total = np.zeros_like(self.frames[0].image)
        for time in times:
            total += self._moved(float(time), linear=exposure.linear)
        return _from_light(total / np.float32(len(times)), exposure.linear)

    def ladder(self, time: float, lengths: Sequence[float]) -> list[Image]:
        """Return the mean view over each of the rising `lengths` about `time`, sharing the inner instants."""
        total = np.zeros_like(self.frames[0].image)
        covered, result = 0.0, []
        for length in lengths:
            ring = (length - covered) / 2
            count = int(np.clip(np.ceil(self._speed * ring / _TRIAL_STEP_PX), 1, _TRIAL_INSTANTS_MAX))
            for i in range(count):
                reach = covered / 2 + ring * (i + 0.5) / count
                for side in (-reach, reach):
                    total += self._moved(time + side, linear=False) * np.float32(ring / count)
            covered = length
            result.append(total / np.float32(length))
        return result

    def _moved(self, time: float, *, linear: bool) -> Image:
        i = int(np.argmin(np.abs(self._times - time)))
        frame = self.frames[i]
        dt = time - frame.time
        moved = displacement(frame, dt) if abs(dt) > 1e-3 else None
        image = self._light(i) if linear else frame.image
        if moved is None:
            return image
        return np.asarray(
            cv2.remap(
                image,
                self._x - moved[..., 0],
                self._y - moved[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.float32,
        )

    def _light(self, i: int) -> Image:
        """Return frame `i` in linear light, computed once."""
        if i not in self._lights:
            self._lights[i] = np.power(np.maximum(self.frames[i].image, 0), np.float32(_GAMMA))
        return self._lights[i]

    def _instants(self, middle: float, exposure: Exposure) -> NDArray[np.float64]:
        if exposure.comb:
            count = max(round(exposure.length), 1)
            return np.asarray(middle + np.arange(count) - (count - 1) / 2, dtype=np.float64)
        travel = self._speed * exposure.length
        count = int(np.clip(np.ceil(travel / _INSTANT_STEP_PX) + 1, _INSTANTS_MIN, _INSTANTS_MAX))
        return np.asarray(
            middle + exposure.length * ((np.arange(count) + 0.5) / count - 0.5), dtype=np.float64
        )


def _from_light(image: Image, linear: bool) -> Image:
    return np.power(image, np.float32(1 / _GAMMA)) if linear else image


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
