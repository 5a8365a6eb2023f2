"""Signature of a picture: a few thousand numbers for luma, chroma and amount of detail.

Planes are used as decoded. Formats other than planar YUV are converted first. About 3 ms at 1080p.
"""

from dataclasses import dataclass
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.decode.pixel_format import Converter
from asled_cli.video.frames import RANGE_FULL, Clip

LUMA_CELLS = 64  # along the longer side
CHROMA_CELLS = 16  # along the longer side
DETAIL_CELLS = 8  # along the longer side
MIN_CELLS = 8  # along the shorter side, if the picture has as many pixels
LEVELS = (1, 2, 3)  # detail is measured after averaging blocks of 2, 4 and 8 pixels
MIN_LEVEL_PX = 12  # pixels a side; detail is not measured on smaller pictures
_CURVATURE = np.array([[-0.25, 0.5, -0.25]], np.float32)
Plane = NDArray[np.uint8] | NDArray[np.uint16]
Cells = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signature:
    """Signature of a picture, in levels 0..255 of full range, coded transfer curve.

    luma: (h, w), mean of each cell. chroma: (2, h, w), around 0; None for grey.
    detail: (2, h, w) per level, mean square of the horizontal and vertical curvature, levels squared.
    """

    luma: Cells
    chroma: Cells | None
    detail: tuple[Cells, ...]


class Signer:
    """Calculator of signatures for the pictures of one clip. Not thread-safe.

    size: (width, height) to which pictures of another size are scaled, so that signatures can be compared.
    """

    def __init__(self, clip: Clip, size: tuple[int, int]) -> None:
        self._tags = clip.resolved_color
        self._size = size
        self._converter = Converter(self._tags)

    def sign(self, picture: av.VideoFrame) -> Signature:
        """Return the signature of a decoded picture."""
        if not _is_planar(picture):
            picture = self._converter.to_format(picture, "yuv444p16le")
        if (picture.width, picture.height) != self._size:
            picture = picture.reformat(*self._size)
        full = self._tags.range == RANGE_FULL
        bits = picture.format.components[0].bits
        luma, *rest = [_view(plane, bits) for plane in picture.planes[:3]]
        scale, black = (255 / (2**bits - 1), 0.0) if full else (255 / (219 << bits - 8), 16.0 * 255 / 219)
        chroma_scale = 255 / (2**bits - 1) if full else 255 / (224 << bits - 8)
        height, width = luma.shape
        small = _shrink(luma, _cells(width, height, LUMA_CELLS)) * np.float32(scale) - np.float32(black)
        chroma = None
        if len(rest) == 2:
            cells = _cells(width, height, CHROMA_CELLS)
            middle = np.float32(1 << bits - 1)
            both = [(_shrink(plane, cells) - middle) * np.float32(chroma_scale) for plane in rest]
            chroma = np.stack(both)
        return Signature(small, chroma, _detail(luma, scale))


def _is_planar(picture: av.VideoFrame) -> bool:
    """Return whether each plane has one component, 8 bit or 16 bit little-endian, luma first."""
    form = picture.format
    name = form.name.removesuffix("le")
    known = name.startswith(("yuv4", "yuvj4", "yuva4", "gray")) and not name.endswith(("be", "f32", "f16"))
    return known and form.is_planar | name.startswith("gray") and form.components[0].bits >= 8


def _view(plane: av.video.plane.VideoPlane, bits: int) -> Plane:
    """Return a plane of one sample per pixel as an array (h, w)."""
    kind: type[Any] = np.uint8 if bits <= 8 else np.uint16
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    return cast(Plane, np.ascontiguousarray(rows[:, : plane.width]))


def _cells(width: int, height: int, most: int) -> tuple[int, int]:
    """Return (columns, rows) of nearly square cells, one pixel or larger. most: along the longer side."""
    side = max(width, height) / most
    columns, rows = (max(round(length / side), MIN_CELLS) for length in (width, height))
    return min(columns, width), min(rows, height)


def _shrink(plane: Plane | Cells, cells: tuple[int, int]) -> Cells:
    """Return the mean of each cell, (h, w), accurate to about 0.1 level. cells: (columns, rows)."""
    height, width = plane.shape
    if width > 8 * cells[0] and height > 8 * cells[1]:  # reducing integers first is much faster
        plane = cast(Plane, cv2.resize(plane, (4 * cells[0], 4 * cells[1]), interpolation=cv2.INTER_AREA))
    floats = plane.astype(np.float32)
    return np.asarray(cv2.resize(floats, cells, interpolation=cv2.INTER_AREA), np.float32).reshape(
        cells[::-1]
    )


def _detail(luma: Plane, scale: float) -> tuple[Cells, ...]:
    """Return the energy of detail per level, (2, h, w), for levels of MIN_LEVEL_PX and more."""
    height, width = luma.shape
    cells = _cells(width, height, DETAIL_CELLS)
    found: list[Cells] = []
    level: Cells = _halved(luma).astype(np.float32) * np.float32(scale)
    for _ in LEVELS:
        if min(level.shape) < MIN_LEVEL_PX:
            break
        both = []
        for kernel in (_CURVATURE, _CURVATURE.T):
            curved = cv2.filter2D(level, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            both.append(_shrink(np.asarray(cv2.multiply(curved, curved), np.float32), cells))
        found.append(np.stack(both))
        level = cast(Cells, _halved(level))
    return tuple(found)


def _halved(plane: Plane | Cells) -> Plane | Cells:
    """Return means of blocks of 2x2 pixels; an odd last row or column is omitted."""
    height, width = (max(1, length // 2) for length in plane.shape)
    even: NDArray[Any] = np.ascontiguousarray(plane[: 2 * height, : 2 * width])
    return cast(
        "Plane | Cells",
        cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width),
    )
