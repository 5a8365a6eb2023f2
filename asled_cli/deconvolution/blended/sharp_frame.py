"""One frame among the sharp instants of its clip: what it gains, how far to trust that, and how it moves."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.unblend import Instants, resized, resized_flow
from asled_cli.deconvolution.confidence import blur_share
from asled_cli.deconvolution.light import join
from asled_cli.deconvolution.own_reference import Flow, flow_of_field
from asled_cli.deconvolution.scene.scene_views import SceneBlur
from asled_cli.deconvolution.scene.soft_flow import REDUCTION
from asled_cli.deconvolution.views import Planes
from asled_cli.imaging.homography import Image
from asled_cli.imaging.warp import warp

_LONG_SIDE = 960  # pixels of the frames from which detail is taken
_BACKWARD = 3  # iterations to the inverse of a flow
# Mean agreement of an instant with those beside it from which it counts fully.
_TRUSTED = 0.5

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SharpFrame:
    """The instant in the middle of a frame's exposure.

    luma: (h, w), tint: (h', w', 2), as in `Planes`. agreement: (h, w) 0..1, with the instants beside it.
    ways: (N, h", w", 2), where its content is at each instant of the exposure, pixels of (h", w").
    """

    luma: Image
    tint: Image
    agreement: Image
    ways: NDArray[np.float32]
    first: bool  # of the scene
    last: bool

    def added(self, frame: Planes, shape: Shape) -> Image:
        """Return (H, W, 3): what a frame lacks, coded. frame: as it was solved; shape: of the whole one."""
        assert frame.tint is not None
        luma, tint = self.luma - frame.luma, self.tint - frame.tint
        size, half = (shape[1], shape[0]), ((shape[1] + 1) // 2, (shape[0] + 1) // 2)
        if luma.shape != shape[:2]:
            luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_CUBIC), np.float32)
            tint = np.asarray(cv2.resize(tint, half, interpolation=cv2.INTER_LINEAR), np.float32)
        return join(luma, tint)

    def trust_at(self, shape: Shape) -> Image:
        """Return (H, W) 0..1: the share of the change to apply."""
        blur = self.blur(shape)
        steps = np.diff(blur.travel, axis=0)
        length = np.hypot(steps[..., 0], steps[..., 1]).sum(0) * (len(steps) + 1) / len(steps)
        agreed = np.clip(resized(self.agreement, length.shape[1::-1]) / np.float32(_TRUSTED), 0, 1)
        share = np.asarray(agreed * blur_share(length), np.float32)
        return np.asarray(cv2.resize(share, shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)

    def blur(self, shape: Shape) -> SceneBlur:
        """Return how the whole frame is blurred."""
        return SceneBlur(np.stack([_in_pixels_of(way, shape) for way in self.ways]), (shape[1], shape[0]))

    def neighbours(self, shape: Shape) -> tuple[Flow | None, Flow | None]:
        """Return the flows to the previous and to the next frame on the grid of the guide."""
        middle = len(self.ways) // 2
        before, after = (flow_of_field(self.ways[k], shape) for k in (middle - 1, middle + 1))
        return None if self.first else before, None if self.last else after


def frame_of(found: Instants, frame: int, count: int) -> SharpFrame:
    """Return frame `frame` of those whose instants were found."""
    half = count // 2
    instant = frame + half
    height, width = found.luma.shape[1:]
    grid = max(width // REDUCTION, 1), max(height // REDUCTION, 1)
    near = [resized_flow(flow, grid) for flow in found.flows[instant - half : instant + half]]
    return SharpFrame(
        found.luma[instant],
        found.tint[instant],
        np.asarray((found.trust[instant - 1] + found.trust[instant]) / 2, np.float32),
        travel(near),
        frame == 0,
        instant + half == len(found.luma) - 1,
    )


def travel(flows: list[Image]) -> NDArray[np.float32]:
    """Return (M, h, w, 2): where the content of the middle one of M instants is in each, pixels.

    flows: the M - 1 flows (h, w, 2) from each to the next.
    """
    half = len(flows) // 2
    still = np.zeros_like(flows[0])
    ways = [still]
    for flow in flows[half:]:
        ways.append(ways[-1] + warp(flow, ways[-1]))
    for flow in reversed(flows[:half]):
        step = still
        for _ in range(_BACKWARD):
            step = -warp(flow, ways[0] + step)
        ways.insert(0, ways[0] + step)
    return np.stack(ways)


def share_of(shape: Shape) -> float:
    """Return the size at which instants are found over that of the frame, 0..1."""
    return min(1.0, _LONG_SIDE / max(shape[:2]))


def reduced(frame: Planes) -> Planes:
    """Return a frame at the size at which instants are found."""
    height, width = frame.luma.shape
    share = share_of((height, width))
    if share == 1 or frame.tint is None:
        return frame
    size = max(2, 2 * round(width * share / 2)), max(2, 2 * round(height * share / 2))
    return Planes(resized(frame.luma, size), resized(frame.tint, (size[0] // 2, size[1] // 2)))


def _in_pixels_of(field: Image, shape: Shape) -> Image:
    """Return displacements (h, w, 2) on the same grid, in pixels of a picture of `shape`."""
    return np.asarray(field * np.array([shape[1] / field.shape[1], shape[0] / field.shape[0]], np.float32))
