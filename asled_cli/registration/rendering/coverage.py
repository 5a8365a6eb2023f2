"""Which reference frames the exposure of a target needs, and where they cover it; in frame intervals."""

from typing import Any

import numpy as np

from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.rendering.reference_window import PendingTarget, ReferenceWindow

# Reference frames kept on each side of a target for its motion; long exposures need more.
_NEIGHBOURS = 2
# Longest exposure, in frame intervals, whose motion past the first and last frame is extrapolated.
_MAX_EXTRAPOLATED_LENGTH = 2.0


def exposure_of(registration: Registration, target: PendingTarget) -> Exposure:
    """Return the exposure of a target."""
    return registration.at(float(target.pair.target.time)).exposure


def needed_span(exposure: Exposure) -> float:
    """Return how many intervals before and after a target its reference frames matter."""
    return max(_NEIGHBOURS, exposure.length / 2 + 0.5) + abs(exposure.shift)


def overhang(exposure: Exposure) -> float:
    """Return how far an exposure reaches past its own frame, intervals; 0 if extrapolation covers it."""
    return exposure.length / 2 - 0.5 if exposure.length > _MAX_EXTRAPOLATED_LENGTH else 0.0


def covered_times(exposure: Exposure, time: float, window: ReferenceWindow[Any]) -> tuple[float, float]:
    """Return the first and last time at which reference frames of the scene cover a whole exposure.

    time: of the middle of the target's exposure, which decides the scene.
    """
    beyond = overhang(exposure)
    if not window.times or not beyond:
        return time, time
    scene = window.scene(window.nearest(time))
    return window.times[scene[0]] + beyond, window.times[scene[-1]] - beyond


def nearest_covered_time(exposure: Exposure, time: float, window: ReferenceWindow[Any]) -> float:
    """Return the covered time nearest to a target's `time`; `time` itself if none is covered."""
    first, last = covered_times(exposure, time, window)
    return float(np.clip(time, first, last)) if first <= last else time


def frames_before(registration: Registration) -> int:
    """Return how many pairs before a frame can influence it, at a constant frame rate."""
    exposures = [knot.exposure for knot in registration.knots]
    longest = max(exposure.length / 2 + abs(exposure.shift) for exposure in exposures)
    # A frame near a scene's end uses the residual of one half an exposure earlier, whose exposure reaches on.
    return int(np.ceil(2 * longest)) + 2 * _NEIGHBOURS + 6
