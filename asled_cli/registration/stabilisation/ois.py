"""A lens that floats against the shake of the hand: its view shifts against the other's from frame to frame.

Optical stabilisers move the wide lens, or its sensor, by up to a few per cent of the picture, several times
a second; ultra-wide lenses mostly have none. Each frame's own shift is found on small pictures, equally
blurred, and becomes part of the geometry: reference frames placed by it move, and blur, as the target does.
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
from asled_cli.registration.estimate.observations import FrameObservation, doubled_map, halved_map
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.ois_path import OisPath

Shifts = NDArray[np.float64]

# Reductions, coarsest first, and the steps at each.
_LEVELS = ((4, 6), (2, 4), (1, 4))
# Of the coarsest pictures: shades broader than this say nothing, nor do pictures flatter than this.
_SHADE_PX, _FLAT = 8.0, 1e-3
# Shifts are believed where they spread this far (reduced pixels, root mean square) and take this share off
# the difference of the views: what a misplaced map, or an exposure off its timestamp, leaves to them is less.
_SPREAD_PX, _GAIN = 0.3, 0.1
# Frames this far apart (the same measure) have spoilt the map found for all; then it is found again.
_FAR_PX, _CLOSER_ROUNDS, _CLOSER_STEPS = 2.0, 3, 4
# Before the views fit together no exposure is found; a common one does to lay blurred frames onto sharp ones.
_SHORT = Exposure(0.6)


def detect_ois(
    by_run: Sequence[Sequence[FrameObservation]], place: Matrix, work_map: Matrix, exposure: Exposure
) -> tuple[Matrix, Exposure] | None:
    """Return a map and an exposure with which frames prove to be shifted each by its own, else None.

    place: where the target's picture lies roughly, reduced target pixel -> canvas pixel. work_map: the common
    map of all frames. exposure: as found under it. What whole runs are off it is drift.
    """
    tried = [PerFrameShifts.of(by_run, work_map, trial) for trial in (exposure, _SHORT)]
    if tried[-1].spread > _FAR_PX:
        tried.append(PerFrameShifts.of(by_run, place, _SHORT).refined(by_run))
    least = min(tried, key=lambda one: one.left)
    still = min(one.still for one in tried)
    if least.spread > _SPREAD_PX and least.left < still * (1 - _GAIN):
        return least.work_map, least.exposure
    return None


@dataclass(frozen=True)
class PerFrameShifts:
    """How far frames lie off a common map, each by its own shift, and what that explains.

    own: (N, 2) shifts, common: those of whole runs, canvas pixels. left, still: mean difference of the views
    under either.
    """

    work_map: Matrix
    exposure: Exposure
    own: Shifts
    common: Shifts
    left: float
    still: float

    @classmethod
    def of(
        cls, by_run: Sequence[Sequence[FrameObservation]], work_map: Matrix, exposure: Exposure
    ) -> "PerFrameShifts":
        frames = [m for run in by_run for m in run]
        shifts = [find_shifts(run, work_map, exposure) for run in by_run]
        common = np.concatenate([np.broadcast_to(np.median(s, axis=0), s.shape) for s in shifts])
        own = np.concatenate(shifts)
        left, still = (_difference(frames, each, work_map, exposure) for each in (own, common))
        return cls(work_map, exposure, own, common, left, still)

    @property
    def spread(self) -> float:
        """How far frames lie off their runs, canvas pixels, root mean square."""
        return float(np.sqrt(np.mean(np.sum((self.own - self.common) ** 2, axis=1))))

    def refined(self, by_run: Sequence[Sequence[FrameObservation]]) -> "PerFrameShifts":
        """Return the same under the map that suits all frames once each is shifted by its own.

        The common map of views that lie far apart suits none of them.
        """
        found, frames = self, [m for run in by_run for m in run]
        for _ in range(_CLOSER_ROUNDS):
            back = np.linalg.inv((found.work_map / found.work_map[2, 2])[:2, :2])
            observations = []
            for m, shift in zip(frames, (found.own @ back.T / 2).astype(np.float32), strict=True):
                frame = m.observe_half(found.exposure)
                observations.append(replace(frame, shift=np.broadcast_to(shift, (*frame.target.shape, 2))))
            half_map = refine(observations, halved_map(found.work_map, frames[0]), _CLOSER_STEPS, free=4)
            found = PerFrameShifts.of(by_run, doubled_map(half_map.matrix, frames[0]), found.exposure)
        return found


def solve_ois_path(
    frames: Sequence[tuple[float, FrameObservation]],
    canvas: Canvas,
    work_map: Matrix,
    exposure: Exposure,
    ois_path: OisPath | None = None,
) -> OisPath:
    """Return the sway that some frames show.

    frames: with the time of the middle of each one's exposure, seconds on the target's clock, rising;
    measured on `canvas` moved by `ois_path`. work_map: their common map, reduced target to canvas pixels.
    """
    times = np.array([time for time, _ in frames])
    to_full = canvas.work_to_full[:2, :2] @ np.linalg.inv((work_map / work_map[2, 2])[:2, :2])
    shifts = find_shifts([m for _, m in frames], work_map, exposure) @ to_full.T
    if ois_path is not None:
        shifts = shifts + np.array([ois_path.at(time) for time in times])
    return OisPath(times, shifts, exposure)


def find_shifts(frames: Sequence[FrameObservation], work_map: Matrix, exposure: Exposure) -> Shifts:
    """Return by how much each frame lies off `work_map`, (N, 2) canvas pixels; found at half size."""
    return 2 * np.array([find_shift(m.observe_half(exposure), halved_map(work_map, m)) for m in frames])


def _difference(
    frames: Sequence[FrameObservation], shifts: Shifts, work_map: Matrix, exposure: Exposure
) -> float:
    """Return the mean difference of the views with every frame shifted by its own (N, 2) canvas pixels."""
    each = []
    for m, (x, y) in zip(frames, shifts.tolist(), strict=True):
        placed = halved_map(translation(x, y) @ work_map, m)
        each.append(mean_residual([m.observe_half(exposure)], placed))
    return float(np.mean(each))


def find_shift(frame: LumaPair, place: Matrix) -> tuple[float, float]:
    """Return (x, y), canvas pixels, by which a frame lies off its `place` (target pixel -> canvas pixel)."""
    x = y = 0.0
    for factor, steps in _LEVELS:
        down_t, down_c = (reducing((i.shape[1], i.shape[0]), factor) for i in (frame.target, frame.reference))
        small = _shrunk(frame, factor)
        base = down_c @ place @ np.linalg.inv(down_t)
        if factor == _LEVELS[0][0]:
            x, y = _whole(small, base)
        start = translation(x / factor, y / factor) @ base
        off = refine([small], start, steps, free=2).matrix @ np.linalg.inv(base)
        x, y = factor * float(off[0, 2] / off[2, 2]), factor * float(off[1, 2] / off[2, 2])
    return x, y


def _shrunk(frame: LumaPair, factor: int) -> LumaPair:
    field = None if frame.shift is None else shrink(frame.shift, factor) / np.float32(factor)
    return LumaPair(shrink(frame.target, factor), shrink(frame.reference, factor), field)


def _whole(small: LumaPair, base: Matrix) -> tuple[float, float]:
    """Return the shift to whole pixels by template matching, pixels before reduction."""
    height, width = small.target.shape
    reach = max((small.reference.shape[1] - width) // 2 - 1, 1)
    x, y = pixel_grid((width + 2 * reach, height + 2 * reach))
    u, v = apply(base, x - np.float32(reach), y - np.float32(reach))
    field = without_shades(sample(small.reference, u, v), _SHADE_PX)
    template = without_shades(small.target, _SHADE_PX)
    if min(float(template.std()), float(field.std())) < _FLAT:
        return 0.0, 0.0
    score = np.nan_to_num(cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED))
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    factor = _LEVELS[0][0]
    return float(column - reach) * factor, float(row - reach) * factor
