"""The guide of a target frame: reblur residual, blur, confidence and validity, on a grid of GUIDE_STRIDE."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.light import luma, shrink
from asled_cli.imaging.warp import sample, warp
from asled_cli.registration.blur.intra_frame_shake import can_show_intra_frame_shake, fit_intra_frame_shake
from asled_cli.registration.blur.reblur import Reblur
from asled_cli.registration.blur.reference_motion import TrackedFrame, halved_positions
from asled_cli.registration.estimate.disparity import REACH_SHARE, HalfViews, solve_disparity
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.exposure import NO_SHAKE, IntraFrameShake, KernelBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.rendering.canvas_motion import CanvasPositions
from asled_cli.registration.rendering.confidence import reference_weight
from asled_cli.registration.rendering.coverage import exposure_of, nearest_covered_time, needed_span
from asled_cli.registration.rendering.reference_window import PendingTarget, ReferenceWindow, RenderContext


class GuideBuilder:
    """Builds the guide of each target of a clip.

    registration: of the clip. canvas: on which the reference frames are placed.
    """

    def __init__(self, registration: Registration, canvas: Canvas) -> None:
        self._registration = registration
        self._canvas = canvas
        self._grid = pixel_grid(canvas.work_size)
        width, height = registration.target_size
        self._guide_size = (-(-width // GUIDE_STRIDE), -(-height // GUIDE_STRIDE))

    def build(
        self, target: PendingTarget, i: int, knot: Knot, work_map: Matrix, context: RenderContext
    ) -> tuple[NDArray[np.float16], CanvasPositions]:
        """Return the guide (h, w, 6) float16 and the canvas position of each reduced target pixel.

        i: index of the nearest reference frame. knot: geometry and exposure of the target.
        work_map: (3, 3) reduced target pixel -> canvas pixel.
        """
        tracked_frames = _frames_near(context.references, i, target.time, knot.exposure.length / 2 + 1)
        exposed, instant, positions = self._views(target, tracked_frames, knot, work_map)
        if self._registration.baseline is not None:
            views = HalfViews.of(target.picture, exposed, instant, positions.u, positions.v)
            reach = self._registration.disparity_reach or REACH_SHARE
            disparity = solve_disparity(views, self._registration.baseline, reach)
            positions = positions.with_disparity(disparity, self._registration.baseline)
        u, v = positions.u, positions.v
        blurred, sharp = sample(exposed, u, v), sample(instant, u, v)
        residual = self._residual(target, i, target.picture - blurred, knot, work_map, context)
        return self._channels(residual, blurred - sharp, positions), positions

    def _views(
        self, target: PendingTarget, tracked_frames: list[TrackedFrame], knot: Knot, work_map: Matrix
    ) -> tuple[Image, Image, CanvasPositions]:
        """Return the reblurred and the sharp reference on the canvas, and the target's positions there."""
        reblur = Reblur(tracked_frames, self._canvas.work_size[1])
        u, v = self._mapped(knot, work_map)
        shake = self._fit_shake(tracked_frames, target, knot, u, v)
        offset = shake.at(reblur.exposure_instant(target.time, target.time, knot.exposure))
        exposed = reblur.exposed_at(target.time, knot.exposure, shake)
        instant = reblur.instant(target.time, offset, knot.exposure.rolling_shutter)
        return exposed, instant, CanvasPositions(u, v, offset)

    def _mapped(self, knot: Knot, work_map: Matrix) -> tuple[Image, Image]:
        """Return the canvas position (u, v) of each reduced target pixel under a map and static parallax."""
        x, y = self._grid
        return apply(work_map, x + knot.field[..., 0], y + knot.field[..., 1])

    def _channels(self, residual: Image, change: Image, positions: CanvasPositions) -> NDArray[np.float16]:
        """Return the guide of a residual and a change by blur, both (h, w, 3) on the reduced grid."""
        u, v = positions.u, positions.v
        width, height = self._canvas.canvas_size
        valid = ((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)).astype(np.float32)
        weight = reference_weight(residual, change) * valid
        parts = [residual, np.abs(luma(change)), weight, valid]
        parts = [cv2.resize(part, self._guide_size, interpolation=cv2.INTER_AREA) for part in parts]
        return np.dstack(parts).astype(np.float16)

    def _fit_shake(
        self, tracked_frames: list[TrackedFrame], target: PendingTarget, knot: Knot, u: Image, v: Image
    ) -> IntraFrameShake:
        """Return the intra-frame camera shake that the target's blur shows, in canvas pixels."""
        if not can_show_intra_frame_shake(tracked_frames, knot.exposure):
            return NO_SHAKE
        half = Reblur([tracked.half for tracked in tracked_frames], self._canvas.work_size[1] // 2)
        soft = isinstance(knot.exposure, KernelBlur)  # kernels are fitted to targets as soft as the reference
        picture = self._canvas.soften(target.picture) if soft else target.picture
        grey = shrink(luma(picture), 2)
        u, v = halved_positions(u, v, (grey.shape[1], grey.shape[0]))
        return fit_intra_frame_shake(half, grey, u, v, target.time, knot.exposure).scaled(2)

    def _residual(
        self, target: PendingTarget, i: int, own: Image, knot: Knot, work_map: Matrix, context: RenderContext
    ) -> Image:
        """Return the reblur residual (h, w, 3) that decides the confidence.

        It is the target's own (`own`), except near the ends of a scene: there a long exposure reaches frames
        that do not exist, and the residual says nothing about the reference. Then the residual of the nearest
        fully covered target is used, warped along the reference's motion.
        """
        window = context.references
        covered = nearest_covered_time(knot.exposure, target.time, window)
        if abs(covered - target.time) < 0.5:
            return own
        other = min(context.targets, key=lambda one: abs(one.time - covered))
        j = window.nearest(other.time)
        if abs(other.time - covered) > 1 or j not in window.scene(i):
            return own
        u, v = self._mapped(knot, work_map)
        span = needed_span(exposure_of(self._registration, other))
        reblur = Reblur(_frames_near(window, j, other.time, span), self._canvas.work_size[1])
        residual = other.picture - sample(reblur.exposed_at(other.time, knot.exposure), u, v)
        inverse = np.linalg.inv((work_map / work_map[2, 2])[:2, :2]).astype(np.float32)
        return warp(residual, sample(window.travel(i, j), u, v) @ inverse.T)


def _frames_near(window: ReferenceWindow[Any], i: int, time: float, reach: float) -> list[TrackedFrame]:
    """Return the frames of the scene of frame `i` within `reach` intervals of `time`, or frame `i` alone."""
    near = [k for k in window.scene(i) if abs(window.times[k] - time) <= reach]
    return [window.tracked_frame(k) for k in near or [i]]
