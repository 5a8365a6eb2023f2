"""Detection of EIS: electronic stabilisation moves frames but not their blur.

EIS moves every frame to where a smooth camera path would show it, and leaves its blur unchanged. The motion
between frames then does not explain the blur. A linear motion blur kernel per frame, applied to the sharp
reference, does. EIS is detected from the ratio of the two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asled_cli.imaging.homography import Matrix, apply, pixel_grid, translation
from asled_cli.imaging.warp import sample, within
from asled_cli.registration.blur.linear_blur import LinearBlurSearch, difference
from asled_cli.registration.estimate.observations import FrameObservation, halved_map
from asled_cli.registration.geometry.solver import LumaPair
from asled_cli.registration.model.exposure import Exposure, KernelBlur, MotionBlur
from asled_cli.registration.stabilisation.ois import find_shift
from asled_cli.runtime.stages import map_in_threads

# (a, b): EIS is detected if the motion between frames explains less than a of the blur that kernels per frame
# explain, and the residual with kernels is below b of the residual with motion, for either pair. 17 clips
# with EIS reached at most 0.49 and 0.88; 50 clips without it 0.75 or more, unless b was 0.93 or more.
_MAX_RATIOS = ((0.45, 0.91), (0.6, 0.87))
# Half of the frames rule EIS out if the ratios are off by these factors too.
_SLACK_OF_HALF = (1.25, 1.04)
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
    found: list[_Explained] = []
    for part, slack in ((measured[::2], _SLACK_OF_HALF), (measured[1::2], (1.0, 1.0))):
        found += map_in_threads(lambda m: _explain(m, work_map, trials), part)
        if not _may_be_eis(found, slack):
            return None
    reliable = [one.relative_softness for one in found if one.kernel_px >= _MIN_SOFTNESS_PX]
    return replace(EIS_EXPOSURE, relative_softness=float(np.median(reliable)) if reliable else 0.0)


def _may_be_eis(found: Sequence["_Explained"], slack: tuple[float, float]) -> bool:
    """Return whether kernels explain some frames so much better than the motion between frames does.

    slack: factors of the two ratios.
    """
    by_motion = np.sum([one.by_motion for one in found], axis=0)
    without_blur = sum(one.without_blur for one in found)
    by_kernel = sum(one.by_kernel for one in found)
    lowest = float(by_motion.min())
    return any(
        without_blur - lowest < explained * slack[0] * (without_blur - by_kernel)
        and by_kernel < residual * slack[1] * lowest
        for explained, residual in _MAX_RATIOS
    )


@dataclass(frozen=True)
class _Explained:
    """Residuals of a frame, 0..1: under each trial, without blur, and with the best kernel.

    kernel_px: length of that kernel, pixels. relative_softness: under it, as in `KernelBlur`.
    """

    by_motion: list[float]
    without_blur: float
    by_kernel: float
    kernel_px: float
    relative_softness: float


def _explain(m: FrameObservation, work_map: Matrix, trials: Sequence[Exposure]) -> _Explained:
    """Return how well each trial and a kernel of its own explain a frame."""
    by_motion = []
    shift: tuple[float, float] | None = None
    half_map, grid = halved_map(work_map, m), pixel_grid((m.half_grey.shape[1], m.half_grey.shape[0]))
    for trial in trials:
        view = m.half.exposed(m.time, trial)
        shift = find_shift(LumaPair(m.half_grey, view), half_map, shift)
        u, v = apply(translation(*shift) @ half_map, *grid)
        seen = within(view, u, v)
        by_motion.append(difference(m.half_grey, sample(view, u, v), seen))
    sharp = sample(m.half.instant(m.time + trial.shift), u, v)  # under the last trial
    search = LinearBlurSearch(m.half_grey, sharp, seen, linear=EIS_EXPOSURE.linear, free=True)
    residual, vector = search.search()
    return _Explained(
        by_motion,
        difference(m.half_grey, sharp, seen),
        residual,
        math.hypot(*vector),
        search.relative_softness(vector),
    )
