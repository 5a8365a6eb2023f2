"""Every frame's own shift, once a few runs of a clip have shown a stabiliser at work: one pass over the clip.

Works at half the size of the analysis, on stretches of frames that overlap: what tells a frame's shift lies
within a few frames of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, translation
from asled_cli.registration.estimate.ambiguity import correlation
from asled_cli.registration.estimate.observations import measure_run, recolour
from asled_cli.registration.geometry.canvas import WORK_LONG_SIDE, Canvas, reduce_for_analysis
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.stabilisation.ois import find_shift
from asled_cli.video.frames import FramePair

_LONG_SIDE = WORK_LONG_SIDE // 2
_STRETCH, _OVERLAP = 24, 4  # frames; half an exposure more overlap
# Views of one frame that correlate less than this, without their coarsest shades, do not show the same.
_ALIKE = 0.4
_ROUNDS = 3  # first on a canvas that stands still, then on one that moves as found


class MapFunction(Protocol):
    """Calls a function on each item and gives the results in order, as `map` does."""

    def __call__(
        self, function: Callable[["_Stretch"], tuple[OisPath, int]], items: Iterable["_Stretch"], /
    ) -> Iterator[tuple[OisPath, int]]: ...


def follow_clip(
    pairs: Iterable[FramePair],
    registration: Registration,
    map_function: MapFunction = map,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Registration:
    """Return the registration with the sway of all frames that have a reference, if it has one at all.

    pairs: of the whole clip, at any size. map_function: as `map`, perhaps by several threads.
    on_progress: called with the number of frames done. Memory: a stretch of reduced frames, as many as
    `map_function` works on at once.
    """
    known = registration.ois_path
    if known is None:
        return registration
    times: list[NDArray[np.float64]] = []
    shifts: list[NDArray[np.float64]] = []
    follow = partial(_follow, registration, known.exposure)
    done = 0
    for found, count in map_function(follow, _stretches(pairs, _OVERLAP + ceil(known.exposure.length / 2))):
        times.append(found.times_s)
        shifts.append(found.shifts)
        done += count
        on_progress(done)
    if not sum(map(len, times)):
        return registration
    return replace(
        registration, ois_path=OisPath(np.concatenate(times), np.concatenate(shifts), known.exposure)
    )


@dataclass(frozen=True)
class _Stretch:
    """Reduced pairs in order of time, all with a reference. own: those whose shifts are asked for."""

    pairs: list[FramePair]
    own: slice


def _stretches(pairs: Iterable[FramePair], overlap: int) -> Iterator[_Stretch]:
    """Yield stretches that share their ends, so that `overlap` frames lie about each, if there are."""
    held: list[FramePair] = []
    first = 0
    for pair in pairs:
        if pair.reference is None:
            continue
        held.append(reduce_for_analysis(pair, _LONG_SIDE))
        if len(held) == first + _STRETCH + overlap:
            yield _Stretch(held, slice(first, first + _STRETCH))
            held = held[max(first + _STRETCH - overlap, 0) :]
            first = min(overlap, first + _STRETCH)
    if len(held) > first:
        yield _Stretch(held, slice(first, len(held)))


def _follow(registration: Registration, exposure: Exposure, stretch: _Stretch) -> tuple[OisPath, int]:
    """Return the sway of a stretch's own frames, in full target pixels of the registration, and their number.

    Frames in which the views do not show the same have no shift of their own: they are crossed.
    """
    run = stretch.pairs
    count = len(run[stretch.own])
    assert run[0].reference is not None
    sizes = ((f.rgb.shape[1], f.rgb.shape[0]) for f in (run[0].target, run[0].reference))
    small = replace(registration, ois_path=None).resized(*sizes)
    knot = small.at(float(run[len(run) // 2].target.time))
    canvas = Canvas(small.target_size, small.reference_size, knot.homography)
    place, field = canvas.onto(canvas.homography), _field(knot, canvas)
    times = np.array([float(p.target.time) + exposure.shift * small.interval_s for p in run])
    ois_path: OisPath | None = None
    for _ in range(_ROUNDS):
        frames = recolour(measure_run(run, canvas, small.interval_s, ois_path), registration.tone)
        if exposure.steadied and ois_path is not None:  # in place, each frame shows how it was blurred
            frames = [m.with_intra_frame_shake(exposure, place) for m in frames]
        seen = [replace(m.observe(exposure), shift=field) for m in frames]
        moved = [find_shift(frame, place) for frame in seen]
        shifts = np.array(moved) @ canvas.work_to_full[:2, :2].T
        if ois_path is not None:
            shifts = shifts + np.array([ois_path.at(time) for time in times])
        fits = zip(seen, moved, strict=True)
        alike = np.array([correlation([one], translation(*shift) @ place) > _ALIKE for one, shift in fits])
        if not alike.any():
            return OisPath(times[:0], shifts[:0], exposure), count
        ois_path = OisPath(times[alike], shifts[alike], exposure)
    assert ois_path is not None
    own = np.isin(times[alike], times[stretch.own])
    found = OisPath(ois_path.times_s[own], ois_path.shifts[own], exposure)
    return found.scaled(np.diag(np.array(registration.target_size) / small.target_size)), count


def _field(knot: Knot, canvas: Canvas) -> Image | None:
    """Return a knot's field on the reduced grid of `canvas`, in its pixels."""
    if not knot.field.any():
        return None
    scale = canvas.work_size[0] / knot.field.shape[1]
    return np.asarray(cv2.resize(knot.field, canvas.work_size) * np.float32(scale), np.float32)
