"""The exposure of a clip in a file from a few stretches of it, and which of its frames are neighbours."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.blend_count import find_blend
from asled_cli.deconvolution.clip_exposure import clip_exposure
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.scene.evidence import coded_luma, split_scenes
from asled_cli.video.decode.reader import read_runs
from asled_cli.video.frames import Clip, Frame

Stretches = Iterator[list[NDArray[np.uint16]]]
_RUNS, _RUN_LENGTH = 3, 14
_UNEVEN = Fraction(1, 4)  # of a frame interval; frames off the beat by more are not neighbours


def measure_exposure(
    clip: Clip, start_s: Fraction | None = None, end_s: Fraction | None = None
) -> ExposureFit:
    """Return the exposure of a clip in frame intervals, and how well inversion with it explains its frames.

    start_s, end_s: the part to look at, seconds on the clip's own clock. Memory: the frames of one stretch.
    """
    return clip_exposure(_read_stretches(clip, start_s, end_s))


def measure_blend(clip: Clip) -> int:
    """Return of how many frames each of a clip is a blend, from the frames that `measure_exposure` reads.

    0: they are no blends.
    """
    return _blend_of(_read_stretches(clip))


def _read_stretches(clip: Clip, start_s: Fraction | None = None, end_s: Fraction | None = None) -> Stretches:
    first = clip.start_s if start_s is None else max(start_s, clip.start_s)
    last = clip.end_s if end_s is None else min(end_s, clip.end_s)
    starts = [first + at / clip.average_rate for at in _starts((last - first) * clip.average_rate)]
    for run in read_runs(clip, starts, _RUN_LENGTH):
        yield [frame.rgb for frame in run if frame.time < last]


def sampled_exposure(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> ExposureFit:
    """Return the exposure of a clip in memory from the runs that `measure_exposure` takes.

    frames: of the clip. rgb_at: gives a frame by its number, (H, W, 3) coded RGB 0..65535.
    """
    return clip_exposure(_sampled_stretches(frames, rgb_at))


def sampled_blend(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> int:
    """Return the same as `measure_blend` of a clip in memory. Arguments as `sampled_exposure`."""
    return _blend_of(_sampled_stretches(frames, rgb_at))


def _sampled_stretches(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> Stretches:
    starts, length = stretches(frames)
    for start in starts:
        yield [rgb_at(i) for i in range(start, min(start + length, frames))]


def _blend_of(runs: Stretches) -> int:
    return find_blend(split_scenes([coded_luma(frame) for frame in run] for run in runs)).blended


def stretches(frames: int) -> tuple[list[int], int]:
    """Return at which frames of a clip to measure its exposure, and how many from each."""
    return [round(at) for at in _starts(Fraction(frames))], _RUN_LENGTH


def _starts(frames: Fraction) -> list[Fraction]:
    """Return where the runs begin, in frames from the start."""
    spare = max(Fraction(0), frames - _RUN_LENGTH)
    count = min(_RUNS, max(1, ceil(spare / _RUN_LENGTH)))
    return [spare * Fraction(2 * i + 1, 2 * count) for i in range(count)]


def follows(frame: Frame, before: Frame, frame_s: Fraction) -> bool:
    """Return whether a frame comes the usual time after another, so that they are neighbours."""
    return abs(frame.time - before.time - frame_s) <= _UNEVEN * frame_s
