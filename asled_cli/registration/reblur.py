"""Blurring the sharp reference the way the target was blurred: its own motion, averaged over a trial exposure.

A sharp and a blurry picture of one scene register badly, two equally blurred ones to a few hundredths of a
pixel. The reference is sharp, so its motion is easy to measure; its frames are moved along that motion to
instants inside the target's exposure and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.homography import Image, pixel_grid

# Distance in pixels between neighbouring instants of an exposure, and the bounds on their number.
_INSTANT_STEP_PX = 0.75
_INSTANTS_MIN, _INSTANTS_MAX = 3, 49
# Photographic gamma good enough for averaging light; the exact curve of a phone is not known.
_GAMMA = 2.2
# Neighbouring frames whose motion-compensated correlation is below this show different scenes.
_CUT_CORRELATION = 0.35


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


@dataclass
class Moment:
    """One reference frame on the analysis canvas and its motion.

    time: in target frame intervals. image: (H, W[, 3]) float32 0..1. velocity, acceleration: (H, W, 2)
    float32, pixels per interval (squared), so that what is at p moves to p + v dt + a dt^2 / 2.
    """

    time: float
    image: Image
    velocity: Image
    acceleration: Image


class MotionMeter:
    """Dense flow between neighbouring reference frames (DIS optical flow of OpenCV), both ways."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setVariationalRefinementIterations(3)

    def between(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[Image, Image] | None:
        """Return flow first -> second and second -> first, (H, W, 2) pixels; None if the scene is another one."""
        forward = np.asarray(self._flow.calc(first, second, None), dtype=np.float32)
        backward = np.asarray(self._flow.calc(second, first, None), dtype=np.float32)
        if _correlation(first, _pull(second.astype(np.float32), forward)) < _CUT_CORRELATION:
            return None
        return forward, backward


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
    pairs = [meter.between(a, b) for a, b in zip(codes, codes[1:], strict=False)]
    result = []
    for i, (time, image) in enumerate(zip(times, images, strict=True)):
        after = pairs[i] if i < len(pairs) else None
        before = pairs[i - 1] if i > 0 else None
        velocity, acceleration = motion(
            after[0] if after else None,
            times[i + 1] - time if after else 1.0,
            before[1] if before else None,
            time - times[i - 1] if before else 1.0,
            image.shape[:2],
        )
        result.append(Moment(time, image, velocity, acceleration))
    return result


def motion(
    to_next: Image | None, until_next: float, to_previous: Image | None, since_previous: float, shape: tuple[int, ...]
) -> tuple[Image, Image]:
    """Return velocity and acceleration, each (H, W, 2), that pass through the flows to both neighbours."""
    still = np.zeros((*shape[:2], 2), np.float32)
    if to_next is None and to_previous is None:
        return still, still
    if to_previous is None and to_next is not None:
        return to_next / np.float32(until_next), still
    if to_next is None and to_previous is not None:
        return to_previous / np.float32(-since_previous), still
    assert to_next is not None and to_previous is not None
    ahead, behind = to_next / np.float32(until_next), to_previous / np.float32(since_previous)
    acceleration = (ahead + behind) * np.float32(2 / (until_next + since_previous))
    return ahead - acceleration * np.float32(until_next / 2), acceleration


def displacement(moment: Moment, dt: float) -> Image:
    """Return (H, W, 2): where what is at each pixel now will be `dt` intervals later, minus the pixel."""
    return moment.velocity * np.float32(dt) + moment.acceleration * np.float32(dt * dt / 2)


class Reblur:
    """Averages of a run of reference frames over trial exposures."""

    def __init__(self, frames: Sequence[Moment]) -> None:
        self.frames = frames
        self._times = np.array([f.time for f in frames])
        shape = frames[0].image.shape
        self._x, self._y = pixel_grid((shape[1], shape[0]))
        speed = [float(np.percentile(np.abs(f.velocity[::4, ::4]), 90)) for f in frames]
        self._speed = max(float(np.median(speed)), 0.05)

    def instant(self, time: float) -> Image:
        """Return the view at `time` (intervals): the nearest frame moved along its motion."""
        frame = self.frames[int(np.argmin(np.abs(self._times - time)))]
        dt = time - frame.time
        if abs(dt) < 1e-3:
            return frame.image
        moved = displacement(frame, dt)
        return np.asarray(
            cv2.remap(
                frame.image,
                self._x - moved[..., 0],
                self._y - moved[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.float32,
        )

    def exposed(self, time: float, exposure: Exposure) -> Image:
        """Return the mean view over `exposure` of a target stamped `time` (intervals)."""
        return self._mean(self._instants(time + exposure.shift, exposure), exposure.linear)

    def ladder(self, time: float, lengths: Sequence[float], *, linear: bool = False) -> list[Image]:
        """Return the mean view over each of the rising `lengths` about `time`, sharing the inner instants."""
        total = np.zeros_like(self.frames[0].image)
        covered, result = 0.0, []
        for length in lengths:
            ring = (length - covered) / 2
            count = int(np.clip(np.ceil(self._speed * ring / _INSTANT_STEP_PX), 1, _INSTANTS_MAX))
            for i in range(count):
                reach = covered / 2 + ring * (i + 0.5) / count
                for side in (-reach, reach):
                    total += _to_light(self.instant(time + side), linear) * np.float32(ring / count)
            covered = length
            result.append(_from_light(total / np.float32(length), linear))
        return result

    def _instants(self, middle: float, exposure: Exposure) -> NDArray[np.float64]:
        if exposure.comb:
            count = max(round(exposure.length), 1)
            return middle + np.arange(count) - (count - 1) / 2
        travel = self._speed * exposure.length
        count = int(np.clip(np.ceil(travel / _INSTANT_STEP_PX) + 1, _INSTANTS_MIN, _INSTANTS_MAX))
        return middle + exposure.length * ((np.arange(count) + 0.5) / count - 0.5)

    def _mean(self, times: NDArray[np.float64], linear: bool) -> Image:
        total = np.zeros_like(self.frames[0].image)
        for time in times:
            total += _to_light(self.instant(float(time)), linear)
        return _from_light(total / np.float32(len(times)), linear)


def _to_light(image: Image, linear: bool) -> Image:
    return np.power(np.maximum(image, 0), np.float32(_GAMMA)) if linear else image


def _from_light(image: Image, linear: bool) -> Image:
    return np.power(image, np.float32(1 / _GAMMA)) if linear else image


def _pull(image: Image, flow: Image) -> Image:
    x, y = pixel_grid((image.shape[1], image.shape[0]))
    return np.asarray(
        cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _correlation(first: NDArray[np.generic], second: Image) -> float:
    a, b = first[::2, ::2].astype(np.float64), second[::2, ::2].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    energy = float(np.sqrt((a * a).sum() * (b * b).sum()))
    if energy < 1e-6 * a.size:
        return 1.0  # both are flat: nothing tells them apart
    return float((a * b).sum()) / energy
