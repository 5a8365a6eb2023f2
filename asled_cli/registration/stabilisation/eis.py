"""Clips that software has steadied: their frames are blurred by a motion that no longer shows between them.

A phone's stabiliser moves every frame to where a calmer hand would have held it, and leaves its blur as it
was. The motion of neighbouring frames then tells nothing about the blur, but the sharp reference does:
blurred along a straight way, each frame along its own, it becomes what the target shows.
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
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.stabilisation.ois import find_shift

# A clip was steadied where its motion explains less than this share of the blur that ways of their own
# explain, and those leave less than this share of what its motion leaves. 17 clips that were: at most 0.49
# and 0.88; 50 that were not: 0.75 or more of the former, unless 0.93 or more of the latter.
_EXPLAINED_AND_LEFT = ((0.45, 0.91), (0.6, 0.87))
# At half size, in colours not yet matched, exposures may be found too short, and in coded values.
_LONGER = 1.3
_CLEAR_PX = 2.5
# How long the shutter of a steadied clip is taken to be open, which tells only what moves by itself; as good
# a guess as any before views fit together.
EIS_EXPOSURE = Exposure(0.6, linear=True, steadied=True)


def detect_eis(measured: Sequence[FrameObservation], work_map: Matrix, exposure: Exposure) -> Exposure | None:
    """Return the exposure of a clip whose frames are blurred along ways of their own, None where the motion
    between them explains their blur.

    work_map: reduced target pixel -> canvas pixel; frames may each lie off it by a shift. exposure: the one
    that explains their blur best by their motion.
    """
    lengths = exposure.length, _LONGER * exposure.length
    trials = [exposure, *(replace(exposure, length=length, linear=EIS_EXPOSURE.linear) for length in lengths)]
    trials.append(replace(EIS_EXPOSURE, steadied=False))
    by_motion = [0.0 for _ in trials]
    by_way = unblurred = 0.0
    relative_softness = []
    for m in measured:
        for i, trial in enumerate(trials):
            view = m.half.exposed(m.time, trial)
            u, v = _places(m, work_map, view)
            seen = within(view, u, v)
            by_motion[i] += difference(m.half_grey, sample(view, u, v), seen)
        sharp = sample(m.half.instant(m.time + trial.shift), u, v)  # where the last trial lies
        unblurred += difference(m.half_grey, sharp, seen)
        search = LinearBlurSearch(m.half_grey, sharp, seen, linear=EIS_EXPOSURE.linear, free=True)
        left, way = search.best()
        by_way += left
        relative_softness.append((math.hypot(*way), search.relative_softness(way)))
    least = min(by_motion)
    if not any(
        unblurred - least < explained * (unblurred - by_way) and by_way < left * least
        for explained, left in _EXPLAINED_AND_LEFT
    ):
        return None
    # Along short ways softness and blur are hard to tell apart.
    clear = [soft for length, soft in relative_softness if length >= _CLEAR_PX]
    return replace(EIS_EXPOSURE, relative_softness=float(np.median(clear)) if clear else 0.0)


def _places(m: FrameObservation, work_map: Matrix, view: Image) -> tuple[Image, Image]:
    """Return where a frame's pixels lie on the canvas at half size, where the blurred `view` fits it best."""
    place = halved_map(work_map, m)
    place = translation(*find_shift(LumaPair(m.half_grey, view), place)) @ place
    return apply(place, *pixel_grid((m.half_grey.shape[1], m.half_grey.shape[0])))
