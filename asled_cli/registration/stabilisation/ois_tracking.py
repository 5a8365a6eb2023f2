"""OIS tracking: measure the shift of every frame in one pass over the clip.

It runs if a few runs of the clip have shown OIS. It works at half the size of the analysis on overlapping
stretches of frames, since the shift of a frame depends only on the few frames around it.
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
from asled_cli.registration.model.exposure import Exposure, KernelBlur
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.stabilisation.ois import find_shift
from asled_cli.video.frames import FramePair

# Longer side of the reduced target: half of that of the analysis.
_LONG_SIDE = WORK_LONG_SIDE // 2
# Frames of a stretch without its overlaps: one task of `map_function`.
_STRETCH = 24
# Frames of overlap at each end, for the motion of the reference; half an exposure is added.
_OVERLAP = 4
# Lowest correlation of the views of a frame, without coarse shades, for an accepted shift.
_MIN_CORRELATION = 0.4
# Rounds: the first on a static canvas, then on one that moves along the path found.
_ROUNDS = 3


class MapFunction(Protocol):
    """A function like `map`: calls `function` on each item and yields the results in order."""

    def __call__(
        self, function: Callable[["_Stretch"], tuple[OisPath, int]], items: Iterable["_Stretch"], /
    ) -> Iterator[tuple[OisPath, int]]: ...


def follow_clip(
    pairs: Iterable[FramePair],
    registration: Registration,
    map_function: MapFunction = map,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Registration:
    """Return the registration with the OIS shift of all frames that have a reference.

    A registration without an OIS path is returned unchanged.
    pairs: of the whole clip, at any size. map_function: as `map`, perhaps with several threads.
    on_progress: called with the number of frames done.
    Memory: one stretch of reduced frames per call that `map_function` runs at once.
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
    """Yield overlapping stretches, with up to `overlap` more frames on each side."""
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
    """Return the shifts of a stretch's own frames, full target pixels, and their number.

    Frames whose views do not match get no shift; the path is interpolated over them.
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
        # Kernels can be measured once the frames are aligned.
        if isinstance(exposure, KernelBlur) and ois_path is not None:
            frames = [m.with_intra_frame_shake(exposure, place) for m in frames]
        seen = [replace(m.observe(exposure), shift=field) for m in frames]
        offsets = [find_shift(frame, place) for frame in seen]
        shifts = np.array(offsets) @ canvas.work_to_full[:2, :2].T
        if ois_path is not None:
            shifts = shifts + np.array([ois_path.at(time) for time in times])
        fits = zip(seen, offsets, strict=True)
        accepted = np.array(
            [correlation([one], translation(*shift) @ place) > _MIN_CORRELATION for one, shift in fits]
        )
        if not accepted.any():
            return OisPath(times[:0], shifts[:0], exposure), count
        ois_path = OisPath(times[accepted], shifts[accepted], exposure)
    assert ois_path is not None
    own = np.isin(times[accepted], times[stretch.own])
    found = OisPath(ois_path.times_s[own], ois_path.shifts[own], exposure)
    return found.scaled(np.diag(np.array(registration.target_size) / small.target_size)), count


def _field(knot: Knot, canvas: Canvas) -> Image | None:
    """Return a knot's parallax field on the reduced grid of `canvas`, in its pixels; None if it is zero."""
    if not knot.field.any():
        return None
    scale = canvas.work_size[0] / knot.field.shape[1]
    return np.asarray(cv2.resize(knot.field, canvas.work_size) * np.float32(scale), np.float32)
