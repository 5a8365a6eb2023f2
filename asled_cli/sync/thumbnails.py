"""Thumbnails of both clips, and the time offset at which the scenes in them move together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, Matrix, resize_matrix
from asled_cli.registration.estimate.template_match import MatchCandidate, locate_views
from asled_cli.registration.geometry.canvas import reduced_sizes
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.runtime.stages import map_in_threads
from asled_cli.sync.camera_motion import CameraMotion, MotionCurve, small_size
from asled_cli.sync.correlation import CurveMatch
from asled_cli.sync.lens_order import MIN_VIEW_CORRELATION, Places, best_places
from asled_cli.sync.scene_motion import LONG_SIDE, match_scenes, reference_cells, target_cells
from asled_cli.sync.subframe import SmallClip, solve_clock
from asled_cli.video.decode.reader import read_small
from asled_cli.video.frames import Clip

PART_S = 15  # seconds of each clip that are compared
_RATIO_STEPS = (1.0, 0.8, 1.25)  # factors of the guessed view ratio; cells tolerate an error of 20 %
_OTHER_RATIOS = (1.0, 3.2)  # of stereo cameras, and of a zoomed wide clip
_MIN_HINT_CORRELATION = 0.3  # with a guessed geometry; unrelated real clips stayed below 0.2
_ROUNDS = 3  # of place and time in turn
_SETTLED_S = 0.003  # seconds; a smaller step ends the rounds
_MAX_LAST_STEP_S = 0.03  # seconds; a larger last step is refused
_MOMENTS = 4  # at which the views are located in each other
_SAME_OFFSET_S = 0.1  # seconds; guesses closer than this are one


@dataclass(frozen=True)
class ClipThumbnails:
    """PART_S of a clip. times: (N,) seconds. motion: of the camera.

    views, pictures: N grey ones, (h, w) uint8; views are larger, to see the place of one in the other.
    """

    clip: Clip
    times: NDArray[np.float64]
    views: Sequence[NDArray[np.uint8]]
    pictures: Sequence[NDArray[np.uint8]]
    motion: MotionCurve

    @property
    def whole(self) -> bool:
        """Whether these are all frames of the clip."""
        return self.clip.duration_s is not None and self.clip.duration_s <= PART_S

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return self.pictures[0].shape[1], self.pictures[0].shape[0]


class ThumbnailReader:
    """Reading of PART_S of a clip from `start_s` on (None: the start): iterate it, it yields frame times."""

    def __init__(self, clip: Clip, start_s: Fraction | None = None) -> None:
        self.clip = clip
        self._start_s = start_s
        self._views: list[NDArray[np.uint8]] = []
        self._motion = CameraMotion()

    def __iter__(self) -> Iterator[float]:
        end = (self.clip.start_s if self._start_s is None else self._start_s) + PART_S
        size = small_size(*self.clip.seen_size)
        for time, picture in read_small(self.clip, size, start_s=self._start_s, end_s=end):
            self._views.append(picture)
            self._motion.add(float(time), picture)
            yield float(time)

    @property
    def thumbnails(self) -> ClipThumbnails | None:
        """Return what was read; None if there is no frame."""
        if not self._views:
            return None
        size = small_size(*self.clip.seen_size, LONG_SIDE)
        pictures = [
            np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8) for view in self._views
        ]
        motion = self._motion.curve
        return ClipThumbnails(self.clip, motion.times, self._views, pictures, motion)


@dataclass(frozen=True)
class SceneMatch:
    """Time offset and place of one clip's scene in the other's.

    match: offset in the order of the arguments. place: of the inner view in the outer one at that offset.
    swapped: the first clip is the outer one.
    """

    match: CurveMatch
    place: MatchCandidate
    swapped: bool


def find_scene_match(
    first: ClipThumbnails, second: ClipThumbnails, fov_ratio: float, hints: Sequence[float]
) -> SceneMatch | None:
    """Return the offset and place with the highest confidence, which may be too low to be accepted.

    fov_ratio: prior of the field-of-view ratio. hints: further offsets to try, seconds.
    """
    offsets = [*_guess_offsets(first, second, fov_ratio), *hints]  # good to a frame or two
    best: SceneMatch | None = None
    for offset in offsets:
        found = _settle(first, second, offset)
        if found is not None and (best is None or found.match.confidence > best.match.confidence):
            best = found
        if best is not None and best.match.confidence >= 1:
            break
    return None if best is None else _refine(first, second, best)


def match_at(
    first: ClipThumbnails, second: ClipThumbnails, place: MatchCandidate, swapped: bool, near_s: float | None
) -> CurveMatch | None:
    """Return the best match of scene changes for a place; its offset is in the order of the arguments.

    place: of the inner view in the outer one. swapped: the first clip is the outer one. near_s: only offsets
    close to it, seconds.
    """
    inner, outer = (second, first) if swapped else (first, second)
    down, up = _scaling(inner, outer)
    return _match(inner, outer, up @ place.matrix @ down, swapped, near_s)


def _refine(first: ClipThumbnails, second: ClipThumbnails, found: SceneMatch) -> SceneMatch:
    """Return the match with time and place refined together, unless its correlation falls."""
    inner, outer = (second, first) if found.swapped else (first, second)
    sign = -1 if found.swapped else 1
    down, up = _scaling(inner, outer)
    solved = solve_clock(
        SmallClip(inner.times, inner.pictures),
        SmallClip(outer.times, outer.pictures),
        sign * found.match.offset_s,
        up @ found.place.matrix @ down,
    )
    if solved is None:
        return found
    offset_s, small = solved
    match = _match(inner, outer, small, found.swapped, sign * offset_s)
    if match is None or match.correlation < found.match.correlation:
        return found
    place = replace(found.place, matrix=np.linalg.inv(up) @ small @ np.linalg.inv(down))
    return replace(found, match=replace(match, offset_s=sign * offset_s), place=place)


def _scaling(inner: ClipThumbnails, outer: ClipThumbnails) -> tuple[Matrix, Matrix]:
    """Return the maps from inner thumbnail pixels to those of a place, and on to outer thumbnail pixels."""
    sizes = reduced_sizes(inner.clip.seen_size, outer.clip.seen_size)
    return resize_matrix(inner.size, sizes[0]), resize_matrix(sizes[1], outer.size)


def _match(
    inner: ClipThumbnails, outer: ClipThumbnails, small: Matrix, swapped: bool, near_s: float | None = None
) -> CurveMatch | None:
    sign = -1 if swapped else 1
    found = match_scenes(
        target_cells(inner.times, inner.pictures),
        reference_cells(outer.times, outer.pictures, small, inner.pictures[0].shape),
        None if near_s is None else sign * near_s,
    )
    return None if found is None else replace(found, offset_s=sign * found.offset_s)


def _guess_offsets(first: ClipThumbnails, second: ClipThumbnails, fov_ratio: float) -> list[float]:
    """Return offsets of correlated scene changes under guessed geometries, highest correlation first."""
    tries = []
    for swapped in (False, True):
        inner, outer = (second, first) if swapped else (first, second)
        ratios = [fov_ratio * step for step in _RATIO_STEPS] + list(_OTHER_RATIOS)
        tries += [(inner, outer, centre_crop(ratio, inner.size, outer.size), swapped) for ratio in ratios]
    matches = map_in_threads(lambda tried: _match(*tried), tries)
    found = [match for match in matches if match is not None and match.correlation > _MIN_HINT_CORRELATION]
    found.sort(key=lambda match: -match.correlation)
    offsets: list[float] = []
    for match in found:
        if all(abs(match.offset_s - other) > _SAME_OFFSET_S for other in offsets):
            offsets.append(match.offset_s)
    return offsets


def _settle(first: ClipThumbnails, second: ClipThumbnails, offset_s: float) -> SceneMatch | None:
    """Return place and offset after estimating them in turn; None if the pictures do not correlate."""
    found: SceneMatch | None = None
    for _ in range(_ROUNDS):
        forward, backward = locate_at(first, second, offset_s)
        if forward is None or backward is None:
            return None
        swapped = backward.score > forward.score
        place = backward if swapped else forward
        if place.score < MIN_VIEW_CORRELATION:
            return None
        match = match_at(first, second, place, swapped, None)
        if match is None:
            return None
        settled = abs(match.offset_s - offset_s)
        found = SceneMatch(match, place, swapped) if settled < _MAX_LAST_STEP_S else None
        if settled < _SETTLED_S:
            break
        offset_s = match.offset_s
    return found


def locate_at(first: ClipThumbnails, second: ClipThumbnails, offset_s: float) -> Places:
    """Return the place of the first view in the second and the reverse at an offset, seconds."""
    shifted = second.times + offset_s
    start, end = max(first.times[0], shifted[0]), min(first.times[-1], shifted[-1])
    if end <= start:
        return None, None
    moments = start + (end - start) * (2 * np.arange(_MOMENTS) + 1) / (2 * _MOMENTS)
    pairs = [(_view_at(first, time), _view_at(second, time - offset_s)) for time in moments.tolist()]
    reverse = [(other, one) for one, other in pairs]
    sizes = [reduced_sizes(inner.clip.seen_size, outer.clip.seen_size)
             for inner, outer in ((first, second), (second, first))]  # fmt: skip
    return best_places(
        lambda prior: locate_views(pairs, sizes[0], prior),
        lambda prior: locate_views(reverse, sizes[1], prior),
    )


def _view_at(clip: ClipThumbnails, time_s: float) -> Image:
    """Return the luma 0..1 of the frame nearest to a time."""
    nearest = clip.views[int(np.argmin(np.abs(clip.times - time_s)))]
    return nearest.astype(np.float32) * np.float32(1 / 255)
