"""Exact correspondences of a synthetic clip: flow between frames, flow between lenses, and occlusion."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.imaging.homography import Matrix, pixel_grid
from asled_cli.lab.camera.rolling_shutter import to_frame, to_scene
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

Flow = NDArray[np.float32]


def true_flow(pair: SyntheticPair, t: int, to: int) -> Flow:
    """Return (H, W, 2) in pixels, x then y: content of truth `t` at p is at p + flow(p) in truth `to`.

    Where layers overlap it is the motion of the one in front. Raises UsageError for real video.
    """
    motion = _known(pair)
    return _in_front(pair, t, [_flow(pair, layer[t], layer[to]) for layer in motion])


def lens_flow(pair: SyntheticPair, t: int) -> Flow:
    """Return (H, W, 2) in ultra pixels: content of truth `t` at p is at p + flow(p) in ultra frame t."""
    motion = _known(pair)
    assert pair.ultra_motion is not None
    views = zip(motion, pair.ultra_motion, strict=True)
    return _in_front(pair, t, [_flow(pair, wide[t], ultra[t]) for wide, ultra in views])


def hidden(pair: SyntheticPair, t: int, to: int) -> NDArray[np.bool_]:
    """Return (H, W), True where content of truth `t` is covered or outside in truth `to`."""
    flow = true_flow(pair, t, to)
    x, y = pixel_grid(pair.size)
    x, y = x + flow[..., 0], y + flow[..., 1]
    there = cv2.remap(front_layer(pair, to), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    outside = (x < 0) | (y < 0) | (x > pair.size[0] - 1) | (y > pair.size[1] - 1)
    return np.asarray(outside | (there != front_layer(pair, t)))


def front_layer(pair: SyntheticPair, t: int) -> NDArray[np.uint8]:
    """Return the (H, W) index of the layer that covers most of each pixel of truth `t`, 0 = far."""
    front = np.zeros(pair.truth.shape[1:3], np.uint8)
    for index, masks in enumerate(pair.layer_masks, start=1):
        front[masks[t] >= 128] = index
    return front


def _known(pair: SyntheticPair) -> Matrix:
    if pair.motion is None:
        raise UsageError("Real video has no exact flow.", "Make the pair by shaking a photo instead.")
    return pair.motion


def _flow(pair: SyntheticPair, start: Matrix, end: Matrix) -> Flow:
    x, y = pixel_grid(pair.size)
    there_x, there_y = to_frame(end, to_scene(start, (x, y), pair.size[1]), pair.size[1])
    return np.stack([there_x - x, there_y - y], axis=-1)


def _in_front(pair: SyntheticPair, t: int, flows: list[Flow]) -> Flow:
    front = front_layer(pair, t)
    out = flows[0]
    for index, flow in enumerate(flows[1:], start=1):
        out = np.where((front == index)[..., None], flow, out)
    return out
