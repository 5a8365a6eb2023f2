"""Addition of an RGB change to the coded YUV planes of a frame: YUV_out = YUV_in + M @ change.

Values that RGB cannot represent (super-whites, out-of-gamut colours) are kept, and unchanged areas stay
bit-identical. Matrices and quantisation: ITU-T H.273, sections 8.2 and 8.3.
"""

import re
from dataclasses import dataclass
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.plane import VideoPlane
from numpy.typing import DTypeLike, NDArray

from asled_cli.video.decode.pixel_format import Converter, copy_info
from asled_cli.video.frames import MATRIX_BT601, MATRIX_BT709, MATRIX_BT2020, RANGE_FULL, Box, ColorTags

# H.273 table 4: matrix number -> (K_R, K_B)
LUMA_WEIGHTS = {
    MATRIX_BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    MATRIX_BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    MATRIX_BT2020: (0.2627, 0.0593),
}
_FADE_SHARE = 0.04  # of the sides of a box, over which a change fades in; chosen
EDITABLE = re.compile(r"(?:yuvj?4\d\dp|yuva4\d\dp|gbra?p|gray)(?:(?:9|1\d)le)?|nv(?:12|16|24)|p[024]1[026]le")
PACKED = {"yuyv422": "yuv422p", "uyvy422": "yuv422p", "y210le": "yuv422p10le"}


def rgb_to_yuv(tags: ColorTags, bits: int) -> NDArray[np.float64]:
    """Return the (3, 3) matrix from a change of RGB (full range = 1) to a change of Y, Cb, Cr codes.

    tags: resolved matrix and range (`Clip.resolved_color`). bits: of the YUV samples.
    """
    red, blue = LUMA_WEIGHTS[tags.matrix]
    luma = np.array([red, 1 - red - blue, blue])
    matrix = np.stack([luma, (np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)])
    if tags.range == RANGE_FULL:
        return matrix * float(2**bits - 1)
    return matrix * (np.array([[219.0], [224.0], [224.0]]) * 2.0 ** (bits - 8))


def apply_change(source: av.VideoFrame, change: NDArray[np.float32] | None, tags: ColorTags) -> av.VideoFrame:
    """Return the source with `change` added to its planes, rounded once and clipped to the sample depth.

    change: (H, W, 3) float32, RGB difference, full range = 1, coded transfer curve; None returns `source`.
    tags: resolved colour tags. Planes stay bit-identical where the change is zero (for chroma: also around).
    Packed, big-endian and floating-point formats become planar little-endian integer formats.
    Raises ValueError for a wrong shape, type or value.
    """
    if change is None:
        return source
    if change.shape != (source.height, source.width, 3) or change.dtype != np.float32:
        wanted = (source.height, source.width, 3)
        raise ValueError(f"change is {change.dtype} {change.shape}, expected float32 {wanted}")
    if not np.isfinite(np.sum(change)):
        raise ValueError("change holds NaN or infinity")
    source = _editable(source, tags)
    layout = _Layout.of(source.format)
    out = av.VideoFrame(source.width, source.height, source.format.name)
    planes = [
        (layout.samples(old, pairs=pairs), layout.samples(new, pairs=pairs))
        for number, (old, new) in enumerate(zip(source.planes, out.planes, strict=True))
        for pairs in [layout.interleaved and number == 1]
    ]
    if layout.kind == "rgb":
        for channel, component in enumerate(source.format.components[:3]):
            old, new = planes[component.plane]
            layout.add(old, change[:, :, channel] * np.float32(2**layout.bits - 1), new)
        touched = 3
    else:
        touched = _add_yuv(planes, change, rgb_to_yuv(tags, layout.bits).astype(np.float32), layout)
    for old, new in planes[touched:]:  # alpha
        new[...] = old
    copy_info(source, out)
    return out


def spread_change(change: NDArray[np.float32], box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the change of a box as a change of the whole picture: zero outside, with a linear fade at edges.

    change: (h, w, 3) of the box. box: x, y, width, height. size: (width, height) of the picture; pixels.
    """
    x, y, width, height = box
    ramps = []
    for length in (height, width):
        at = np.arange(length, dtype=np.float32) + 0.5
        ramps.append(np.clip(np.minimum(at, length - at) / max(1.0, _FADE_SHARE * length), 0, 1))
    whole = np.zeros((size[1], size[0], 3), np.float32)
    whole[y : y + height, x : x + width] = change * np.outer(*ramps).astype(np.float32)[..., None]
    return whole


def _add_yuv(
    planes: list[tuple[NDArray[Any], NDArray[Any]]],
    change: NDArray[np.float32],
    matrix: NDArray[np.float32],
    layout: "_Layout",
) -> int:
    """Fill the luma and chroma planes. Return their number."""
    layout.add(planes[0][0], _floats(cv2.transform(change, matrix[:1])), planes[0][1])
    if layout.kind == "gray":
        return 1
    height, width = planes[1][0].shape[:2]
    chroma = _chroma_change(change, matrix[1:], height, width)
    if layout.interleaved:
        layout.add(planes[1][0], _floats(cv2.merge(chroma)), planes[1][1])
        return 2
    for plane, (old, new) in zip(chroma, planes[1:3], strict=True):
        layout.add(old, plane, new)
    return 3


def _chroma_change(
    change: NDArray[np.float32], matrix: NDArray[np.float32], height: int, width: int
) -> list[NDArray[np.float32]]:
    """Return the change of Cb and of Cr on the chroma grid, (height, width) each.

    Chroma samples are assumed at the default location of H.264 and HEVC ("left"): on even luma columns and
    between luma rows. Filters: [1 2 1] / 4 horizontally, mean vertically.
    """
    rows = -(-change.shape[0] // height)
    if rows > 1:
        change = _means(change, rows)
    # One colour at a time: OpenCV is five times as fast than with both at once.
    chroma = [_floats(cv2.transform(change, row[None])) for row in matrix]
    columns = -(-change.shape[1] // width)
    if columns == 1:
        return chroma
    if columns == 2:
        kernel = np.array([[0.25, 0.5, 0.25]], np.float32)
        filtered = (cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REPLICATE) for plane in chroma)
        return [np.ascontiguousarray(_floats(plane)[:, ::2]) for plane in filtered]
    return [np.ascontiguousarray(_means(plane.T, columns).T) for plane in chroma]  # 4:1:1 and rarer


def _means(array: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the means of `count` rows each. The last row is repeated for missing ones."""
    missing = -len(array) % count
    if missing:
        array = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    total = array[0::count] + array[1::count]
    for row in range(2, count):
        total += array[row::count]
    return total * np.float32(1 / count)


def _floats(array: object) -> NDArray[np.float32]:
    """Return a result of OpenCV with its type: its stubs lack that float32 stays float32."""
    return cast(NDArray[np.float32], array)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Layout of the samples of an editable pixel format in its planes."""

    bits: int
    kind: str  # "yuv", "gray", "rgb"
    interleaved: bool  # Cb and Cr share one plane (nv12, p010)
    shift: int  # unused low bits of a sample (p010)

    @classmethod
    def of(cls, pix_fmt: VideoFormat) -> "_Layout":
        bits = max(c.bits for c in pix_fmt.components)
        interleaved = pix_fmt.name.startswith(("nv", "p"))
        kind = "rgb" if pix_fmt.is_rgb else "gray" if pix_fmt.name.startswith("gray") else "yuv"
        return cls(bits, kind, interleaved, 16 - bits if interleaved and bits > 8 else 0)

    def samples(self, plane: VideoPlane, *, pairs: bool) -> NDArray[Any]:
        """Return a writable view of a plane, (h, w) or, for pairs, (h, w, 2)."""
        dtype: DTypeLike = np.uint8 if self.bits <= 8 else np.uint16
        rows: NDArray[Any] = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        if pairs:
            return rows[:, : 2 * plane.width].reshape(plane.height, plane.width, 2)
        return rows[:, : plane.width]

    def add(self, old: NDArray[Any], change: NDArray[np.float32], new: NDArray[Any]) -> None:
        """Write old + change, in code values, to `new`, rounded and clipped to the sample depth."""
        if self.shift:
            old = old >> self.shift
        total: NDArray[Any] = cv2.add(
            old, np.ascontiguousarray(change), dtype=cv2.CV_8U if self.bits <= 8 else cv2.CV_16U
        )
        if 8 < self.bits < 16:
            np.minimum(total, 2**self.bits - 1, out=total)
        new[...] = total << self.shift if self.shift else total


def _editable(source: av.VideoFrame, tags: ColorTags) -> av.VideoFrame:
    """Return the frame, converted to the nearest editable format if its planes cannot be edited."""
    name = source.format.name
    if EDITABLE.fullmatch(name):
        return source
    deep = max(c.bits for c in source.format.components) > 8
    if source.format.is_rgb or source.format.has_palette:
        target = "gbrp16le" if deep else "gbrp"
    elif name.endswith("be") and EDITABLE.fullmatch(name[:-2] + "le"):
        target = name[:-2] + "le"
    else:
        target = PACKED.get(name, "yuv444p16le" if deep else "yuv444p")
    return Converter(tags).to_format(source, target)
