"""Motion on the canvas: flow to neighbouring targets, travel within an exposure, offsets in time."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.homography import Image, Matrix, apply
from asled_cli.imaging.warp import sample
from asled_cli.registration.blur.reblur import row_times
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.estimate.disparity import Direction
from asled_cli.registration.estimate.reference_exposure import travel
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.registration import Registration

# Below this time offset, in intervals, resampling the motion field costs more than it gains.
_MIN_TIME_OFFSET = 0.02


@dataclass(frozen=True)
class CanvasPositions:
    """Canvas position of each reduced target pixel at a frame's time.

    u, v: (h, w) canvas pixels. offset: displacement (x, y) of the canvas by intra-frame shake at that time.
    disparity_shift: (h, w, 2), the part of u, v that is disparity; None without disparity.
    """

    u: Image
    v: Image
    offset: tuple[float, float]
    disparity_shift: Image | None = None

    def with_disparity(self, disparity: Image, direction: Direction) -> "CanvasPositions":
        """Return the positions moved by a disparity.

        disparity: (h, w) canvas pixels at half size. direction: (x, y) of length 1 on the canvas.
        """
        size = (self.u.shape[1], self.u.shape[0])
        full = cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR) * np.float32(2)
        shift = full[..., None] * np.array(direction, np.float32)
        return CanvasPositions(self.u + shift[..., 0], self.v + shift[..., 1], self.offset, shift)


class CanvasMotion:
    """The canvas over time, and motion on it in guide pixels or full reference pixels.

    start_s: time of the clip's first target in seconds, known with the first pair at the latest.
    """

    def __init__(self, registration: Registration, canvas: Canvas, start_s: float | None) -> None:
        self.start_s = start_s
        self._registration = registration
        self._canvas = canvas
        width, height = registration.target_size
        self._guide_size = (-(-width // GUIDE_STRIDE), -(-height // GUIDE_STRIDE))

    def canvas_at(self, time: float) -> Canvas:
        """Return the canvas at a time (intervals); under OIS it moves with the target's view."""
        shift = self._registration.shift_at(self._seconds(time))
        return self._canvas if shift is None else self._canvas.moved(shift)

    def flow_between(
        self,
        tracked: TrackedFrame,
        time: float,
        other: float | None,
        positions: CanvasPositions,
        inverse: Matrix,
    ) -> NDArray[np.float16]:
        """Return the motion (h, w, 2) from `time` to `other` (intervals) in guide pixels; zero if unknown.

        inverse: (2, 2), canvas pixels -> reduced target pixels.
        """
        if other is None:
            return self._no_motion()
        dt = other - tracked.time
        known = any(path_dt * dt > 0 for path_dt, _ in tracked.paths)  # not across a cut
        there, here = (self._time_offset(tracked, t) for t in (other, time))
        motion = displacement(tracked, there, since=here) if known else None
        return self._no_motion() if motion is None else self._to_guide_grid(motion, positions, inverse)

    def travel(
        self, tracked: TrackedFrame, positions: CanvasPositions, inverse: Matrix
    ) -> NDArray[np.float16]:
        """Return the displacement (h, w, 2) during the reference's own exposure, guide pixels."""
        exposure = self._registration.reference_exposure
        if not exposure:
            return self._no_motion()
        motion = travel(tracked, exposure)
        after = self._registration.shift_at(self._seconds(tracked.time + exposure / 2))
        before = self._registration.shift_at(self._seconds(tracked.time - exposure / 2))
        if after is not None and before is not None:  # OIS moves the canvas meanwhile, not the reference
            motion = motion + (np.subtract(after, before) / self._canvas.work_to_full[0, 0]).astype(
                np.float32
            )
        return self._to_guide_grid(motion, positions, inverse)

    def reference_offset(
        self, tracked: TrackedFrame, time: float, positions: CanvasPositions
    ) -> Image | None:
        """Return (h, w, 2): offset from the frame's time to `time`, full reference pixels; None if zero."""
        dt = self._time_offset(tracked, time)
        moved = displacement(tracked, dt) if np.abs(dt).max() > _MIN_TIME_OFFSET else None
        if moved is None and positions.disparity_shift is None:
            return None
        u, v = positions.u, positions.v
        here = np.dstack((u, v))
        there = here if moved is None else here - sample(moved + np.array(positions.offset, np.float32), u, v)
        common = here if positions.disparity_shift is None else here - positions.disparity_shift
        before = apply(self.canvas_at(time).to_reference, common[..., 0], common[..., 1])
        after = apply(self.canvas_at(tracked.time).to_reference, there[..., 0], there[..., 1])
        return np.stack([after[0] - before[0], after[1] - before[1]], axis=-1)

    def _no_motion(self) -> NDArray[np.float16]:
        return np.zeros((self._guide_size[1], self._guide_size[0], 2), np.float16)

    def _to_guide_grid(
        self, motion: Image, positions: CanvasPositions, inverse: Matrix
    ) -> NDArray[np.float16]:
        """Return a motion (H, W, 2) on the canvas as one on the guide's grid (h, w, 2), guide pixels."""
        size = self._guide_size
        canvas_flow = cv2.resize(sample(motion, positions.u, positions.v), size, interpolation=cv2.INTER_AREA)
        scale = np.array([size[0] / self._canvas.work_size[0], size[1] / self._canvas.work_size[1]])
        to_guide = (scale[:, None] * inverse).astype(np.float32)
        return np.asarray(canvas_flow @ to_guide.T, dtype=np.float16)

    def _time_offset(self, tracked: TrackedFrame, time: float) -> float | Image:
        """Return the time from `tracked` to a target at `time`: a number, or (H,) for rolling shutter."""
        rolling_shutter = self._registration.exposure.rolling_shutter
        if not rolling_shutter:
            return time - tracked.time
        rows = row_times(self._canvas.canvas_size[1], self._canvas.work_size[1], rolling_shutter)
        return np.float32(time - tracked.time) + rows

    def _seconds(self, time: float) -> float:
        """Return a time (intervals) as seconds on the target's clock."""
        assert self.start_s is not None, "the first pair sets the start of the clip"
        return self.start_s + time * self._registration.interval_s
