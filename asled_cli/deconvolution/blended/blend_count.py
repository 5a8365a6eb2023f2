"""Of how many video frames the frames of a clip are means: found from the differences between frames.

With Y_t the mean of N instants, N (Y_{t+1} - Y_t) = X_{t+1+N//2} - X_{t-N//2}. The autocorrelation of these
differences is that of the instants' own, smoothed by a triangle that ends at a lag of N: it falls in a line
from 1 and bends there. Where a camera moves slowly it falls as slowly, but nowhere bends so. What passes is
solved once: under a wrong count, the instants follow their flow worse than the frames do.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.instants import Blend, make_blend, nearest_frames
from asled_cli.deconvolution.blended.unblend import frame_flows, instant_flows, resized, resized_flow
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.scene.soft_flow import soft_picture
from asled_cli.imaging.homography import Image
from asled_cli.runtime.device import torch_threads

COUNTS = (3, 5, 7, 9)
_SOFT_PX, _REDUCTION = 2.0, 2  # of the pictures whose differences are compared
_MOVED = 0.01  # sum of two differences from which a pixel says something
_FEWEST_PIXELS, _FEWEST_PAIRS = 500, 2
# 53 averaged training clips, 16 of them of 3 instants: bend times N 0.32 to 1.19 (N = 3) and 0.26 to 2.6
# (more), over the largest change of slope before it 1.3 (N = 3, 5) and 1.0 at least (but for one), fall from
# lag 0 to 1 at most 2.8 / N, no correlation below -0.53. 97 sharp, slow or shaken stretches: shakes fall by
# 5 / N and more or reach -0.8; slow video bends by 0.6 / N at most, but for rippled water (1.2 times a change
# before it, N = 5) and one clip no more than 0.7 of a change before it.
_BENT_OF_THREE, _BENT, _STEEP, _LOWEST = 0.5, 0.25, 3.0, -0.55
_CLEAR_OF_FEW, _FEW, _CLEAR = 1.3, 5, 0.9
# One averaged clip bends over three lags: a bend of 0.66 / N after a slow fall counts too.
_SHARP, _SLOW = 0.63, 2.0
# Bends of more than three frames from which nothing else is asked: moving objects make instants jump.
_SURE = 0.8
# Jumps of instants over those of frames: averaged clips at most 1.1 (N = 3, but for two) and 1.25 (more, but
# for one, and for sure bends). What else passes for a blend has 1.15 and more (N = 3) and 1.6.
_JUMP_OF_THREE, _JUMP = 1.12, 1.3
_STEPS = 12
_JUMPING = 11  # frames in which jumps are judged
# Frames on either side whose flow shapes the motion of a frame, fewer than for unblending. With them and
# quicker flows, ratios of eleven blended clips moved by -0.14 to +0.03, that of a shaken one by +0.01.
_REACH = 3


def find_blend(runs: Sequence[Sequence[Image]]) -> ExposureFit:
    """Return the exposure of blended frames in frame intervals, an odd number; 0.0 if they are not blended.

    runs: consecutive frames of one scene each, (H, W) float32 coded luma at working size.
    """
    count, bend, frames = _likely(runs)
    if not count:
        return ExposureFit(0.0, 0.0, "scene")
    ratio, trust = jump_ratio(frames, count)
    accepted = _is_sure(count, bend) or ratio <= _largest_ratio(count)
    return ExposureFit(float(count) if accepted else 0.0, trust, "scene")


def is_blended(runs: Sequence[Sequence[Image]]) -> bool:
    """Return whether `find_blend` finds an exposure; instants are not solved where the bend alone tells."""
    count, bend, frames = _likely(runs)
    return bool(count) and (_is_sure(count, bend) or jump_ratio(frames, count)[0] <= _largest_ratio(count))


def _likely(runs: Sequence[Sequence[Image]]) -> tuple[int, float, Sequence[Image]]:
    """Return the likely count of instants (0: none), its bend, and the frames in which jumps tell more."""
    count, bend = likely_count(lag_correlations(runs))
    longest = max(runs, key=len, default=())
    return count if len(longest) > count // 2 else 0, bend, longest[:_JUMPING]


def _is_sure(count: int, bend: float) -> bool:
    return bend >= _SURE and count != COUNTS[0]


def _largest_ratio(count: int) -> float:
    return _JUMP_OF_THREE if count == COUNTS[0] else _JUMP


def lag_correlations(runs: Sequence[Sequence[Image]]) -> NDArray[np.float64]:
    """Return the correlation of the differences between neighbours at lags 0, 1, ..., as far as known."""
    longest = max(map(len, runs), default=0) - 1 - _FEWEST_PAIRS
    sums = np.zeros((max(min(longest, COUNTS[-1] + 1), 0) + 1, 3))
    pixels = np.zeros(len(sums), int)
    for run in runs:
        soft = np.stack([_soft(frame) for frame in run])
        apart = np.diff(soft, axis=0)
        for lag in range(1, min(len(sums), len(apart))):
            first, second = apart[:-lag], apart[lag:]
            moved = np.abs(first) + np.abs(second) > _MOVED
            a, b = first[moved].astype(np.float64), second[moved].astype(np.float64)
            sums[lag] += (a * b).sum(), (a * a).sum(), (b * b).sum()
            pixels[lag] += a.size
    found = sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2] + 1e-12)
    found[0] = 1
    known = np.flatnonzero(pixels[1:] < _FEWEST_PIXELS)
    return found[: known[0] + 1] if known.size else found


def likely_count(correlations: NDArray[np.float64]) -> tuple[int, float]:
    """Return the lag at which the correlations bend as those of blended frames do, and how far; 0: none."""
    if len(correlations) < 2 or correlations.min() < _LOWEST:
        return 0, 0.0
    changes = np.concatenate([[0.0], np.diff(correlations, 2), np.zeros(COUNTS[-1])])  # of slope, by lag
    fall = float(1 - correlations[1])
    clearness = {n: _clearness(changes, n) for n in COUNTS if _bends_as_blend(changes, n, fall)}
    count = max(clearness, key=lambda n: clearness[n], default=0)
    return count, count * float(changes[count])


def _bends_as_blend(changes: NDArray[np.float64], n: int, fall: float) -> bool:
    """Return whether the correlations of means of `n` instants bend so. fall: from lag 0 to lag 1."""
    bend, of_three = n * float(changes[n]), n == COUNTS[0]
    if bend < (_BENT_OF_THREE if of_three else _BENT):
        return False
    if n * fall <= _STEEP and _clearness(changes, n) >= (_CLEAR_OF_FEW if n <= _FEW else _CLEAR):
        return True
    return not of_three and n * fall <= _SLOW and bend >= _SHARP


def _clearness(changes: NDArray[np.float64], lag: int) -> float:
    """Return the change of slope at a lag over the largest one before it, past lag 1."""
    return float(changes[lag] / (np.abs(changes[2:lag]).max() + 1e-9))


def jump_ratio(frames: Sequence[Image], count: int) -> tuple[float, float]:
    """Return how far instants differ from the next ones, along their flow, over what frames do so.

    Second: the mean trust in the instants' flow, 0..1.
    """
    around = frame_flows([soft_picture(frame) for frame in frames], _REACH, quick=True)
    size = max(frames[0].shape[1] // _REDUCTION, 1), max(frames[0].shape[0] // _REDUCTION, 1)
    pictures = [resized(frame, size) for frame in frames]

    def blend(of: int) -> Blend:
        return make_blend(pictures, [resized_flow(flow, size) for flow in instant_flows(around, of, _REACH)])

    with torch_threads(1):
        blended, plain = blend(count), blend(1)
        found = blended.solved(nearest_frames(blended.frames, count), _STEPS)
        blended = blended.judged(found)
        found = blended.solved(found, _STEPS)
        inner = slice(count // 2, -(count // 2))
        jumps = float(blended.jumps(found)[inner].abs().mean())
        return jumps / (float(plain.jumps(plain.frames).abs().mean()) + 1e-9), float(blended.trust.mean())


def _soft(frame: Image) -> Image:
    soft = cv2.GaussianBlur(frame, (0, 0), _SOFT_PX)
    return np.ascontiguousarray(soft[::_REDUCTION, ::_REDUCTION], np.float32)
