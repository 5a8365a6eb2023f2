"""Reblurring: blur the sharp reference along its own motion as the target's exposure did.

A sharp and a blurred view do not register well; two equally blurred views register to a few hundredths of a
pixel. The reference is sharp, so its motion is easy to measure. Its frames are warped along that motion to
instants within the target's exposure and averaged.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.registration.blur.moved_views import Instants, add_views
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.model.exposure import NO_SHAKE, Exposure, ExposureInstant, IntraFrameShake

# Distance in pixels between neighbouring instants of an exposure, and the bounds on their number.
_INSTANT_STEP_PX = 1.0
_MIN_INSTANTS = 3
_MAX_INSTANTS = 41
# The same for trial exposures, which are only compared with each other.
_TRIAL_STEP_PX = 1.5
_MAX_TRIAL_INSTANTS = 12
# A frame this near to an instant, in intervals, shows it as it is.
_SAME_TIME = 1e-3
# Photographic gamma, close enough to average light; the exact tone curve of a phone is unknown.
_GAMMA = 2.2


class Reblur:
    """Reblurred views of a run of reference frames, for trial exposures.

    frames: with their motion, in order of time.
    height: rows of the target, centred on the canvas; None: all rows. It scales the rolling shutter.
    """

    def __init__(self, frames: Sequence[TrackedFrame], height: int | None = None) -> None:
        self.frames = frames
        self.height = height
        self._lights: dict[int, Image] = {}
        self._times = np.array([f.time for f in frames])
        self._speed = max(float(np.median([f.speed for f in frames])), 0.05)

    def instant(
        self, time: float, offset: tuple[float, float] = (0.0, 0.0), rolling_shutter: float = 0.0
    ) -> Image:
        """Return the view at `time` (intervals): the nearest frame, warped along its motion.

        offset: (x, y) canvas pixels by which the picture is displaced besides. rolling_shutter: as in
        `Exposure`.
        """
        i = int(np.argmin(np.abs(self._times - time)))
        if abs(time - self._times[i]) <= _SAME_TIME and offset == (0.0, 0.0) and not rolling_shutter:
            return self.frames[i].image
        one = np.ones((1, 1), np.float32)
        found = self._sums(np.array([time]), np.array([offset]), one, False, rolling_shutter)
        return np.asarray(found[0], np.float32)

    def exposed(self, time: float, exposure: Exposure, shake: IntraFrameShake = NO_SHAKE) -> Image:
        """Return the mean view over the exposure of a target stamped `time` (intervals)."""
        return self.exposed_at(time + exposure.shift, exposure, shake)

    def exposed_at(self, middle: float, exposure: Exposure, shake: IntraFrameShake = NO_SHAKE) -> Image:
        """Return the mean view over an exposure whose middle, shift included, is at `middle` (intervals)."""
        times, _, offsets = self._instants_and_offsets(middle, exposure, shake)
        weights = np.full((1, len(times)), 1 / len(times), np.float32)
        return from_light(
            self._sums(times, offsets, weights, exposure.linear, exposure.rolling_shutter)[0], exposure.linear
        )

    def exposed_slopes(
        self, middle: float, exposure: Exposure, shake: IntraFrameShake
    ) -> tuple[Image, tuple[Image, ...]]:
        """Return the mean view and its derivatives by the four wave coefficients, per pixel.

        The derivatives are those of odd (or linear) x, y and even x, y of `IntraFrameShake`.
        """
        times, instants, offsets = self._instants_and_offsets(middle, exposure, shake)
        waves = [(1.0, exposure.first_wave(instant), instant.even) for instant in instants]
        weights = np.array(waves, np.float32).T / np.float32(len(times))
        mean, first, even = self._sums(times, offsets, weights, exposure.linear, exposure.rolling_shutter)
        view = from_light(mean, exposure.linear)
        slopes = [gradient(part, axis) for part in (first, even) for axis in (1, 0)]
        back = -_slope_of_light(mean, view) if exposure.linear else np.float32(-1)
        return view, tuple(back * slope for slope in slopes)

    def exposure_instant(self, time: float, middle: float, exposure: Exposure) -> ExposureInstant:
        """Return `time` as an instant within an exposure about `middle` (intervals)."""
        i = int(np.argmin(np.abs(self._times - middle)))
        steps = np.diff(self._times)[max(i - 1, 0) : i + 1]
        phase = (time - float(self._times[i])) / (float(steps.mean()) if len(steps) else 1.0)
        return exposure.instant(time - middle, phase)

    def travel(self, middle: float, exposure: Exposure) -> float:
        """Return the typical motion within an exposure, pixels."""
        return self.frames[int(np.argmin(np.abs(self._times - middle)))].speed * exposure.length

    def velocity(self, time: float) -> NDArray[np.float64]:
        """Return (2,), the median motion of the picture at a time, pixels per interval."""
        frame = self.frames[int(np.argmin(np.abs(self._times - time)))]
        after, before = (displacement(frame, time - frame.time + side) for side in (0.25, -0.25))
        if after is None or before is None:
            return np.zeros(2)
        return np.asarray(2 * np.median((after - before)[::4, ::4], axis=(0, 1)), np.float64)

    def cumulative_exposures(
        self, time: float, lengths: Sequence[float], rolling_shutter: float = 0.0
    ) -> list[Image]:
        """Return the mean view over each of the rising `lengths` (intervals) about `time`.

        A longer exposure reuses the instants of the shorter ones.
        """
        times: list[float] = []
        shares: list[tuple[int, float]] = []  # of each instant: the first length with it, and its duration
        covered = 0.0
        for k, length in enumerate(lengths):
            half_ring = (length - covered) / 2
            count = int(np.clip(np.ceil(self._speed * half_ring / _TRIAL_STEP_PX), 1, _MAX_TRIAL_INSTANTS))
            for i in range(count):
                reach = covered / 2 + half_ring * (i + 0.5) / count
                times += [time - reach, time + reach]
                shares += [(k, half_ring / count)] * 2
            covered = length
        weights = [[share if k <= i else 0.0 for k, share in shares] for i in range(len(lengths))]
        offsets = np.zeros((len(times), 2))
        each = np.array(weights, np.float32) / np.array(lengths, np.float32)[:, None]
        return list(self._sums(np.array(times), offsets, each, False, rolling_shutter))

    def _instants_and_offsets(
        self, middle: float, exposure: Exposure, shake: IntraFrameShake
    ) -> tuple[NDArray[np.float64], list[ExposureInstant], NDArray[np.float64]]:
        """Return the instants of an exposure as times (n,) and as parts of it, and their offsets (n, 2)."""
        times = self._instants(middle, exposure, math.hypot(*shake.linear))
        instants = [self.exposure_instant(time, middle, exposure) for time in times.tolist()]
        return times, instants, np.array([shake.at(instant) for instant in instants])

    def _sums(
        self,
        times: NDArray[np.float64],
        offsets: NDArray[np.float64],
        weights: NDArray[np.float32],
        linear: bool,
        rolling_shutter: float,
    ) -> Image:
        """Return (sums, H, W[, C]): sums of the views at `times` (n,), with `weights` (sums, n).

        offsets: (n, 2) pixels by which the views are displaced besides. linear: of linear light, else of
        coded values.
        """
        totals = np.zeros((len(weights), *self.frames[0].image.shape), np.float32)
        nearest = np.argmin(np.abs(self._times[:, None] - times), axis=0)
        for i in np.unique(nearest).tolist():
            frame, chosen = self.frames[i], nearest == i
            delays = row_times(len(frame.image), self.height, rolling_shutter) if rolling_shutter else None
            instants = Instants(times[chosen] - frame.time, offsets[chosen], delays)
            image = self._light(i) if linear else frame.image
            add_views(totals, frame, image, instants, weights[:, chosen])
        return totals

    def _light(self, i: int) -> Image:
        """Return frame `i` in linear light, computed once."""
        if i not in self._lights:
            self._lights[i] = to_light(self.frames[i].image, linear=True)
        return self._lights[i]

    def _instants(self, middle: float, exposure: Exposure, hidden_speed: float = 0.0) -> NDArray[np.float64]:
        """Return the instants (N,) of an exposure, intervals.

        hidden_speed: of motion that the frames do not show, pixels per interval.
        """
        if exposure.discrete_frames:
            count = max(round(exposure.length), 1)
            return np.asarray(middle + np.arange(count) - (count - 1) / 2, dtype=np.float64)
        travel = (self._speed + hidden_speed) * exposure.length
        count = int(np.clip(np.ceil(travel / _INSTANT_STEP_PX) + 1, _MIN_INSTANTS, _MAX_INSTANTS))
        return np.asarray(
            middle + exposure.length * ((np.arange(count) + 0.5) / count - 0.5), dtype=np.float64
        )


def row_times(rows: int, height: int | None, rolling_shutter: float) -> Image:
    """Return (rows,) float32: how much later than its middle row each canvas row is exposed, intervals.

    height: rows of the target, centred on the canvas, over which the delay is `rolling_shutter`.
    """
    return np.float32(rolling_shutter / (height or rows)) * (
        np.arange(rows, dtype=np.float32) - (rows - 1) / 2
    )


def to_light(image: Image, linear: bool) -> Image:
    """Return what an exposure averages: linear light, or the coded values unchanged."""
    return np.power(np.maximum(image, 0), np.float32(_GAMMA)) if linear else image


def from_light(image: Image, linear: bool) -> Image:
    """Return coded values from what an exposure averages; differences of sums may be just below black."""
    return np.power(np.maximum(image, 0), np.float32(1 / _GAMMA)) if linear else image


def _slope_of_light(light: Image, coded: Image) -> Image:
    """Return the derivative of `from_light` at linear light, of which `coded` is the coded value."""
    slope = coded / (np.float32(_GAMMA) * np.maximum(light, np.float32(1e-3)))
    return np.asarray(slope, np.float32)


def gradient(image: Image, axis: int) -> Image:
    """Return the derivative of a picture (H, W) along an axis by central differences; half of it at edges."""
    return np.asarray(
        cv2.Sobel(image, cv2.CV_32F, axis, 1 - axis, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE),
        np.float32,
    )
