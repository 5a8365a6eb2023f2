"""What temporal fusion does to full pictures: warp, compare, average, deconvolve. By OpenCV, on the CPU.

`on_device.fusion` does the same by torch. Grids, which are small, are arrays for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.imaging.light import LUMA_BT709
from asled_cli.imaging.warp import MovedRows, sample_rows
from asled_cli.registration.blur.wiener import View, wiener_deconvolve
from asled_cli.registration.rendering.aligned_frame import Picture

FULL_SCALE = 65535.0
_ROWS = 8  # of pictures averaged at a time, to stay in the cache


@dataclass(frozen=True)
class WarpedReference(Generic[Picture]):
    """A reference warped onto the middle frame.

    picture: (H, W, 3). weight: (h, w) 0..1 on the guide's grid. travel: (h, w, 2) as in `AlignedFrame`, full
    pixels.
    """

    picture: Picture
    weight: Image
    travel: Image


class FusionPictures(Protocol[Picture]):
    """The operations on full pictures (H, W, 3)."""

    def warp(self, picture: Picture, flow: Image) -> Picture:
        """Return `picture` warped by `flow` (h, w, 2), in pixels of the flow's own grid; bicubic."""
        ...

    def differences(self, own: Picture, others: Sequence[Picture], size: tuple[int, int]) -> list[Image]:
        """Return (h, w) for each of `others`: its largest difference to `own` in a colour, 0..1.

        size: (width, height) to which the pictures are reduced by area averaging first.
        """
        ...

    def mean(self, views: Sequence[WarpedReference[Picture]]) -> Picture:
        """Return the mean of the views with their weights; that of the first one is 1 everywhere."""
        ...

    def deconvolved_mean(self, views: Sequence[WarpedReference[Picture]]) -> Picture:
        """Return the same mean with the detail that multi-frame deconvolution adds to its luma."""
        ...


class OpenCvFusion:
    """The operations by OpenCV on arrays (H, W, 3) uint16."""

    def warp(self, picture: NDArray[np.uint16], flow: Image) -> NDArray[np.uint16]:
        """Return `picture` warped by `flow`, see `FusionPictures`."""
        return warp_picture(picture, flow)

    def differences(
        self, own: NDArray[np.uint16], others: Sequence[NDArray[np.uint16]], size: tuple[int, int]
    ) -> list[Image]:
        """Return the largest difference of each to `own`, see `FusionPictures`."""
        reduced = _reduced(own, size)
        return [_largest(cv2.absdiff(_reduced(picture, size), reduced)) for picture in others]

    def mean(self, views: Sequence[WarpedReference]) -> NDArray[np.uint16]:
        """Return the weighted mean, see `FusionPictures`."""
        return np.asarray(_weighted_mean(views, np.empty_like(views[0].picture)), np.uint16)

    def deconvolved_mean(self, views: Sequence[WarpedReference]) -> NDArray[np.uint16]:
        """Return the weighted mean with deconvolved detail, see `FusionPictures`."""
        total = _weighted_mean(views, np.empty(views[0].picture.shape, np.float32))
        detail = _deconvolved_detail(views, total)
        return np.asarray(cv2.add(total, cv2.merge([detail] * 3), dtype=cv2.CV_16U), np.uint16)


OPENCV_FUSION = OpenCvFusion()


def _weighted_mean(warped: Sequence[WarpedReference], out: NDArray[Any]) -> NDArray[Any]:
    """Write the mean of the pictures with their weights, in their codes, to `out` and return it.

    out: (H, W, 3), float32, or uint16 for rounded codes. A few rows at a time, to stay in the cache.
    """
    depth = cv2.CV_16U if out.dtype == np.uint16 else cv2.CV_32F
    first = warped[0].picture
    weights = [_enlarged(view.weight, first) for view in warped[1:]]
    share = 1 / _enlarged(np.sum([view.weight for view in warped], axis=0, dtype=np.float32), first)
    total, each, picture = (np.empty((_ROWS, *first.shape[1:]), np.float32) for _ in range(3))
    for top in range(0, len(first), _ROWS):
        rows = slice(top, min(top + _ROWS, len(first)))
        used = slice(rows.stop - top)
        total[used] = first[rows]
        for weight, view in zip(weights, warped[1:], strict=True):
            cv2.merge([weight[rows]] * 3, each[used])
            picture[used] = view.picture[rows]
            cv2.accumulateProduct(picture[used], each[used], total[used])
        cv2.merge([share[rows]] * 3, each[used])
        cv2.multiply(total[used], each[used], out[rows], dtype=depth)
    return out


def _deconvolved_detail(warped: Sequence[WarpedReference], mean: Image) -> Image:
    """Return (H, W): the detail that deconvolution adds to the luma of `mean` (H, W, 3), in its codes."""
    grey = _grey(mean)
    views = []
    for view in warped:
        own = _grey(view.picture)
        own -= grey
        own *= _enlarged(view.weight, view.picture)
        own += grey  # the mean replaces a frame where it differs from the middle one
        views.append(View(own, view.weight, view.travel))
    detail = wiener_deconvolve(views, grey)
    detail -= grey
    detail *= np.float32(FULL_SCALE)
    return detail


def _grey(picture: NDArray[Any]) -> Image:
    """Return (H, W) luma 0..1 of a picture (H, W, 3) in codes."""
    weights = (LUMA_BT709 / FULL_SCALE).astype(np.float32)
    return np.asarray(cv2.transform(picture.astype(np.float32, copy=False), weights[None]), np.float32)


def _reduced(picture: NDArray[np.uint16], size: tuple[int, int]) -> Image:
    """Return the picture at `size` (width, height), 0..1."""
    reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced.astype(np.float32) / np.float32(FULL_SCALE)


def _largest(colours: NDArray[Any]) -> Image:
    """Return (h, w): the largest value of each pixel's three colours."""
    red, green, blue = cv2.split(colours)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _enlarged(weight: Image, like: NDArray[np.uint16]) -> Image:
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def warp_picture(picture: NDArray[np.uint16], flow: Image) -> NDArray[np.uint16]:
    """Return `picture` warped by `flow` (h, w, 2), in pixels of the flow's own grid."""
    height, width = picture.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return sample_rows(picture, (width, height), MovedRows(flow * scale, (width, height)))
