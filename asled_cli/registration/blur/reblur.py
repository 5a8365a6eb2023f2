"""Blurring the sharp reference as the target was blurred: its own motion, averaged over a trial exposure.

A sharp and a blurry picture of one scene register badly, two equally blurred ones to a few hundredths of a
pixel. The reference is sharp, so its motion is easy to measure; its frames are moved along that motion to
instants inside the target's exposure and averaged.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.warp import sample_at
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, ExposureInstant, IntraFrameShake

# Distance in pixels between neighbouring instants of an exposure, and the bounds on their number.
_INSTANT_STEP_PX = 1.0
_INSTANTS_MIN, _INSTANTS_MAX = 3, 41
# Coarser steps do for comparing trial exposures with each other.
_TRIAL_STEP_PX, _TRIAL_INSTANTS_MAX = 1.5, 12
# Photographic gamma good enough for averaging light; the exact curve of a phone is not known.
_GAMMA = 2.2


class Reblur:
    """Averages of a run of reference frames over trial exposures.

    height: rows of the target on the canvas, which lie in its middle; None: all.
    """

    def __init__(self, frames: Sequence[TrackedFrame], height: int | None = None) -> None:
        self.frames = frames
        self.height = height
        self._lights: dict[int, Image] = {}
        self._times = np.array([f.time for f in frames])
        shape = frames[0].image.shape
        self._grid = np.dstack(pixel_grid((shape[1], shape[0])))
        self._speed = max(float(np.median([f.speed for f in frames])), 0.05)

    def instant(
        self, time: float, offset: tuple[float, float] = (0.0, 0.0), rolling_shutter: float = 0.0
    ) -> Image:
        """Return the view at `time` (intervals), moved by `offset`: the nearest frame along its motion."""
        return self._moved(time, linear=False, offset=offset, rolling_shutter=rolling_shutter)

    def exposed(self, time: float, exposure: Exposure, shake: IntraFrameShake = NO_SHAKE) -> Image:
        """Return the mean view over `exposure` of a target stamped `time` (intervals)."""
        return self.exposed_at(time + exposure.shift, exposure, shake)

    def exposed_at(self, middle: float, exposure: Exposure, shake: IntraFrameShake = NO_SHAKE) -> Image:
        """Return the mean view over an `exposure` whose middle, shift included, is at `middle`."""
        total = np.zeros_like(self.frames[0].image)
        views = self._views(middle, exposure, shake)
        for _, view in views:
            total += view
        return from_light(total / np.float32(len(views)), exposure.linear)

    def exposed_slopes(
        self, middle: float, exposure: Exposure, shake: IntraFrameShake
    ) -> tuple[Image, tuple[Image, ...]]:
        """Return that mean, and by how much it changes per pixel of tremor: sine (or way) x, y, bump x, y."""
        total, lean, even = (np.zeros_like(self.frames[0].image) for _ in range(3))
        views = self._views(middle, exposure, shake)
        for tick, view in views:
            total += view
            lean += np.float32(tick.since if exposure.steadied else tick.odd) * view
            even += np.float32(tick.even) * view
        mean = total / np.float32(len(views))
        back = _slope_of_light(mean, exposure.linear) / np.float32(-len(views))
        slopes = [back * gradient(part, axis) for part in (lean, even) for axis in (1, 0)]
        return from_light(mean, exposure.linear), tuple(slopes)

    def tick(self, time: float, middle: float, exposure: Exposure) -> ExposureInstant:
        """Return `time` as a moment within an `exposure` about `middle`."""
        if exposure.steadied:
            return ExposureInstant(time - middle, time - middle)
        i = int(np.argmin(np.abs(self._times - middle)))
        steps = np.diff(self._times)[max(i - 1, 0) : i + 1]
        phase = (time - float(self._times[i])) / (float(steps.mean()) if len(steps) else 1.0)
        return ExposureInstant(time - middle, phase)

    def travel(self, middle: float, exposure: Exposure) -> float:
        """Return how far things typically move within an exposure, pixels."""
        return self.frames[int(np.argmin(np.abs(self._times - middle)))].speed * exposure.length

    def velocity(self, time: float) -> NDArray[np.float64]:
        """Return (2,): how the picture as a whole moves at a time, pixels per interval."""
        frame = self.frames[int(np.argmin(np.abs(self._times - time)))]
        after, before = (displacement(frame, time - frame.time + side) for side in (0.25, -0.25))
        if after is None or before is None:
            return np.zeros(2)
        return np.asarray(2 * np.median((after - before)[::4, ::4], axis=(0, 1)), np.float64)

    def cumulative_exposures(
        self, time: float, lengths: Sequence[float], rolling_shutter: float = 0.0
    ) -> list[Image]:
        """Return the mean view over each of the rising `lengths` about `time`, sharing the inner instants."""
        total = np.zeros_like(self.frames[0].image)
        covered, result = 0.0, []
        for length in lengths:
            ring = (length - covered) / 2
            count = int(np.clip(np.ceil(self._speed * ring / _TRIAL_STEP_PX), 1, _TRIAL_INSTANTS_MAX))
            for i in range(count):
                reach = covered / 2 + ring * (i + 0.5) / count
                for side in (-reach, reach):
                    view = self._moved(time + side, linear=False, rolling_shutter=rolling_shutter)
                    total += view * np.float32(ring / count)
            covered = length
            result.append(total / np.float32(length))
        return result

    def _views(
        self, middle: float, exposure: Exposure, shake: IntraFrameShake
    ) -> list[tuple[ExposureInstant, Image]]:
        """Return the views that an exposure averages, each with its moment; in light if it averages that."""
        views = []
        for time in self._instants(middle, exposure, math.hypot(*shake.linear)).tolist():
            tick = self.tick(time, middle, exposure)
            view = self._moved(
                time, linear=exposure.linear, offset=shake.at(tick), rolling_shutter=exposure.rolling_shutter
            )
            views.append((tick, view))
        return views

    def _moved(
        self,
        time: float,
        *,
        linear: bool,
        offset: tuple[float, float] = (0.0, 0.0),
        rolling_shutter: float = 0.0,
    ) -> Image:
        i = int(np.argmin(np.abs(self._times - time)))
        frame = self.frames[i]
        dt = time - frame.time
        if rolling_shutter:
            moved = displacement(
                frame, np.float32(dt) + row_times(len(frame.image), self.height, rolling_shutter)
            )
        else:
            moved = displacement(frame, dt) if abs(dt) > 1e-3 else None
        image = self._light(i) if linear else frame.image
        if moved is None and offset == (0.0, 0.0):
            return image
        places = self._grid if moved is None else self._grid - moved
        if offset != (0.0, 0.0):
            places = places - np.array(offset, np.float32)
        return sample_at(image, places)

    def _light(self, i: int) -> Image:
        """Return frame `i` in linear light, computed once."""
        if i not in self._lights:
            self._lights[i] = to_light(self.frames[i].image, linear=True)
        return self._lights[i]

    def _instants(self, middle: float, exposure: Exposure, unseen: float = 0.0) -> NDArray[np.float64]:
        if exposure.discrete_frames:
            count = max(round(exposure.length), 1)
            return np.asarray(middle + np.arange(count) - (count - 1) / 2, dtype=np.float64)
        travel = (self._speed + unseen) * exposure.length
        count = int(np.clip(np.ceil(travel / _INSTANT_STEP_PX) + 1, _INSTANTS_MIN, _INSTANTS_MAX))
        return np.asarray(
            middle + exposure.length * ((np.arange(count) + 0.5) / count - 0.5), dtype=np.float64
        )


def row_times(rows: int, height: int | None, rolling_shutter: float) -> Image:
    """Return (rows,) float32: how much later each row of a canvas is exposed than its middle, intervals.

    height: rows of the target, in the middle of the canvas, over which it takes `rolling_shutter`.
    """
    return np.float32(rolling_shutter / (height or rows)) * (
        np.arange(rows, dtype=np.float32) - (rows - 1) / 2
    )


def to_light(image: Image, linear: bool) -> Image:
    """Return what an exposure averages of coded values: linear light, or the values themselves."""
    return np.power(np.maximum(image, 0), np.float32(_GAMMA)) if linear else image


def from_light(image: Image, linear: bool) -> Image:
    """Return the coded values again."""
    return np.power(image, np.float32(1 / _GAMMA)) if linear else image


def _slope_of_light(image: Image, linear: bool) -> Image:
    """Return the derivative of `from_light` at `image`."""
    if not linear:
        return np.ones_like(image)
    slope = np.power(np.maximum(image, np.float32(1e-3)), np.float32(1 / _GAMMA - 1)) / np.float32(_GAMMA)
    return np.asarray(slope, dtype=np.float32)


def gradient(image: Image, axis: int) -> Image:
    """Return the slope of a picture (H, W) along an axis, central differences."""
    return np.asarray(np.gradient(image, axis=axis), dtype=np.float32)
