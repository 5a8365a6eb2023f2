"""Deblur one clip whose parts move unlike each other, as a stream: each frame with its neighbours."""

from collections import deque
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.confidence import blur_share
from asled_cli.deconvolution.exposure import LONGEST
from asled_cli.deconvolution.light import as_coded, join, reduce_luma, split, to_coded, to_light
from asled_cli.deconvolution.own_reference import Flow, flow_of_field, own_reference
from asled_cli.deconvolution.scene.scene_motion import SceneMotion, motion_around
from asled_cli.deconvolution.scene.scene_views import scene_views
from asled_cli.deconvolution.scene.soft_flow import REDUCTION, alike, soft_picture
from asled_cli.deconvolution.single_lens import Deblurred, SingleLensConfig
from asled_cli.deconvolution.views import Planes
from asled_cli.deconvolution.wiener import invert, tile_side
from asled_cli.imaging.homography import Image

_FEWEST, _NEAREST = 3, 2  # frames of a scene; frames on either side that explain a frame, at least
# Times the usual noise over signal: motion by flow is less exact than the camera's path. Averaged clips in
# which it is good gain the same with 1, 4 and 10; others lose 0.1 to 0.4 dB less with 8.
_NOISE = 8.0
_USEFUL_TRUST = 0.02  # mean, below which an inversion is no reference
_LONG_BLURS = 0.95  # share of the picture whose blur must fit into a tile


@dataclass
class _Seen:
    rgb: NDArray[np.uint16]
    planes: Planes
    soft: Image
    wanted: bool


class SceneLensRestorer:
    """Takes frames one by one and gives back what is added to each, some frames later.

    What is done to a frame depends on the frames of its own scene within a fixed distance alone.
    """

    def __init__(self, exposure: float, config: SingleLensConfig) -> None:
        """Take the exposure in frame intervals; above LONGEST the frames are means of coded frames."""
        self._exposure, self._config = exposure, config
        self._light = exposure <= LONGEST
        self._around = max(_NEAREST, ceil(exposure))
        self._frames: deque[_Seen] = deque()
        self._next = 0  # place of the next frame to restore

    @property
    def waiting(self) -> int:
        """Number of frames held now."""
        return len(self._frames)

    def push(self, rgb: NDArray[np.uint16], *, wanted: bool = True) -> list[Deblurred]:
        """Take the next frame; return the changes to those that are finished now.

        wanted: whether to invert it; otherwise it only explains the frames around it.
        """
        planes = Planes(*split(to_light(rgb) if self._light else as_coded(rgb)))
        seen = _Seen(rgb, planes, soft_picture(reduce_luma(planes.luma)), wanted)
        finished: list[Deblurred] = []
        if self._frames and not _one_scene(self._frames[-1], seen):
            finished = self.flush()
        self._frames.append(seen)
        while self._next + self._around < len(self._frames):
            finished.append(self._restored())
        return finished

    def flush(self) -> list[Deblurred]:
        """Finish the frames that wait inside; the scene or the clip is over."""
        finished = []
        while self._next < len(self._frames):
            finished.append(self._restored())
        self._frames.clear()
        self._next = 0
        return finished

    def _restored(self) -> Deblurred:
        first = max(0, self._next - self._around)
        window = list(self._frames)[first : self._next + self._around + 1]
        done = self._restore(window, self._next - first)
        self._next += 1
        if self._next > self._around:
            self._frames.popleft()
            self._next -= 1
        return done

    def _restore(self, window: list[_Seen], t: int) -> Deblurred:
        if len(window) < _FEWEST:
            return Deblurred(None, 0.0)
        frame = window[t]
        motion = motion_around([seen.soft for seen in window], t, self._exposure)
        flows = _to_neighbours(motion, frame.rgb.shape, range(-t, len(window) - t))
        trust = self._trust(motion, frame) if frame.wanted else None
        if trust is None or trust.mean() < _USEFUL_TRUST:
            reference = own_reference(frame.rgb, None, None, None, flows) if self._config.describe else None
            return Deblurred(None, 0.0, reference)
        views = scene_views({k - t: seen.planes for k, seen in enumerate(window)}, motion)
        side = tile_side(self._long_blur(motion, frame))
        assert side is not None
        inversion = invert(views, t, side=side, workers=self._config.workers, noise=_NOISE)
        assert inversion.tint is not None
        added = join(inversion.luma, inversion.tint)
        sharp = (
            to_coded(to_light(frame.rgb) + added)
            if self._light
            else np.clip(as_coded(frame.rgb) + added, 0, 1)
        )
        reference = None
        if self._config.describe:
            blur = views[t].blur
            reference = own_reference(frame.rgb, sharp, trust, blur, flows, linear=self._light)
        change = (sharp - as_coded(frame.rgb)) * trust[..., None]
        return Deblurred(np.asarray(change, np.float32), float(trust.mean()), reference)

    def _trust(self, motion: SceneMotion, frame: _Seen) -> Image | None:
        """Return (H, W) 0..1; None where the blur is too long to be undone."""
        if tile_side(self._long_blur(motion, frame)) is None:
            return None
        height, width = frame.rgb.shape[:2]
        lengths = motion.blur_px * (width / motion.misfit.shape[1])
        trust = motion.trust(REDUCTION) * blur_share(lengths)
        return np.asarray(cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)

    def _long_blur(self, motion: SceneMotion, frame: _Seen) -> float:
        longest = float(np.quantile(motion.blur_px, _LONG_BLURS))
        return longest * float(frame.rgb.shape[1] / motion.misfit.shape[1])


def _to_neighbours(
    motion: SceneMotion, shape: tuple[int, ...], times: range
) -> tuple[Flow | None, Flow | None]:
    """Return the flows to the previous and to the next frame on the grid of the guide, None at an end."""
    before, after = (flow_of_field(motion.at(k), shape) if k in times else None for k in (-1, 1))
    return before, after


def _one_scene(first: _Seen, second: _Seen) -> bool:
    return first.rgb.shape == second.rgb.shape and alike(first.soft, second.soft)
