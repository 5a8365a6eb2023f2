"""Detection of OIS of one lens as per-frame shifts between the views.

Optical stabilisation moves the wide lens, or its sensor, by up to a few per cent of the picture, several
times a second. Most ultra-wide lenses have none. The shift of each frame is found on small, equally blurred
pictures and becomes part of the geometry: reference frames placed by it move, and blur, as the target does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix, apply, pixel_grid, reducing, translation
from asled_cli.imaging.light import shrink, without_shades
from asled_cli.imaging.warp import sample
from asled_cli.registration.estimate.exposure import mean_residual
from asled_cli.registration.estimate.observations import (
    FrameObservation,
    doubled_map,
    halved_map,
    observe_halves,
)
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.registration.model.exposure import Exposure, KernelBlur, MotionBlur
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot
from asled_cli.runtime.stages import map_in_threads

Shifts = NDArray[np.float64]

# (reduction, Gauss-Newton steps) of each level, coarse to fine.
_LEVELS = ((4, 6), (2, 4), (1, 4))
# At the coarsest level, shades broader than this (pixels) are left out,
_SHADE_PX = 8.0
# and pictures with a lower standard deviation (0..1) cannot be matched.
_MIN_DEVIATION = 1e-3
# OIS is detected if the shifts have this root mean square (reduced pixels) and lower the residual by this
# share. A misaligned map, or an exposure off its timestamp, causes less.
_MIN_SPREAD_PX = 0.3
_MIN_GAIN = 0.1
# Above this root mean square the shifts have spoilt the common map; then it is refined.
_MAX_SPREAD_PX = 2.0
_REFINE_ROUNDS = 3
_REFINE_STEPS = 4
# Exposure assumed before the views are registered; it is good enough to align blurred frames to sharp ones.
_DEFAULT_EXPOSURE = MotionBlur(0.6)


def detect_ois(
    by_run: Sequence[Sequence[FrameObservation]], start_map: Matrix, work_map: Matrix, exposure: Exposure
) -> tuple[Matrix, Exposure] | None:
    """Return a map and an exposure under which frames are shifted individually; None without OIS.

    by_run: frames of each run. start_map: rough map, reduced target pixel -> canvas pixel.
    work_map: the common map of all frames. exposure: found under it.
    A shift common to a whole run is drift, not OIS.
    """
    trials = [PerFrameShifts.of(by_run, work_map, trial) for trial in (exposure, _DEFAULT_EXPOSURE)]
    if trials[-1].spread > _MAX_SPREAD_PX:
        trials.append(PerFrameShifts.of(by_run, start_map, _DEFAULT_EXPOSURE).refined(by_run))
    lowest = min(trials, key=lambda one: one.residual)
    residual_at_rest = min(one.residual_at_rest for one in trials)
    if lowest.spread > _MIN_SPREAD_PX and lowest.residual < residual_at_rest * (1 - _MIN_GAIN):
        return lowest.work_map, lowest.exposure
    return None


@dataclass(frozen=True)
class PerFrameShifts:
    """Shifts of frames off a common map, and how well they explain the frames.

    work_map, exposure: under which they were found.
    own: (N, 2) shift of each frame, canvas pixels. common: (N, 2) median shift of its run.
    residual, residual_at_rest: mean difference of the views with the frames' own shifts, and with the common
    ones.
    """

    work_map: Matrix
    exposure: Exposure
    own: Shifts
    common: Shifts
    residual: float
    residual_at_rest: float

    @classmethod
    def of(
        cls, by_run: Sequence[Sequence[FrameObservation]], work_map: Matrix, exposure: Exposure
    ) -> "PerFrameShifts":
        """Return the shifts of all frames under a map and an exposure."""
        half_map = halved_map(work_map, by_run[0][0])
        seen = [observe_halves(run, exposure) for run in by_run]
        shifts = [_shifts_off(run, half_map) for run in seen]
        common = np.concatenate([np.broadcast_to(np.median(s, axis=0), s.shape) for s in shifts])
        own = np.concatenate(shifts)
        halves = [frame for run in seen for frame in run]
        residual, residual_at_rest = (_difference(halves, each / 2, half_map) for each in (own, common))
        return cls(work_map, exposure, own, common, residual, residual_at_rest)

    @property
    def spread(self) -> float:
        """Return the root mean square of the frames' shifts within their runs, canvas pixels."""
        return float(np.sqrt(np.mean(np.sum((self.own - self.common) ** 2, axis=1))))

    def refined(self, by_run: Sequence[Sequence[FrameObservation]]) -> "PerFrameShifts":
        """Return the shifts under the map that fits all frames once each is shifted by its own amount.

        Views with large shifts have no common map that fits any of them.
        """
        refined, frames = self, [m for run in by_run for m in run]
        for _ in range(_REFINE_ROUNDS):
            back = np.linalg.inv((refined.work_map / refined.work_map[2, 2])[:2, :2])
            observations = []
            observed = observe_halves(frames, refined.exposure)
            for frame, shift in zip(observed, (refined.own @ back.T / 2).astype(np.float32), strict=True):
                observations.append(replace(frame, shift=np.broadcast_to(shift, (*frame.target.shape, 2))))
            half_map = refine(observations, halved_map(refined.work_map, frames[0]), _REFINE_STEPS, free=4)
            refined = PerFrameShifts.of(by_run, doubled_map(half_map.matrix, frames[0]), refined.exposure)
        return refined


def solve_ois_path(
    frames: Sequence[tuple[float, FrameObservation]],
    canvas: Canvas,
    work_map: Matrix,
    exposure: Exposure,
    ois_path: OisPath | None = None,
) -> OisPath:
    """Return the OIS path that some frames show.

    frames: (time, frame), rising; time: of the middle of the exposure, seconds on the target's clock. They
    are measured on `canvas` moved by `ois_path`.
    work_map: their common map, reduced target to canvas pixels.
    """
    times = np.array([time for time, _ in frames])
    to_full = canvas.work_to_full[:2, :2] @ np.linalg.inv((work_map / work_map[2, 2])[:2, :2])
    shifts = find_shifts([m for _, m in frames], work_map, exposure) @ to_full.T
    if ois_path is not None:
        shifts = shifts + np.array([ois_path.at(time) for time in times])
    return OisPath(times, shifts, exposure)


def rebase_ois_path(ois_path: OisPath, knot: Knot, canvas: Canvas) -> OisPath:
    """Return the OIS path as shifts before the map of `knot`; they were found before that of `canvas`.

    The two maps differ by a rotation and a scale, which are applied to the shifts.
    """
    matrix = np.linalg.inv(canvas.homography) @ knot.homography
    exposure = knot.exposure if isinstance(knot.exposure, KernelBlur) else ois_path.exposure
    exposure = replace(exposure, rolling_shutter=knot.exposure.rolling_shutter)
    return replace(ois_path.scaled(np.linalg.inv((matrix / matrix[2, 2])[:2, :2])), exposure=exposure)


def find_shifts(frames: Sequence[FrameObservation], work_map: Matrix, exposure: Exposure) -> Shifts:
    """Return (N, 2), the shift of each frame off `work_map`, canvas pixels; found at half size."""
    return _shifts_off(observe_halves(frames, exposure), halved_map(work_map, frames[0]))


def _shifts_off(halves: Sequence[LumaPair], half_map: Matrix) -> Shifts:
    """Return (N, 2), the shift of each frame off `half_map`, canvas pixels of the full reduced size."""
    return 2 * np.array(map_in_threads(lambda frame: find_shift(frame, half_map), halves))


def _difference(halves: Sequence[LumaPair], shifts: Shifts, half_map: Matrix) -> float:
    """Return the mean residual with every frame shifted by its own (N, 2) canvas pixels, at half size."""

    def residual(item: tuple[LumaPair, list[float]]) -> float:
        frame, (x, y) = item
        return mean_residual([frame], translation(x, y) @ half_map)

    return float(np.mean(map_in_threads(residual, list(zip(halves, shifts.tolist(), strict=True)))))


def find_shift(
    frame: LumaPair, start_map: Matrix, near: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the shift (x, y) of a frame off `start_map`, canvas pixels.

    Template matching at the coarsest level, then Gauss-Newton, coarse to fine.
    start_map: target pixel -> canvas pixel. near: a shift to a fraction of a pixel, if known.
    """
    x, y = near or (0.0, 0.0)
    for factor, steps in _LEVELS if near is None else _LEVELS[-1:]:
        down_t, down_c = (reducing((i.shape[1], i.shape[0]), factor) for i in (frame.target, frame.reference))
        small = _shrunk(frame, factor)
        base = down_c @ start_map @ np.linalg.inv(down_t)
        if factor == _LEVELS[0][0]:
            x, y = _integer_shift(small, base)
        start = translation(x / factor, y / factor) @ base
        off = refine([small], start, steps, free=2).matrix @ np.linalg.inv(base)
        x, y = factor * float(off[0, 2] / off[2, 2]), factor * float(off[1, 2] / off[2, 2])
    return x, y


def _shrunk(frame: LumaPair, factor: int) -> LumaPair:
    field = None if frame.shift is None else shrink(frame.shift, factor) / np.float32(factor)
    return LumaPair(shrink(frame.target, factor), shrink(frame.reference, factor), field)


def _integer_shift(small: LumaPair, base: Matrix) -> tuple[float, float]:
    """Return the shift to whole pixels by template matching, pixels before reduction."""
    height, width = small.target.shape
    reach = max((small.reference.shape[1] - width) // 2 - 1, 1)
    x, y = pixel_grid((width + 2 * reach, height + 2 * reach))
    u, v = apply(base, x - np.float32(reach), y - np.float32(reach))
    field = without_shades(sample(small.reference, u, v), _SHADE_PX)
    template = without_shades(small.target, _SHADE_PX)
    if min(float(template.std()), float(field.std())) < _MIN_DEVIATION:
        return 0.0, 0.0
    score = np.nan_to_num(cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED))
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    factor = _LEVELS[0][0]
    return float(column - reach) * factor, float(row - reach) * factor
