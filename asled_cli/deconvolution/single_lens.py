"""Deblur one clip from its own frames, as a stream: each frame with its neighbours, in bounded memory."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.align_neighbours import align_pair_alike, find_map
from asled_cli.deconvolution.camera_path import CameraPath, chain, fit_path
from asled_cli.deconvolution.confidence import (
    PATH_EXPLAINS,
    blur_share,
    confidence,
    end_share,
    explained,
    free_share,
)
from asled_cli.deconvolution.free.free_views import FreeViews, free_views, views_near_path
from asled_cli.deconvolution.light import as_coded, join, reduce_luma, split, to_coded, to_light
from asled_cli.deconvolution.own_reference import Flow, OwnReference, flow_of_map, own_reference
from asled_cli.deconvolution.views import Planes, views
from asled_cli.deconvolution.wiener import Blur, Inversion, invert, tile_side
from asled_cli.imaging.homography import Image, Matrix, resize_matrix

_USEFUL_TRUST = 0.05  # mean confidence below which an inversion is no reference


@dataclass(frozen=True, slots=True)
class SingleLensConfig:
    """How one clip is inverted."""

    radius: int = 3
    """Frames to either side that explain a frame. Blurs without a path need as many in all near a cut or an
    end, more on one side; poses of a path so far away are not known well enough."""
    along_path: bool = True
    """Whether the path through the frames' positions tells their blurs; else it is what comes last."""
    rounds: int = 2
    """Refinements of the motion on frames blurred alike."""
    around: int = 4
    """Frames to either side of a pair whose motion shapes the path there."""
    workers: int = 1
    """Threads per frame."""
    describe: bool = False
    """Whether each result carries its inversion as a reference for a network."""

    @property
    def look_ahead(self) -> int:
        """Frames past a frame that must have been seen before it is restored."""
        return self.around * (self.rounds + 1)

    @property
    def look_back(self) -> int:
        """Frames before a frame that its result may depend on."""
        return self.around * self.rounds + max(self.around, 2 * self.radius)


DEFAULTS = SingleLensConfig()


@dataclass(frozen=True, slots=True)
class Deblurred:
    """What is added to a frame.

    change: (H, W, 3) float32, coded RGB with 1.0 as full scale; None: nothing. confidence: mean, 0..1.
    reference: the same for a network, if the config asks for it and there are neighbours.
    """

    change: NDArray[np.float32] | None
    confidence: float
    reference: OwnReference | None = None


def deblur_frames(
    frames: Iterable[NDArray[np.uint16]], exposure: float, config: SingleLensConfig = DEFAULTS
) -> Iterator[Deblurred]:
    """Yield what is added to each frame, (H, W, 3) coded RGB 0..65535, in order.

    exposure: in frame intervals, of all frames. Holds about 2 * radius + around * (rounds + 1) frames.
    """
    restorer = SingleLensRestorer(exposure, config)
    for frame in frames:
        yield from restorer.push(frame)
    yield from restorer.flush()


@dataclass
class _Seen:
    rgb: NDArray[np.uint16]
    luma: Image  # linear, at working size
    planes: Planes  # at full size
    wanted: bool  # whether to invert it; else it only explains others


@dataclass(frozen=True)
class _Window:
    """A frame at time 0 and those around it, by their times, and the camera's path through them."""

    seen: dict[int, _Seen]
    path: CameraPath
    exposure: float

    @property
    def index(self) -> int:
        """Place of the frame at time 0."""
        return list(self.seen).index(0)

    @property
    def at_end(self) -> bool:
        """Whether the frame at time 0 is the first or the last one of its scene."""
        return self.index in (0, len(self.seen) - 1)

    @property
    def scale(self) -> float:
        """Width of the frames over that of the path."""
        return float(self.seen[0].rgb.shape[1] / self.path.size[0])

    @property
    def _planes(self) -> dict[int, Planes]:
        return {k: one.planes for k, one in self.seen.items()}

    def free_views(self) -> FreeViews:
        """Return the views with blurs that are found without the path."""
        along = views(self._planes, 0, self.path, self.exposure)
        return free_views(along, list(self.seen), self.index, self.path, self.exposure)

    def views_near_path(self) -> FreeViews:
        """Return the views with the path's blurs and what the frames add to them."""
        reduced = {k: one.luma for k, one in self.seen.items()}
        return views_near_path(self._planes, 0, self.path, self.exposure, reduced=reduced)

    def inversion(self, found: FreeViews, workers: int) -> Inversion | None:
        """Return the inversion of the frame at time 0, None if a blur is too long."""
        side = tile_side(max(found.lengths) * self.scale)
        return None if side is None else invert(found.views, self.index, side=side, workers=workers)


class SingleLensRestorer:
    """Takes frames one by one and gives back what is added to each, some frames later.

    What is done to a frame depends on the frames of its own scene within a fixed distance alone, so the
    result does not depend on where the stream was cut into chunks.
    """

    def __init__(self, exposure: float, config: SingleLensConfig) -> None:
        self._exposure, self._config = exposure, config
        self._frames: deque[_Seen] = deque()
        self._start = 0  # number of the first frame held, counted from the last cut
        self._maps: list[dict[int, Matrix]] = [{} for _ in range(config.rounds + 1)]
        self._count = 0  # frames since the last cut
        self._done = 0

    def push(self, rgb: NDArray[np.uint16], *, wanted: bool = True) -> list[Deblurred]:
        """Take the next frame; return the changes to those that are finished now.

        wanted: whether to invert it; otherwise it only explains the frames around it.
        """
        if self._exposure <= 0 and not self._config.describe:
            return [Deblurred(None, 0.0)]
        planes = Planes(*split(to_light(rgb)))
        seen = _Seen(rgb, reduce_luma(planes.luma), planes, wanted)
        finished: list[Deblurred] = []
        if self._frames:
            last = self._frames[-1]
            matrix = find_map(last.luma, seen.luma) if last.rgb.shape == rgb.shape else None
            if matrix is None:
                finished = self.flush()
            else:
                self._maps[0][self._count - 1] = matrix
        self._frames.append(seen)
        self._count += 1
        return finished + self._advance(last=False)

    @property
    def waiting(self) -> int:
        """Number of frames held now."""
        return len(self._frames)

    def flush(self) -> list[Deblurred]:
        """Finish the frames that wait inside; the scene or the clip is over."""
        finished = self._advance(last=True)
        self._frames.clear()
        self._maps = [{} for _ in self._maps]
        self._start = self._count = self._done = 0
        return finished

    def _advance(self, *, last: bool) -> list[Deblurred]:
        config, ready = self._config, self._count - 1  # maps known in each round
        for before, maps in zip(self._maps, self._maps[1:], strict=False):
            ready = ready if last else ready - config.around
            for k in range(max(maps, default=-1) + 1, ready):
                maps[k] = self._refined(before, k)
        finished = []
        while self._done < self._count and (last or self._maps_needed(self._done) <= ready):
            finished.append(self._restore(self._done))
            self._done += 1
            self._forget()
        return finished

    @property
    def _window(self) -> int:
        """Frames that explain a frame, if the scene is so long."""
        return 2 * self._config.radius + 1

    def _maps_needed(self, t: int) -> int:
        return max(t + self._config.around, self._window - 2) + 1

    def _refined(self, maps: dict[int, Matrix], k: int) -> Matrix:
        around = self._config.around
        window = range(max(0, k - around), min(self._count - 1, k + around + 1))
        first, second = (self._frames[i - self._start].luma for i in (k, k + 1))
        return align_pair_alike(first, second, [maps[i] for i in window], k - window.start, self._exposure)

    def _restore(self, t: int) -> Deblurred:
        radius, count = self._config.radius, self._count
        near = range(max(0, t - radius), min(count, t + radius + 1))
        if count < 3:
            return Deblurred(None, 0.0)
        whole = range(max(0, min(near.start, count - self._window)), min(count, max(near.stop, self._window)))
        window = self._window_of(t, near)
        farther = window if whole == near else self._window_of(t, whole)
        return _restored(window, farther, self._config)

    def _window_of(self, t: int, near: range) -> "_Window":
        """Return the frames `near` around frame `t`."""
        # Times count from this frame: rounded numbers do not depend on where the stream began.
        return _Window(
            {k - t: self._frames[k - self._start] for k in near}, self._path(t, near), self._exposure
        )

    def _path(self, t: int, near: range) -> CameraPath:
        """Return the camera's path through the frames `near`, at times that count from frame `t`."""
        around, maps = self._config.around, self._maps[-1]
        low = min(max(0, t - around), near.start)
        high = max(min(self._count, t + around + 1), near.stop)
        poses = chain([maps[i] for i in range(low, high - 1)], t - low)
        shape = self._frames[t - self._start].luma.shape
        return fit_path(poses, low - t, 0, self._exposure, (shape[1], shape[0]))

    def _forget(self) -> None:
        """Drop what no later frame needs."""
        config, window = self._config, self._window - 1
        keep = max(0, self._done - max(config.around * (config.rounds + 1), window))
        oldest = max(0, min(self._done - window, keep + config.around))
        while self._start < oldest:
            self._frames.popleft()
            self._start += 1
        for maps in self._maps:
            for k in [k for k in maps if k < keep]:
                del maps[k]


def _restored(window: _Window, farther: _Window, config: SingleLensConfig) -> Deblurred:
    """Return the change to the frame at time 0 from the frames around it and the camera's path through them.

    Where the path does not explain how the frames are blurred, the blurs of `farther` ones are found from
    themselves.
    """
    frame = window.seen[0]
    wanted = frame.wanted and window.exposure > 0
    found = _accepted(window, farther, config) if wanted else None
    sharp = None if found is None else _sharp(frame.rgb, found.inversion)
    trust = None if found is None else found.trust(frame)
    reference = None
    if config.describe:
        useful = trust is not None and trust.mean() >= _USEFUL_TRUST
        inverted = (sharp, trust) if useful else (None, None)
        blur = None if found is None else found.blur
        reference = own_reference(frame.rgb, *inverted, blur, _to_neighbours(window))
    if sharp is None or trust is None:
        return Deblurred(None, 0.0, reference)
    change = (sharp - as_coded(frame.rgb)) * trust[..., None]
    return Deblurred(np.asarray(change, np.float32), float(trust.mean()), reference)


@dataclass(frozen=True)
class _Accepted:
    """An inversion that explains its frame, the share of it to apply, and the frame's blur in it."""

    inversion: Inversion
    share: float
    blur: Blur

    def trust(self, frame: _Seen) -> Image:
        return confidence(self.inversion, frame.planes.luma) * np.float32(self.share)


def _accepted(window: _Window, farther: _Window, config: SingleLensConfig) -> _Accepted | None:
    """Return the inversion that explains the frame, by blurs along the path or found without it."""
    if not config.along_path:
        return _without_path(farther, config.workers) or _along_path(window, config.workers)
    along = _along_path(window, config.workers)
    if along is not None and explained(along.inversion) >= PATH_EXPLAINS:
        return along
    return _without_path(farther, config.workers) or along


def _along_path(window: _Window, workers: int) -> _Accepted | None:
    near = window.views_near_path()
    share = float(blur_share(np.array(near.lengths[window.index] * window.scale, np.float32)))
    inversion = window.inversion(near, workers) if share else None
    if inversion is None:
        return None
    if window.at_end:
        share *= end_share(inversion)
    return _Accepted(inversion, share, near.views[window.index].blur)


def _without_path(window: _Window, workers: int) -> _Accepted | None:
    """Return the inversion by blurs that the frames tell without the path, None if they do not."""
    free = window.free_views()
    inversion = window.inversion(free, workers)
    if inversion is None:
        return None
    share = free_share(inversion, free.lengths[window.index] * window.scale, free.middle_px)
    return _Accepted(inversion, share, free.views[window.index].blur) if share > 0 else None


def _to_neighbours(window: _Window) -> tuple[Flow | None, Flow | None]:
    """Return the flows from the frame at time 0 to the previous and to the next one, None at an end."""
    rgb, path = window.seen[0].rgb, window.path
    size = rgb.shape[1], rgb.shape[0]
    down = resize_matrix(size, path.size)
    up = np.linalg.inv(down)
    maps = (up @ np.linalg.inv(path.pose(k)) @ down if k in window.seen else None for k in (-1, 1))
    before, after = (flow_of_map(matrix, size) for matrix in maps)
    return before, after


def _sharp(rgb: NDArray[np.uint16], inversion: Inversion) -> Image:
    """Return the inverted frame, (H, W, 3) coded RGB with 1.0 as full scale."""
    assert inversion.tint is not None
    return to_coded(to_light(rgb) + join(inversion.luma, inversion.tint))
