"""The render pass: each reference frame laid onto its target, with how far to trust it and how it moves.

Streaming: pairs go in one by one, aligned frames come out once the frames around them have been seen.
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
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement, halved, halved_places
from asled_cli.registration.estimate.disparity import Direction, HalfViews, solve_disparity
from asled_cli.registration.estimate.reference_exposure import travel
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.exposure import NO_SHAKE, IntraFrameShake
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.confidence import reference_weight
from asled_cli.registration.rendering.full_resolution import FullMaps
from asled_cli.registration.rendering.reference_window import Known, ReferenceWindow, Waiting
from asled_cli.video.frames import FramePair

# A reference frame stands in for a missing neighbour over at most this many target frame intervals.
_REACH = 1.25
# Moving the reference by less than this share of an interval is not worth a resampled motion field.
_STILL = 0.02
# Longer exposures, in frame intervals, reach too far past the first and last frame to guess their motion.
_GUESSED = 2.0
# Reference frames kept on each side of a target: two for its motion, more for long exposures.
_NEIGHBOURS = 2


@dataclass(frozen=True)
class _Places:
    """Where each reduced target pixel lies on the canvas at a frame's time: u, v (h, w).

    offset: by how much tremor displaces the canvas there. aside: (h, w, 2), what of u, v is disparity.
    """

    u: Image
    v: Image
    offset: tuple[float, float]
    aside: Image | None = None

    def beside(self, disparity: Image, direction: Direction) -> "_Places":
        """Return the places moved by a disparity (h, w) at half size, in canvas pixels of half size."""
        size = (self.u.shape[1], self.u.shape[0])
        full = cv2.resize(disparity, size, interpolation=cv2.INTER_LINEAR) * np.float32(2)
        aside = full[..., None] * np.array(direction, np.float32)
        return _Places(self.u + aside[..., 0], self.v + aside[..., 1], self.offset, aside)


def render_references(pairs: Iterable[FramePair], registration: Registration) -> Iterator[AlignedFrame]:
    """Run a whole stream of pairs, from the clip's first on, through a renderer."""
    renderer = ReferenceRenderer(registration)
    for pair in pairs:
        yield from renderer.push(pair)
    yield from renderer.flush()


class ReferenceRenderer:
    """Lays reference frames onto target frames as one `registration` says.

    Holds about 1.5 exposures + 4 pairs at a time. `push` and `flush` return frames in order, each pair once.
    start_s: time of the clip's first target, where the pairs begin later; then after `frames_before` pairs
    frames are bit for bit those of a renderer that saw the clip from its start.
    """

    def __init__(self, registration: Registration, start_s: float | None = None) -> None:
        self.registration = registration
        self._canvas = Canvas(
            registration.target_size, registration.reference_size, registration.middle.homography
        )
        self._table = registration.tone.table()
        self._meter = MotionMeter()
        self._references = ReferenceWindow()
        self._waiting: list[Waiting] = []
        self._start = start_s
        self._done: list[Waiting] = []  # targets emitted, as far back as a long exposure reaches
        self._last: float | None = None  # time of the target emitted last
        self._grid = pixel_grid(self._canvas.work_size)
        width, height = registration.target_size
        self._guide_size = (-(-width // GUIDE_STRIDE), -(-height // GUIDE_STRIDE))
        self._full_maps = FullMaps(registration)

    def push(self, pair: FramePair) -> list[AlignedFrame]:
        """Take the next pair, in order of time; return the frames that are ready."""
        return [align() for align in self.prepare(pair)]

    def flush(self) -> list[AlignedFrame]:
        """Return the frames still waiting at the end of the clip."""
        return [align() for align in self.prepare_last()]

    def prepare(self, pair: FramePair) -> list[Callable[[], AlignedFrame]]:
        """`push`, but the frames are still to be computed, each by a call, in any thread and order."""
        if not self.registration.accepted:
            return [partial(without_reference, pair)]
        now = float(pair.target.time)
        if self._start is None:
            self._start = now
        stamp = (now - self._start) / self.registration.interval_s
        if pair.reference is not None:
            self._add_reference(stamp + pair.lag_s / self.registration.interval_s, pair.reference.rgb)
        middle = stamp + self.registration.at(now).exposure.shift
        self._waiting.append(Waiting(pair, middle, self._canvas.reduce_target(pair.target.rgb)))
        return list(self._ready(stamp))

    def prepare_last(self) -> list[Callable[[], AlignedFrame]]:
        """`flush`, the frames still to be computed."""
        return list(self._ready(np.inf))

    def _add_reference(self, time: float, rgb: NDArray[np.uint16]) -> None:
        r = self._references
        if r.times and time <= r.times[-1] + 1e-3:
            return  # one reference frame serving two targets
        image = self._canvas_at(time).place_reference(rgb, self._table)
        codes = luma_codes(image)
        if r.times:
            r.flows.append(self._meter.between(r.codes[-1], codes))
        r.times.append(time)
        r.images.append(image)
        r.frames.append(rgb)
        r.codes.append(codes)

    def _ready(self, now: float) -> Iterator[Callable[[], AlignedFrame]]:
        while self._waiting:
            first = self._waiting[0]
            span = self._span(first)
            if now < max(first.time, self._covered(first, self._references)[0]) + span:
                return
            following = self._waiting[1].time if len(self._waiting) > 1 else None
            targets = (*self._done, *self._waiting)
            known = Known(self._references.copy(), targets, self._last, following)
            yield partial(self._align, first, known)
            self._last = first.time
            self._done.append(self._waiting.pop(0))
            reach = span + self._beyond(first)
            self._done = [target for target in self._done if target.time > first.time - reach]
            while len(self._references.times) > 1 and self._references.times[0] < first.time - reach - 1:
                self._references.drop_first()

    def _span(self, waiting: Waiting) -> float:
        """How many intervals before and after a target its reference frames matter."""
        exposure = self.registration.at(float(waiting.pair.target.time)).exposure
        return max(_NEIGHBOURS, exposure.length / 2 + 0.5) + abs(exposure.shift)

    def _beyond(self, waiting: Waiting) -> float:
        """How far an exposure reaches past its frame, where that is too far to go on straight; else 0."""
        length = self.registration.at(float(waiting.pair.target.time)).exposure.length
        return length / 2 - 0.5 if length > _GUESSED else 0.0

    def _covered(self, waiting: Waiting, r: ReferenceWindow) -> tuple[float, float]:
        """Return from when to when reference frames of the target's scene cover a whole exposure."""
        beyond = self._beyond(waiting)
        if not r.times or not beyond:
            return waiting.time, waiting.time
        scene = r.scene(r.nearest(waiting.time))
        return r.times[scene[0]] + beyond, r.times[scene[-1]] - beyond

    def _judged_at(self, waiting: Waiting, r: ReferenceWindow) -> float:
        """Return the time nearest to the target's at which a whole exposure is covered, if any is."""
        first, last = self._covered(waiting, r)
        return float(np.clip(waiting.time, first, last)) if first <= last else waiting.time

    def _align(self, waiting: Waiting, known: Known) -> AlignedFrame:
        r, time, last = known.references, waiting.time, known.last
        i = r.nearest(time) if r.times else 0
        if not r.times or abs(r.times[i] - time) > _REACH:
            return without_reference(waiting.pair)
        knot = self.registration.at(float(waiting.pair.target.time))
        moment = r.moment(i)
        work_map = self._canvas_at(time).onto(knot.homography)
        guide, places = self._guide(waiting, i, knot, work_map, known)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2])
        back = self._flow(moment, time, last, places, inverse)
        ahead = self._flow(moment, time, known.following, places, inverse)
        way = self._travel(moment, places, inverse)
        is_cut = i > 0 and r.flows[i - 1] is None and last is not None and last < r.times[i] - 0.5
        reference = self._full_maps.pull(r.frames[i], knot, self._drift(moment, time, places))
        return AlignedFrame(waiting.pair, self._coloured(reference), guide, back, ahead, way, is_cut)

    def _guide(
        self, waiting: Waiting, i: int, knot: Knot, work_map: Matrix, known: Known
    ) -> tuple[NDArray[np.float16], _Places]:
        """Return the guide, and where each reduced target pixel lies on the canvas."""
        r = known.references
        reach = knot.exposure.length / 2 + 1
        near = [k for k in r.scene(i) if abs(r.times[k] - waiting.time) <= reach]
        moments = [r.moment(k) for k in near] or [r.moment(i)]
        reblur = Reblur(moments, self._canvas.work_size[1])
        x, y = self._grid
        u, v = apply(work_map, x + knot.field[..., 0], y + knot.field[..., 1])
        shake = self._tremor(moments, waiting, knot, u, v)
        offset = shake.at(reblur.tick(waiting.time, waiting.time, knot.exposure))
        exposed = reblur.exposed_at(waiting.time, knot.exposure, shake)
        instant = reblur.instant(waiting.time, offset, knot.exposure.rolling_shutter)
        places = _Places(u, v, offset)
        if self.registration.baseline is not None:
            views = HalfViews.of(waiting.picture, exposed, instant, u, v)
            disparity = solve_disparity(views, self.registration.baseline)
            places = places.beside(disparity, self.registration.baseline)
        u, v = places.u, places.v
        blurred, sharp = sample(exposed, u, v), sample(instant, u, v)
        width, height = self._canvas.canvas_size
        valid = ((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)).astype(np.float32)
        reblur_residual = self._judged(waiting, i, waiting.picture - blurred, knot, work_map, known)
        change = blurred - sharp
        weight = reference_weight(reblur_residual, change) * valid
        parts = [reblur_residual, np.abs(luma(change)), weight, valid]
        parts = [cv2.resize(part, self._guide_size, interpolation=cv2.INTER_AREA) for part in parts]
        return np.dstack(parts).astype(np.float16), places

    def _tremor(
        self, moments: list[TrackedFrame], waiting: Waiting, knot: Knot, u: Image, v: Image
    ) -> IntraFrameShake:
        """Return the shake between the frames that the target's blur shows, in canvas pixels."""
        if not can_show_intra_frame_shake(moments, knot.exposure):
            return NO_SHAKE
        half = Reblur([halved(moment) for moment in moments], self._canvas.work_size[1] // 2)
        picture = self._canvas.soften(waiting.picture) if knot.exposure.steadied else waiting.picture
        grey = shrink(luma(picture), 2)
        u, v = halved_places(u, v, (grey.shape[1], grey.shape[0]))
        return fit_intra_frame_shake(half, grey, u, v, waiting.time, knot.exposure).scaled(2)

    def _judged(
        self, waiting: Waiting, i: int, own: Image, knot: Knot, work_map: Matrix, known: Known
    ) -> Image:
        """Return the mismatch (h, w, 3) to judge the reference by: the target's own, or a neighbour's.

        Near the ends of a scene a long exposure reaches frames that do not exist. What reblurring misses
        there says nothing about the reference; the nearest target whose exposure is covered lends its
        mismatch, moved along the reference's motion.
        """
        r = known.references
        judged_at = self._judged_at(waiting, r)
        if abs(judged_at - waiting.time) < 0.5:
            return own
        other = min(known.targets, key=lambda target: abs(target.time - judged_at))
        j = r.nearest(other.time)
        if abs(other.time - judged_at) > 1 or j not in r.scene(i):
            return own
        x, y = self._grid
        u, v = apply(work_map, x + knot.field[..., 0], y + knot.field[..., 1])
        reblur = Reblur(
            [r.moment(k) for k in r.scene(j) if abs(r.times[k] - other.time) <= self._span(other)],
            self._canvas.work_size[1],
        )
        reblur_residual = other.picture - sample(reblur.exposed_at(other.time, knot.exposure), u, v)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2]).astype(np.float32)
        return warp(reblur_residual, sample(r.travel(i, j), u, v) @ inverse.T)

    def _flow(
        self, moment: TrackedFrame, time: float, other: float | None, places: _Places, inverse: Matrix
    ) -> NDArray[np.float16]:
        """Return the motion (h, w, 2) from `time` to `other` in guide pixels."""
        if other is None:
            return self._no_motion()
        dt = other - moment.time
        known = any(path_dt * dt > 0 for path_dt, _ in moment.paths)  # not across a cut
        there, here = (displacement(moment, self._since(moment, t)) for t in (other, time))
        if not known or there is None or here is None:
            return self._no_motion()
        return self._on_guide(there - here, places, inverse)

    def _travel(self, moment: TrackedFrame, places: _Places, inverse: Matrix) -> NDArray[np.float16]:
        """Return how far things move (h, w, 2) while the reference's own shutter is open, guide pixels."""
        exposure = self.registration.reference_exposure
        if not exposure:
            return self._no_motion()
        way = travel(moment, exposure)
        after = self.registration.shift_at(self._seconds(moment.time + exposure / 2))
        before = self.registration.shift_at(self._seconds(moment.time - exposure / 2))
        if after is not None and before is not None:  # the canvas moves meanwhile, the reference does not
            way = way + (np.subtract(after, before) / self._canvas.work_to_full[0, 0]).astype(np.float32)
        return self._on_guide(way, places, inverse)

    def _no_motion(self) -> NDArray[np.float16]:
        return np.zeros((self._guide_size[1], self._guide_size[0], 2), np.float16)

    def _on_guide(self, motion: Image, places: _Places, inverse: Matrix) -> NDArray[np.float16]:
        """Return a motion (H, W, 2) on the canvas as one on the guide's grid (h, w, 2), in its pixels."""
        size = self._guide_size
        canvas_flow = cv2.resize(sample(motion, places.u, places.v), size, interpolation=cv2.INTER_AREA)
        scale = np.array([size[0] / self._canvas.work_size[0], size[1] / self._canvas.work_size[1]])
        to_guide = (scale[:, None] * inverse).astype(np.float32)
        return np.asarray(canvas_flow @ to_guide.T, dtype=np.float16)

    def _drift(self, moment: TrackedFrame, time: float, places: _Places) -> Image | None:
        """Return (h, w, 2): how many full reference pixels off the common map the reference shows `time`."""
        dt = self._since(moment, time)
        moved = displacement(moment, dt) if np.abs(dt).max() > _STILL else None
        if moved is None and places.aside is None:
            return None
        u, v = places.u, places.v
        here = np.dstack((u, v))
        there = here if moved is None else here - sample(moved + np.array(places.offset, np.float32), u, v)
        common = here if places.aside is None else here - places.aside
        before = apply(self._canvas_at(time).to_reference, common[..., 0], common[..., 1])
        after = apply(self._canvas_at(moment.time).to_reference, there[..., 0], there[..., 1])
        return np.stack([after[0] - before[0], after[1] - before[1]], axis=-1)

    def _since(self, moment: TrackedFrame, time: float) -> float | Image:
        """Return how much later than `moment` a target of `time` shows it: one for all, or by row."""
        rolling_shutter = self.registration.exposure.rolling_shutter
        if not rolling_shutter:
            return time - moment.time
        rows = row_times(self._canvas.canvas_size[1], self._canvas.work_size[1], rolling_shutter)
        return np.float32(time - moment.time) + rows

    def _canvas_at(self, time: float) -> Canvas:
        """Return the canvas at a time (intervals): it moves with the target's view."""
        shift = self.registration.shift_at(self._seconds(time))
        return self._canvas if shift is None else self._canvas.moved(shift)

    def _seconds(self, time: float) -> float:
        """Return a time (intervals) on the target's clock."""
        assert self._start is not None, "the first pair tells when the clip starts"
        return self._start + time * self.registration.interval_s

    def _coloured(self, reference: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return np.stack([self._table[c][reference[..., c]] for c in range(3)], axis=-1)


def frames_before(registration: Registration) -> int:
    """How many pairs before a frame can matter for it, at an even rate."""
    exposures = [knot.exposure for knot in registration.knots]
    longest = max(exposure.length / 2 + abs(exposure.shift) for exposure in exposures)
    # A frame near a scene's end is judged by another one half an exposure back, whose exposure reaches on.
    return int(np.ceil(2 * longest)) + 2 * _NEIGHBOURS + 6
