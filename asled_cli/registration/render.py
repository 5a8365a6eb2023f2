"""The render pass: warp each reference frame onto its target, with confidence and motion.

It is streaming: pairs go in one by one, and an aligned frame is returned once the frames around it are known.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.light import luma, luma_codes, shrink
from asled_cli.imaging.warp import sample, warp
from asled_cli.registration.blur.intra_frame_shake import can_show_intra_frame_shake, fit_intra_frame_shake
from asled_cli.registration.blur.reblur import Reblur, row_times
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement, halved, halved_positions
from asled_cli.registration.estimate.disparity import Direction, HalfViews, solve_disparity
from asled_cli.registration.estimate.reference_exposure import travel
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.exposure import NO_SHAKE, IntraFrameShake
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.confidence import reference_weight
from asled_cli.registration.rendering.full_resolution import FullMaps
from asled_cli.registration.rendering.reference_window import PendingTarget, ReferenceWindow, RenderContext
from asled_cli.video.frames import FramePair

# Largest distance in time, target frame intervals, at which a reference frame replaces a missing one.
_MAX_GAP = 1.25
# Below this time offset, in intervals, resampling the motion field costs more than it gains.
_MIN_TIME_OFFSET = 0.02
# Longest exposure, in frame intervals, whose motion past the first and last frame is extrapolated.
_MAX_EXTRAPOLATED_LENGTH = 2.0
# Reference frames kept on each side of a target for its motion; long exposures need more.
_NEIGHBOURS = 2


@dataclass(frozen=True)
class _CanvasPositions:
    """Canvas position of each reduced target pixel at a frame's time.

    u, v: (h, w) canvas pixels. offset: displacement (x, y) of the canvas by intra-frame shake at that time.
    disparity_shift: (h, w, 2), the part of u, v that is disparity; None without disparity.
    """

    u: Image
    v: Image
    offset: tuple[float, float]
    disparity_shift: Image | None = None

    def with_disparity(self, disparity: Image, direction: Direction) -> "_CanvasPositions":
        """Return the positions moved by a disparity.

        disparity: (h, w) canvas pixels at half size. direction: (x, y) of length 1 on the canvas.
        """
        size = (self.u.shape[1], self.u.shape[0])
        full = cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR) * np.float32(2)
        disparity_shift = full[..., None] * np.array(direction, np.float32)
        return _CanvasPositions(
            self.u + disparity_shift[..., 0], self.v + disparity_shift[..., 1], self.offset, disparity_shift
        )


def render_references(pairs: Iterable[FramePair], registration: Registration) -> Iterator[AlignedFrame]:
    """Yield the aligned frames of a whole clip of pairs."""
    renderer = ReferenceRenderer(registration)
    for pair in pairs:
        yield from renderer.push(pair)
    yield from renderer.flush()


class ReferenceRenderer:
    """Warps reference frames onto target frames by a `Registration`.

    `push` and `flush` return frames in order, one per pair. Memory: about 1.5 exposures + 4 pairs.
    registration: of the clip, at the sizes of the pairs.
    start_s: time of the clip's first target in seconds, if the pairs begin later. After `frames_before` pairs
    the frames equal those of a renderer that saw the clip from its start.
    """

    def __init__(self, registration: Registration, start_s: float | None = None) -> None:
        self.registration = registration
        self._canvas = Canvas(
            registration.target_size, registration.reference_size, registration.middle.homography
        )
        self._tone_table = registration.tone.table()
        self._motion_meter = MotionMeter()
        self._references = ReferenceWindow()
        self._pending: list[PendingTarget] = []
        self._start = start_s
        self._done: list[PendingTarget] = []  # targets emitted, as far back as a long exposure reaches
        self._last: float | None = None  # time of the target emitted last
        self._grid = pixel_grid(self._canvas.work_size)
        width, height = registration.target_size
        self._guide_size = (-(-width // GUIDE_STRIDE), -(-height // GUIDE_STRIDE))
        self._full_resolution = FullMaps(registration)

    def push(self, pair: FramePair) -> list[AlignedFrame]:
        """Take the next pair, in order of time; return the frames that are ready."""
        return [align() for align in self.prepare(pair)]

    def flush(self) -> list[AlignedFrame]:
        """Return the frames still pending at the end of the clip."""
        return [align() for align in self.prepare_last()]

    def prepare(self, pair: FramePair) -> list[Callable[[], AlignedFrame]]:
        """Take the next pair; return one call per ready frame, which may run in any thread and order."""
        if not self.registration.accepted:
            return [partial(without_reference, pair)]
        now = float(pair.target.time)
        if self._start is None:
            self._start = now
        stamp = (now - self._start) / self.registration.interval_s
        if pair.reference is not None:
            self._add_reference(stamp + pair.lag_s / self.registration.interval_s, pair.reference.rgb)
        middle = stamp + self.registration.at(now).exposure.shift
        self._pending.append(PendingTarget(pair, middle, self._canvas.reduce_target(pair.target.rgb)))
        return list(self._ready(stamp))

    def prepare_last(self) -> list[Callable[[], AlignedFrame]]:
        """Return one call per frame still pending at the end of the clip."""
        return list(self._ready(np.inf))

    def _add_reference(self, time: float, rgb: NDArray[np.uint16]) -> None:
        """Place a reference frame on the canvas and measure the flow from the previous one."""
        r = self._references
        if r.times and time <= r.times[-1] + 1e-3:
            return  # one reference frame serving two targets
        image = self._canvas_at(time).place_reference(rgb, self._tone_table)
        codes = luma_codes(image)
        if r.times:
            r.flows.append(self._motion_meter.between(r.codes[-1], codes))
        r.times.append(time)
        r.images.append(image)
        r.frames.append(rgb)
        r.codes.append(codes)

    def _ready(self, now: float) -> Iterator[Callable[[], AlignedFrame]]:
        """Yield calls for the targets whose reference frames are complete at time `now` (intervals)."""
        while self._pending:
            first = self._pending[0]
            span = self._span(first)
            if now < max(first.time, self._covered_times(first, self._references)[0]) + span:
                return
            following = self._pending[1].time if len(self._pending) > 1 else None
            targets = (*self._done, *self._pending)
            context = RenderContext(self._references.copy(), targets, self._last, following)
            yield partial(self._align, first, context)
            self._last = first.time
            self._done.append(self._pending.pop(0))
            reach = span + self._overhang(first)
            self._done = [target for target in self._done if target.time > first.time - reach]
            while len(self._references.times) > 1 and self._references.times[0] < first.time - reach - 1:
                self._references.drop_first()

    def _span(self, pending: PendingTarget) -> float:
        """Return how many intervals before and after a target its reference frames matter."""
        exposure = self.registration.at(float(pending.pair.target.time)).exposure
        return max(_NEIGHBOURS, exposure.length / 2 + 0.5) + abs(exposure.shift)

    def _overhang(self, pending: PendingTarget) -> float:
        """Return how far an exposure reaches past its own frame, intervals; 0 if extrapolation covers it."""
        length = self.registration.at(float(pending.pair.target.time)).exposure.length
        return length / 2 - 0.5 if length > _MAX_EXTRAPOLATED_LENGTH else 0.0

    def _covered_times(self, pending: PendingTarget, r: ReferenceWindow) -> tuple[float, float]:
        """Return the first and last time at which reference frames of the scene cover a whole exposure."""
        beyond = self._overhang(pending)
        if not r.times or not beyond:
            return pending.time, pending.time
        scene = r.scene(r.nearest(pending.time))
        return r.times[scene[0]] + beyond, r.times[scene[-1]] - beyond

    def _residual_time(self, pending: PendingTarget, r: ReferenceWindow) -> float:
        """Return the time nearest to the target's at which a whole exposure is covered, if there is one."""
        first, last = self._covered_times(pending, r)
        return float(np.clip(pending.time, first, last)) if first <= last else pending.time

    def _align(self, pending: PendingTarget, context: RenderContext) -> AlignedFrame:
        """Return the aligned frame of a target."""
        r, time, last = context.references, pending.time, context.last
        i = r.nearest(time) if r.times else 0
        if not r.times or abs(r.times[i] - time) > _MAX_GAP:
            return without_reference(pending.pair)
        knot = self.registration.at(float(pending.pair.target.time))
        tracked = r.tracked_frame(i)
        work_map = self._canvas_at(time).onto(knot.homography)
        guide, positions = self._guide(pending, i, knot, work_map, context)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2])
        back = self._flow_between(tracked, time, last, positions, inverse)
        ahead = self._flow_between(tracked, time, context.following, positions, inverse)
        motion = self._travel(tracked, positions, inverse)
        is_cut = i > 0 and r.flows[i - 1] is None and last is not None and last < r.times[i] - 0.5
        reference = self._full_resolution.warp(r.frames[i], knot, self._drift(tracked, time, positions))
        return AlignedFrame(pending.pair, self._apply_tone(reference), guide, back, ahead, motion, is_cut)

    def _guide(
        self, pending: PendingTarget, i: int, knot: Knot, work_map: Matrix, context: RenderContext
    ) -> tuple[NDArray[np.float16], _CanvasPositions]:
        """Return the guide (h, w, 6) float16 and the canvas position of each reduced target pixel."""
        r = context.references
        reach = knot.exposure.length / 2 + 1
        near = [k for k in r.scene(i) if abs(r.times[k] - pending.time) <= reach]
        tracked_frames = [r.tracked_frame(k) for k in near] or [r.tracked_frame(i)]
        reblur = Reblur(tracked_frames, self._canvas.work_size[1])
        x, y = self._grid
        u, v = apply(work_map, x + knot.field[..., 0], y + knot.field[..., 1])
        shake = self._fit_shake(tracked_frames, pending, knot, u, v)
        offset = shake.at(reblur.exposure_instant(pending.time, pending.time, knot.exposure))
        exposed = reblur.exposed_at(pending.time, knot.exposure, shake)
        instant = reblur.instant(pending.time, offset, knot.exposure.rolling_shutter)
        positions = _CanvasPositions(u, v, offset)
        if self.registration.baseline is not None:
            views = HalfViews.of(pending.picture, exposed, instant, u, v)
            disparity = solve_disparity(views, self.registration.baseline)
            positions = positions.with_disparity(disparity, self.registration.baseline)
        u, v = positions.u, positions.v
        blurred, sharp = sample(exposed, u, v), sample(instant, u, v)
        width, height = self._canvas.canvas_size
        valid = ((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)).astype(np.float32)
        reblur_residual = self._reblur_residual(
            pending, i, pending.picture - blurred, knot, work_map, context
        )
        change = blurred - sharp
        weight = reference_weight(reblur_residual, change) * valid
        parts = [reblur_residual, np.abs(luma(change)), weight, valid]
        parts = [cv2.resize(part, self._guide_size, interpolation=cv2.INTER_AREA) for part in parts]
        return np.dstack(parts).astype(np.float16), positions

    def _fit_shake(
        self, tracked_frames: list[TrackedFrame], pending: PendingTarget, knot: Knot, u: Image, v: Image
    ) -> IntraFrameShake:
        """Return the intra-frame camera shake that the target's blur shows, in canvas pixels."""
        if not can_show_intra_frame_shake(tracked_frames, knot.exposure):
            return NO_SHAKE
        half = Reblur([halved(tracked) for tracked in tracked_frames], self._canvas.work_size[1] // 2)
        picture = self._canvas.soften(pending.picture) if knot.exposure.steadied else pending.picture
        grey = shrink(luma(picture), 2)
        u, v = halved_positions(u, v, (grey.shape[1], grey.shape[0]))
        return fit_intra_frame_shake(half, grey, u, v, pending.time, knot.exposure).scaled(2)

    def _reblur_residual(
        self, pending: PendingTarget, i: int, own: Image, knot: Knot, work_map: Matrix, context: RenderContext
    ) -> Image:
        """Return the reblur residual (h, w, 3) that decides the confidence.

        It is the target's own (`own`), except near the ends of a scene: there a long exposure reaches frames
        that do not exist, and the residual says nothing about the reference. Then the residual of the nearest
        fully covered target is used, warped along the reference's motion.
        """
        r = context.references
        judged_at = self._residual_time(pending, r)
        if abs(judged_at - pending.time) < 0.5:
            return own
        other = min(context.targets, key=lambda target: abs(target.time - judged_at))
        j = r.nearest(other.time)
        if abs(other.time - judged_at) > 1 or j not in r.scene(i):
            return own
        x, y = self._grid
        u, v = apply(work_map, x + knot.field[..., 0], y + knot.field[..., 1])
        reblur = Reblur(
            [r.tracked_frame(k) for k in r.scene(j) if abs(r.times[k] - other.time) <= self._span(other)],
            self._canvas.work_size[1],
        )
        reblur_residual = other.picture - sample(reblur.exposed_at(other.time, knot.exposure), u, v)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2]).astype(np.float32)
        return warp(reblur_residual, sample(r.travel(i, j), u, v) @ inverse.T)

    def _flow_between(
        self,
        tracked: TrackedFrame,
        time: float,
        other: float | None,
        positions: _CanvasPositions,
        inverse: Matrix,
    ) -> NDArray[np.float16]:
        """Return the motion (h, w, 2) from `time` to `other` in guide pixels; zero if unknown."""
        if other is None:
            return self._no_motion()
        dt = other - tracked.time
        known = any(path_dt * dt > 0 for path_dt, _ in tracked.paths)  # not across a cut
        there, here = (displacement(tracked, self._time_offset(tracked, t)) for t in (other, time))
        if not known or there is None or here is None:
            return self._no_motion()
        return self._to_guide_grid(there - here, positions, inverse)

    def _travel(
        self, tracked: TrackedFrame, positions: _CanvasPositions, inverse: Matrix
    ) -> NDArray[np.float16]:
        """Return the displacement (h, w, 2) during the reference's own exposure, guide pixels."""
        exposure = self.registration.reference_exposure
        if not exposure:
            return self._no_motion()
        motion = travel(tracked, exposure)
        after = self.registration.shift_at(self._seconds(tracked.time + exposure / 2))
        before = self.registration.shift_at(self._seconds(tracked.time - exposure / 2))
        if after is not None and before is not None:  # the canvas moves meanwhile, the reference does not
            motion = motion + (np.subtract(after, before) / self._canvas.work_to_full[0, 0]).astype(
                np.float32
            )
        return self._to_guide_grid(motion, positions, inverse)

    def _no_motion(self) -> NDArray[np.float16]:
        return np.zeros((self._guide_size[1], self._guide_size[0], 2), np.float16)

    def _to_guide_grid(
        self, motion: Image, positions: _CanvasPositions, inverse: Matrix
    ) -> NDArray[np.float16]:
        """Return a motion (H, W, 2) on the canvas as one on the guide's grid (h, w, 2), guide pixels."""
        size = self._guide_size
        canvas_flow = cv2.resize(sample(motion, positions.u, positions.v), size, interpolation=cv2.INTER_AREA)
        scale = np.array([size[0] / self._canvas.work_size[0], size[1] / self._canvas.work_size[1]])
        to_guide = (scale[:, None] * inverse).astype(np.float32)
        return np.asarray(canvas_flow @ to_guide.T, dtype=np.float16)

    def _drift(self, tracked: TrackedFrame, time: float, positions: _CanvasPositions) -> Image | None:
        """Return (h, w, 2): offset from the frame's time to `time`, full reference pixels; None if zero."""
        dt = self._time_offset(tracked, time)
        moved = displacement(tracked, dt) if np.abs(dt).max() > _MIN_TIME_OFFSET else None
        if moved is None and positions.disparity_shift is None:
            return None
        u, v = positions.u, positions.v
        here = np.dstack((u, v))
        there = here if moved is None else here - sample(moved + np.array(positions.offset, np.float32), u, v)
        common = here if positions.disparity_shift is None else here - positions.disparity_shift
        before = apply(self._canvas_at(time).to_reference, common[..., 0], common[..., 1])
        after = apply(self._canvas_at(tracked.time).to_reference, there[..., 0], there[..., 1])
        return np.stack([after[0] - before[0], after[1] - before[1]], axis=-1)

    def _time_offset(self, tracked: TrackedFrame, time: float) -> float | Image:
        """Return the time from `tracked` to a target at `time`: a number, or (H,) for rolling shutter."""
        rolling_shutter = self.registration.exposure.rolling_shutter
        if not rolling_shutter:
            return time - tracked.time
        rows = row_times(self._canvas.canvas_size[1], self._canvas.work_size[1], rolling_shutter)
        return np.float32(time - tracked.time) + rows

    def _canvas_at(self, time: float) -> Canvas:
        """Return the canvas at a time (intervals); under OIS it moves with the target's view."""
        shift = self.registration.shift_at(self._seconds(time))
        return self._canvas if shift is None else self._canvas.moved(shift)

    def _seconds(self, time: float) -> float:
        """Return a time (intervals) as seconds on the target's clock."""
        assert self._start is not None, "the first pair tells when the clip starts"
        return self._start + time * self.registration.interval_s

    def _apply_tone(self, reference: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the reference (H, W, 3) uint16 in the target's colours."""
        return np.stack([self._tone_table[c][reference[..., c]] for c in range(3)], axis=-1)


def frames_before(registration: Registration) -> int:
    """Return how many pairs before a frame can influence it, at a constant frame rate."""
    exposures = [knot.exposure for knot in registration.knots]
    longest = max(exposure.length / 2 + abs(exposure.shift) for exposure in exposures)
    # A frame near a scene's end is judged by another one half an exposure back, whose exposure reaches on.
    return int(np.ceil(2 * longest)) + 2 * _NEIGHBOURS + 6
