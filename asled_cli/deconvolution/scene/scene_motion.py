"""The scene's motion around a target frame: a smooth path for every place of the picture.

What flow between blurred frames finds is the mean over an exposure. As for the camera's path
(`camera_path`), the positions are the smooth curve whose means over the exposures are what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.camera_path import (
    exposure_instants,
    mean_weights,
    smooth_knots,
    spline_weights,
)
from asled_cli.deconvolution.scene.soft_flow import soft_flows
from asled_cli.imaging.homography import Image

_SMOOTHNESS = 0.03  # as in `camera_path`, but for flows, which are good to half a pixel only
# What the smooth paths leave of the flows, as a share of the blur's length and a pixel: trusted up to the
# first number, not from the second on. On averaged video, 448 pixels wide, the places below 0.006 gained
# 2.0 dB on the mean of seven clips and lost nothing on any; those above 0.02 lost.
_CLEAR, _UNCLEAR = 0.006, 0.02
_EVEN, _UNEVEN = 0.05, 0.12  # change of the displacement over half an exposure, pixels per pixel; the same
_STEPS = 7  # instants by which a blur's length is measured


@dataclass(frozen=True)
class SceneMotion:
    """Where the content of the target frame is at other times, on the grid of the soft pictures.

    knots: (K, h, w, 2) displacements in grid pixels at whole frame times `first`, `first` + 1, ... exposure:
    frame intervals. misfit: (h, w) what the paths leave of the flows, grid pixels, root mean square.
    """

    knots: NDArray[np.float32]
    first: int
    exposure: float
    misfit: Image

    def at(self, time: float) -> Image:
        """Return (h, w, 2): how far the content moves until `time`, in frame intervals from the target."""
        return self._raw(time) - self._home

    def travel(self, time: float, count: int) -> Image:
        """Return (count, h, w, 2): displacements at instants of the exposure at `time`, from its middle."""
        middle = self._raw(time)
        return np.stack([self._raw(time + u) - middle for u in exposure_instants(self.exposure, count)])

    @cached_property
    def blur_px(self) -> Image:
        """(h, w): the length of the target's blur, grid pixels."""
        steps = self.travel(0, _STEPS)
        length = sum(np.hypot(*np.moveaxis(b - a, -1, 0)) for a, b in pairwise(steps))
        return np.asarray(length * np.float32(_STEPS / (_STEPS - 1)), np.float32)

    def trust(self, reduction: float) -> Image:
        """Return (h, w) 0..1: how far the motion is known. reduction: working pixels per grid pixel."""
        clear = _share(self.misfit * reduction / (self.blur_px * reduction + 1), _CLEAR, _UNCLEAR)
        return np.asarray(clear * _share(self._unevenness, _EVEN, _UNEVEN), np.float32)

    @property
    def _unevenness(self) -> Image:
        half = self._raw(self.exposure / 2) - self._home
        slopes = [cv2.Sobel(half, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1))]
        return np.asarray(np.sqrt(sum(np.square(slope).sum(-1) for slope in slopes)), np.float32)

    @cached_property
    def _home(self) -> Image:
        return self._raw(0)

    def _raw(self, time: float) -> Image:
        weights = spline_weights(np.array([time - self.first], np.float64), len(self.knots))[0]
        return np.asarray(np.tensordot(weights.astype(np.float32), self.knots, 1))


def find_motion(flows: Sequence[Image], target: int, exposure: float) -> SceneMotion:
    """Return the motion around frame `target` from flows as `soft_flows` gives them."""
    seen = np.stack(flows)
    rows = seen.reshape(len(flows), -1)
    knots, margin = smooth_knots(rows, exposure, _SMOOTHNESS)
    left = rows - mean_weights(len(flows), exposure)[0] @ knots
    left = (left - left.mean(0)).reshape(seen.shape)
    misfit = np.sqrt(np.square(left).sum(-1).mean(0))
    shaped = knots.reshape(len(knots), *seen.shape[1:]).astype(np.float32)
    return SceneMotion(shaped, -margin - target, exposure, np.asarray(misfit, np.float32))


def motion_around(pictures: Sequence[Image], target: int, exposure: float) -> SceneMotion:
    """Return the motion around picture `target` of consecutive soft pictures."""
    return find_motion(soft_flows(pictures, target), target, exposure)


def _share(value: Image, full: float, none: float) -> Image:
    return np.asarray(np.clip((none - value) / (none - full), 0, 1), np.float32)
