"""The frames around a target frame, warped to its pixels along the scene's motion, with their blur there."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.scene.scene_motion import SceneMotion
from asled_cli.deconvolution.views import Planes
from asled_cli.deconvolution.wiener import View
from asled_cli.imaging.homography import Image, pixel_grid
from asled_cli.imaging.warp import warp

# Longer exposures than a frame interval are means of frames: as many instants as frames.
_SHARED = 1.2
_SPACING_PX, _FEWEST, _MOST = 2.0, 5, 31  # instants of a shorter one
_APPLIED = 15  # instants by which a picture is blurred at most


@dataclass(frozen=True)
class SceneBlur:
    """A `Blur` whose motion differs from place to place.

    travel: (U, h, w, 2) on the grid of soft pictures: how far the content of each place is from where it is
    in the middle of the exposure, pixels of the frame. size: (width, height) of the frame.
    """

    travel: NDArray[np.float32]
    size: tuple[int, int]

    def moves(self, points: NDArray[np.float64], around_px: int) -> NDArray[np.float64]:
        """Return (N, U, 2): how far from each of `points` (N, 2) each instant samples the sharp frame."""
        rows, columns = self.travel.shape[1:3]
        share = columns / self.size[0]
        side = max(1, round(around_px * share)) | 1
        x, y = (
            ((points[:, i] + 0.5) * (cells / extent) - 0.5).astype(np.float32)[None]
            for i, (cells, extent) in enumerate(zip((columns, rows), self.size, strict=True))
        )
        usual = [cv2.blur(field, (side, side), borderType=cv2.BORDER_REPLICATE) for field in self.travel]
        seen = [cv2.remap(f, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0] for f in usual]
        return -np.stack(seen, 1).astype(np.float64)

    def applied(self, picture: Image) -> Image:
        """Return a picture of any size, (h, w, C), blurred as the frame is."""
        height, width = picture.shape[:2]
        some = self.travel[:: -(-len(self.travel) // _APPLIED)]
        factors = np.array([width / self.size[0], height / self.size[1]], np.float32)
        total = np.zeros_like(picture)
        for field in some:
            total += warp(
                picture, -cv2.resize(field * factors, (width, height), interpolation=cv2.INTER_LINEAR)
            )
        return np.asarray(total / np.float32(len(some)), np.float32)


def scene_views(frames: Mapping[int, Planes], motion: SceneMotion) -> list[View]:
    """Return the frames, by their times from the target's, as views of the sharp target frame (time 0)."""
    height, width = frames[0].luma.shape
    rows, columns = motion.misfit.shape
    factors = np.array([width / columns, height / rows], np.float32)
    count = instants(motion, float(factors[0]))
    found = []
    for time, planes in frames.items():
        blur = SceneBlur(motion.travel(time, count) * factors, (width, height))
        found.append(_view(planes, frames[0], motion.at(time) * factors, blur))
    return found


def instants(motion: SceneMotion, factor: float) -> int:
    """Return the number of instants of an exposure. factor: pixels of the frame per grid pixel."""
    if motion.exposure > _SHARED:
        return round(motion.exposure)
    longest = float(motion.blur_px.max()) * factor
    return int(np.clip(np.ceil(longest / _SPACING_PX), _FEWEST, _MOST))


def _view(frame: Planes, target: Planes, flow: Image, blur: SceneBlur) -> View:
    """Return a frame warped along a flow on the coarse grid; where it shows nothing, the target stands in."""
    size = frame.luma.shape[1], frame.luma.shape[0]
    fine = cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR)
    x, y = pixel_grid(size)
    u, v = x + fine[..., 0], y + fine[..., 1]
    inside = ((u >= 0) & (v >= 0) & (u <= size[0] - 1) & (v <= size[1] - 1)).astype(np.float32)
    luma = _warped(frame.luma, target.luma, u, v)
    tint = None
    if frame.tint is not None and target.tint is not None:
        half = frame.tint.shape[1], frame.tint.shape[0]
        hx, hy = pixel_grid(half)
        slow = cv2.resize(flow / np.float32(2), half, interpolation=cv2.INTER_LINEAR)
        tint = _warped(frame.tint, target.tint, hx + slow[..., 0], hy + slow[..., 1])
    return View(luma, tint, inside, blur)


def _warped(plane: Image, base: Image, u: Image, v: Image) -> Image:
    warped = cv2.remap(plane, u, v, cv2.INTER_CUBIC, base.copy(), borderMode=cv2.BORDER_TRANSPARENT)
    return np.asarray(warped, np.float32)
