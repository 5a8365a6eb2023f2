"""The render pass: warp each reference frame onto its target, with confidence and motion.

It is streaming: pairs go in one by one, and an aligned frame is returned once the frames around it are known.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.flow import MotionMeter
from asled_cli.imaging.light import luma_codes
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, Picture, without_reference
from asled_cli.registration.rendering.canvas_motion import CanvasMotion
from asled_cli.registration.rendering.coverage import covered_times, exposure_of, needed_span, overhang
from asled_cli.registration.rendering.full_resolution import FullPictures, OpenCvPictures
from asled_cli.registration.rendering.guide_builder import GuideBuilder
from asled_cli.registration.rendering.reference_window import PendingTarget, ReferenceWindow, RenderContext
from asled_cli.video.frames import FramePair

# Largest distance in time, target frame intervals, at which a reference frame replaces a missing one.
_MAX_GAP = 1.25


def render_references(pairs: Iterable[FramePair], registration: Registration) -> Iterator[AlignedFrame]:
    """Yield the aligned frames of a whole clip of pairs."""
    renderer = ReferenceRenderer(registration)
    for pair in pairs:
        yield from renderer.push(pair)
    yield from renderer.flush()


class ReferenceRenderer(Generic[Picture]):
    """Warps reference frames onto target frames by a `Registration`.

    `push` and `flush` return frames in order, one per pair. Memory: about 1.5 exposures + 4 pairs.
    registration: of the clip, at the sizes of the pairs.
    start_s: time of the clip's first target in seconds, if the pairs begin later. After
    `coverage.frames_before` pairs the frames equal those of a renderer that saw the clip from its start.
    first: tick of the first target whose reference is wanted; earlier ones are returned without one.
    pictures: does the work on full frames; None: OpenCV.
    """

    def __init__(
        self,
        registration: Registration,
        start_s: float | None = None,
        first: int | None = None,
        pictures: FullPictures[Picture] | None = None,
    ) -> None:
        self.registration = registration
        self._first = first
        self._canvas = Canvas(
            registration.target_size, registration.reference_size, registration.middle.homography
        )
        self._tone_table = registration.tone.table()
        self._motion_meter = MotionMeter(quick=True)
        self._references = ReferenceWindow[Any]()
        self._pending: list[PendingTarget] = []
        self._done: list[PendingTarget] = []  # targets emitted, as far back as a long exposure reaches
        self._last: float | None = None  # time of the target emitted last
        self._motion = CanvasMotion(registration, self._canvas, start_s)
        self._guides = GuideBuilder(registration, self._canvas)
        self._pictures: FullPictures[Any] = pictures or OpenCvPictures(registration)

    def push(self, pair: FramePair) -> list[AlignedFrame[Picture]]:
        """Take the next pair, in order of time; return the frames that are ready."""
        return [align() for align in self.prepare(pair)]

    def flush(self) -> list[AlignedFrame[Picture]]:
        """Return the frames still pending at the end of the clip."""
        return [align() for align in self.prepare_last()]

    def prepare(self, pair: FramePair) -> list[Callable[[], AlignedFrame[Picture]]]:
        """Take the next pair; return one call per ready frame, which may run in any thread and order."""
        if not self.registration.accepted:
            return [partial(without_reference, pair)]
        now = float(pair.target.time)
        if self._motion.start_s is None:
            self._motion.start_s = now
        stamp = (now - self._motion.start_s) / self.registration.interval_s
        if pair.reference is not None:
            self._add_reference(stamp + pair.lag_s / self.registration.interval_s, pair.reference.rgb)
        middle = stamp + self.registration.at(now).exposure.shift
        self._pending.append(PendingTarget(pair, middle, self._canvas.reduce_target(pair.target.rgb)))
        return list(self._ready(stamp))

    def prepare_last(self) -> list[Callable[[], AlignedFrame[Picture]]]:
        """Return one call per frame still pending at the end of the clip."""
        return list(self._ready(np.inf))

    def _add_reference(self, time: float, rgb: NDArray[np.uint16]) -> None:
        """Place a reference frame on the canvas and measure the flow from the previous one."""
        r = self._references
        if r.times and time <= r.times[-1] + 1e-3:
            return  # one reference frame serving two targets
        image = self._motion.canvas_at(time).place_reference(rgb, self._tone_table)
        codes = luma_codes(image)
        if r.times:
            r.flows.append(self._motion_meter.between(r.codes[-1], codes))
        r.times.append(time)
        r.images.append(image)
        r.frames.append(self._pictures.keep(rgb))
        r.codes.append(codes)

    def _ready(self, now: float) -> Iterator[Callable[[], AlignedFrame[Picture]]]:
        """Yield calls for the targets whose reference frames are complete at time `now` (intervals)."""
        while self._pending:
            first = self._pending[0]
            exposure = exposure_of(self.registration, first)
            span = needed_span(exposure)
            if now < max(first.time, covered_times(exposure, first.time, self._references)[0]) + span:
                return
            following = self._pending[1].time if len(self._pending) > 1 else None
            targets = (*self._done, *self._pending)
            context = RenderContext(self._references.copy(), targets, self._last, following)
            wanted = self._first is None or first.pair.target.pts >= self._first
            yield partial(self._align, first, context) if wanted else partial(without_reference, first.pair)
            self._last = first.time
            self._done.append(self._pending.pop(0))
            self._forget(first.time - (span + overhang(exposure)))

    def _forget(self, time: float) -> None:
        """Drop targets and reference frames that no later target needs; `time` in intervals."""
        self._done = [target for target in self._done if target.time > time]
        while len(self._references.times) > 1 and self._references.times[0] < time - 1:
            self._references.drop_first()

    def _align(self, target: PendingTarget, context: RenderContext) -> AlignedFrame[Picture]:
        """Return the aligned frame of a target."""
        window, time, last = context.references, target.time, context.last
        i = window.nearest(time) if window.times else 0
        if not window.times or abs(window.times[i] - time) > _MAX_GAP:
            return without_reference(target.pair)
        knot = self.registration.at(float(target.pair.target.time))
        tracked = window.tracked_frame(i)
        work_map = self._motion.canvas_at(time).onto(knot.homography)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2])
        guide, positions = self._guides.build(target, i, knot, work_map, context)
        offset = self._motion.reference_offset(tracked, time, positions)
        return AlignedFrame(
            target.pair,
            self._pictures.align(window.frames[i], knot, offset),
            guide,
            self._motion.flow_between(tracked, time, last, positions, inverse),
            self._motion.flow_between(tracked, time, context.following, positions, inverse),
            self._motion.travel(tracked, positions, inverse),
            _is_cut(window, i, last),
        )


def _is_cut(window: ReferenceWindow[Any], i: int, last: float | None) -> bool:
    """Return whether a cut before frame `i` is after the target at `last` (intervals)."""
    return i > 0 and window.flows[i - 1] is None and last is not None and last < window.times[i] - 0.5
