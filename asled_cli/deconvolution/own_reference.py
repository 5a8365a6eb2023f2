"""The inversion of a frame as a reference for a network: the sharp frame, how far to trust it, and motion.

A network that merges a frame with the registered view of another lens merges it with its own inversion too.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.deconvolution.light import as_coded, to_coded, to_light
from asled_cli.deconvolution.wiener import Blur
from asled_cli.guide import GUIDE_CHANNELS, GUIDE_STRIDE, Guide, guide_grid
from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid, resize_matrix
from asled_cli.imaging.light import luma

_SCALE = 2  # times smaller than the frame: the size at which the sharp frame is blurred again

Flow = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class OwnReference:
    """What the frames around a frame tell of it. Grids are (h, w) = ceil((H, W) / GUIDE_STRIDE).

    sharp: (H, W, 3) uint16 coded RGB, the inversion; None: the frames do not tell. guide: (h, w, 6) float16,
    channels as in `Guide`, of `sharp`; zero without it. flow_previous, flow_next: (h, w, 2) float16 grid
    pixels: the content at p was (will be) at p + flow in the previous (next) frame; zero at an end.
    follows: whether the previous frame shows the same scene.
    """

    sharp: NDArray[np.uint16] | None
    guide: NDArray[np.float16]
    flow_previous: NDArray[np.float16]
    flow_next: NDArray[np.float16]
    follows: bool


def own_reference(
    rgb: NDArray[np.uint16],
    sharp: Image | None,
    trust: Image | None,
    blur: Blur | None,
    neighbours: tuple[Flow | None, Flow | None],
    *,
    linear: bool = True,
) -> OwnReference:
    """Return the reference that an inversion is of a frame.

    rgb: (H, W, 3) coded, the frame. sharp: (H, W, 3) coded, 1.0 as full scale; trust: (H, W) 0..1, both None
    where nothing was inverted, and then blur too: how the frame is blurred. neighbours: the flows to the
    previous and to the next frame, as in `OwnReference`, None at an end. linear: whether light adds up in the
    frame's blur, or coded values do.
    """
    height, width = rgb.shape[:2]
    grid = guide_grid(height, width)
    still = np.zeros((*grid, 2), np.float16)
    before, after = (still if flow is None else flow for flow in neighbours)
    follows = neighbours[0] is not None
    guide = np.zeros((*grid, GUIDE_CHANNELS), np.float16)
    if sharp is None or trust is None or blur is None:
        return OwnReference(None, guide, before, after, follows)
    codes = np.asarray(np.clip(sharp, 0, 1) * np.float32(65535) + np.float32(0.5), np.uint16)
    rows, columns = guide.shape[:2]
    residual, change = _blurred_again(rgb, codes, blur, linear)
    for channels, part in (
        (slice(Guide.ERROR_RED, Guide.ERROR_BLUE + 1), residual),
        (slice(Guide.BLUR, Guide.BLUR + 1), np.abs(luma(change))[..., None]),
        (slice(Guide.CONFIDENCE, Guide.CONFIDENCE + 1), trust[..., None]),
    ):
        reduced = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        guide[..., channels] = reduced.reshape(rows, columns, -1)
    guide[..., Guide.VALID] = 1
    return OwnReference(codes, guide, before, after, follows)


def _blurred_again(
    rgb: NDArray[np.uint16], codes: NDArray[np.uint16], blur: Blur, linear: bool
) -> tuple[Image, Image]:
    """Return the frame less the sharp one blurred as it is, and what that blur changed; reduced, coded."""
    height, width = codes.shape[:2]
    size = -(-width // _SCALE), -(-height // _SCALE)
    values = to_light(codes) if linear else as_coded(codes)
    sharp = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    blurred_again = to_coded(blur.applied(sharp)) if linear else blur.applied(sharp)
    frame = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(65535)
    return np.asarray(frame - blurred_again, np.float32), np.asarray(
        blurred_again - (to_coded(sharp) if linear else sharp), np.float32
    )


def flow_of_map(matrix: Matrix | None, size: tuple[int, int]) -> Flow | None:
    """Return (h, w, 2) grid pixels: how far a map moves the cells of a frame of `size`; None of no map.

    Flow is clipped to twice the longer side of the grid: a wrong map may move cells to infinity.
    """
    if matrix is None:
        return None
    rows, columns = guide_grid(size[1], size[0])
    down = resize_matrix((columns * GUIDE_STRIDE, rows * GUIDE_STRIDE), (columns, rows))
    x, y = pixel_grid((columns, rows))
    u, v = apply(np.asarray(down @ matrix @ np.linalg.inv(down), np.float64), x, y)
    far = 2 * max(rows, columns)
    return np.clip(np.stack([u - x, v - y], -1), -far, far).astype(np.float16)


def flow_of_field(field: Image, shape: tuple[int, ...]) -> Flow:
    """Return (h, w, 2) grid pixels of a field (h', w', 2) of displacements in its own pixels.

    shape: of the frame, (H, W, ...).
    """
    rows, columns = guide_grid(shape[0], shape[1])
    fine = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_LINEAR)
    factors = np.array([shape[1] / field.shape[1], shape[0] / field.shape[0]]) / GUIDE_STRIDE
    return np.asarray(fine * factors, np.float16)
