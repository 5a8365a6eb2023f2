"""Detection of EIS: electronic stabilisation moves frames but not their blur.

EIS moves every frame to where a smooth camera path would show it, and leaves its blur unchanged. The motion
between frames then does not explain the blur. A linear motion blur kernel per frame, applied to the sharp
reference, does. EIS is detected from the ratio of the two.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, translation
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.blur.linear_blur import LinearBlurSearch, difference
from asled_cli.registration.estimate.observations import FrameObservation, halved_map
from asled_cli.registration.geometry.solver import LumaPair
from asled_cli.registration.model.exposure import Exposure, KernelBlur, MotionBlur
from asled_cli.registration.stabilisation.ois import find_shift

# (a, b): EIS is detected if the motion between frames explains less than a of the blur that kernels per frame
# explain, and the residual with kernels is below b of the residual with motion, for either pair. 17 clips
# with EIS reached at most 0.49 and 0.88; 50 clips without it 0.75 or more, unless b was 0.93 or more.
_MAX_RATIOS = ((0.45, 0.91), (0.6, 0.87))
# At half size, with unmatched colours, exposures may be found too short and as coded values: a second trial.
_LENGTH_FACTOR = 1.3
# Shortest kernel (pixels) whose frame gives the softness; for shorter ones softness passes for blur.
_MIN_SOFTNESS_PX = 2.5
# Exposure time assumed for EIS clips, in intervals. It affects moving objects only, and cannot be measured
# before the views are registered.
EIS_EXPOSURE = KernelBlur(0.6, linear=True)


def detect_eis(measured: Sequence[FrameObservation], work_map: Matrix, exposure: Exposure) -> Exposure | None:
    """Return the exposure of an EIS clip, None if the motion between frames explains the blur.

    measured: frames of the clip. work_map: reduced target pixel -> canvas pixel; each frame may be off it by
    a shift.
    exposure: the one that explains the blur best by motion between frames.
    """
    lengths = exposure.length, _LENGTH_FACTOR * exposure.length
    trials: list[Exposure] = [exposure]
    trials += (replace(exposure, length=length, linear=EIS_EXPOSURE.linear) for length in lengths)
    trials.append(MotionBlur(EIS_EXPOSURE.length, linear=EIS_EXPOSURE.linear))
    by_motion = [0.0 for _ in trials]
    by_kernel = without_blur = 0.0
    relative_softness = []
    for m in measured:
        for i, trial in enumerate(trials):
            view = m.half.exposed(m.time, trial)
            u, v = _canvas_positions(m, work_map, view)
            seen = within(view, u, v)
            by_motion[i] += difference(m.half_grey, sample(view, u, v), seen)
        sharp = sample(m.half.instant(m.time + trial.shift), u, v)  # under the last trial
        without_blur += difference(m.half_grey, sharp, seen)
        search = LinearBlurSearch(m.half_grey, sharp, seen, linear=EIS_EXPOSURE.linear, free=True)
        residual, vector = search.search()
        by_kernel += residual
        relative_softness.append((math.hypot(*vector), search.relative_softness(vector)))
    lowest = min(by_motion)
    if not any(
        without_blur - lowest < explained * (without_blur - by_kernel) and by_kernel < residual * lowest
        for explained, residual in _MAX_RATIOS
    ):
        return None
    reliable = [soft for length, soft in relative_softness if length >= _MIN_SOFTNESS_PX]
    return replace(EIS_EXPOSURE, relative_softness=float(np.median(reliable)) if reliable else 0.0)


def _canvas_positions(m: FrameObservation, work_map: Matrix, view: Image) -> tuple[Image, Image]:
    """Return the canvas position (u, v) of a frame's pixels at half size, shifted to fit `view`."""
    matrix = halved_map(work_map, m)
    matrix = translation(*find_shift(LumaPair(m.half_grey, view), matrix)) @ matrix
    return apply(matrix, *pixel_grid((m.half_grey.shape[1], m.half_grey.shape[0])))
