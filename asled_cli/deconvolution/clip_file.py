"""The exposure of a clip in a file from a few stretches of it, and which of its frames are neighbours."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.blend_count import is_blended
from asled_cli.deconvolution.clip_exposure import clip_exposure
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.light import working_size
from asled_cli.deconvolution.scene.evidence import coded_luma, split_scenes
from asled_cli.imaging.homography import Image
from asled_cli.runtime.stages import map_in_threads
from asled_cli.video.decode.reader import DecodedPicture, read_picture_runs, read_runs
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


def has_blended_frames(clip: Clip) -> bool:
    """Return whether each frame of a clip is a blend of several, from frames as `measure_exposure` reads.

    They are reduced to the size at which motion is measured on the way from their planes.
    """
    size = working_size(clip.seen_size)

    def coded(picture: DecodedPicture) -> Image:
        return coded_luma(picture.frame(size).rgb)

    runs = read_picture_runs(clip, _start_times(clip.start_s, clip.end_s, clip.average_rate), _RUN_LENGTH)
    return is_blended(split_scenes(map_in_threads(coded, run) for run in runs))


def _read_stretches(clip: Clip, start_s: Fraction | None = None, end_s: Fraction | None = None) -> Stretches:
    first = clip.start_s if start_s is None else max(start_s, clip.start_s)
    last = clip.end_s if end_s is None else min(end_s, clip.end_s)
    for run in read_runs(clip, _start_times(first, last, clip.average_rate), _RUN_LENGTH):
        yield [frame.rgb for frame in run if frame.time < last]


def _start_times(first: Fraction, last: Fraction, rate: Fraction) -> list[Fraction]:
    return [first + at / rate for at in _starts((last - first) * rate)]


def sampled_exposure(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> ExposureFit:
    """Return the exposure of a clip in memory from the runs that `measure_exposure` takes.

    frames: of the clip. rgb_at: gives a frame by its number, (H, W, 3) coded RGB 0..65535.
    """
    return clip_exposure(_sampled_stretches(frames, rgb_at))


def has_blended_sample(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> bool:
    """Return the same as `has_blended_frames` of a clip in memory. Arguments as `sampled_exposure`."""
    runs = _sampled_stretches(frames, rgb_at)
    return is_blended(split_scenes(map_in_threads(coded_luma, run) for run in runs))


def _sampled_stretches(frames: int, rgb_at: Callable[[int], NDArray[np.uint16]]) -> Stretches:
    starts, length = stretches(frames)
    for start in starts:
        yield [rgb_at(i) for i in range(start, min(start + length, frames))]


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
