"""Pixel format conversion with defined rounding and colours.

By default swscale does not round accurately and assumes BT.601. All its options are therefore set here.
"""

from threading import Lock
from typing import cast

import av
import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from asled_cli.video.frames import MATRIX_BT601, RANGE_FULL, ColorTags

_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
HIGH_QUALITY = int(Interpolation.BICUBIC | _EXACT)
_REDUCING = int(Interpolation.AREA | _EXACT)

_ROWS = 32  # of a picture at a time: they stay in a processor's cache


class Converter:
    """Conversion of the frames of one clip. swscale's tables are reused, by one thread at a time.

    tags: resolved colour tags of the frames (`Clip.resolved_color`).
    """

    def __init__(self, tags: ColorTags) -> None:
        self._tags = tags
        # swscale knows BT.601 by the number 5 only
        self._matrix = 5 if tags.matrix == MATRIX_BT601 else tags.matrix
        self._reformatter = VideoReformatter()
        self._lock = Lock()

    def to_rgb(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> NDArray[np.uint16]:
        """Return (H, W, 3) uint16, full range 0..65535, coded transfer curve.

        size: (width, height) to which the planes are reduced first, by area; None: as they are.
        """
        planar = self._reformat(frame, "gbrp16le", RANGE_FULL, size)
        rgb = cast(NDArray[np.uint16], cv2.merge([_samples(planar, plane) for plane in (2, 0, 1)]))
        gap = self._gap(frame.format)
        for top in range(0, len(rgb), _ROWS):
            rows = rgb[top : top + _ROWS]
            cv2.add(rows, rows >> gap, dst=rows)  # saturates
        return rgb

    def from_rgb(self, rgb: NDArray[np.uint16], pix_fmt: str) -> av.VideoFrame:
        """Return a frame in any pixel format from (H, W, 3) uint16; the inverse of `to_rgb`."""
        rgb = rgb - (rgb >> self._gap(VideoFormat(pix_fmt)))
        planar = av.VideoFrame(rgb.shape[1], rgb.shape[0], "gbrp16le")
        for plane, channel in enumerate((1, 2, 0)):
            _samples(planar, plane)[:] = rgb[:, :, channel]
        return self._reformat(planar, pix_fmt, self._tags.range)

    def to_format(self, frame: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
        """Return the frame in another pixel format, with the same matrix and range.

        A frame that is in this format is returned itself.
        """
        if frame.format.name == pix_fmt:
            return frame
        full = pix_fmt.startswith(("yuvj", "gbr", "rgb", "bgr"))
        out = self._reformat(frame, pix_fmt, RANGE_FULL if full else self._tags.range)
        copy_info(frame, out)
        return out

    def _gap(self, pix_fmt: VideoFormat) -> int:
        """Return the n with white + (white >> n) = 65535: the depth of a full-range format, else 8.

        In swscale's 16-bit RGB, white is not 65535 but the white code shifted up, such as 255 << 8.
        """
        full = pix_fmt.is_rgb or self._tags.range == RANGE_FULL
        return max(component.bits for component in pix_fmt.components) if full else 8

    def _reformat(
        self, frame: av.VideoFrame, pix_fmt: str, range_: int, size: tuple[int, int] | None = None
    ) -> av.VideoFrame:
        rgb = frame.format.is_rgb
        width, height = size or (frame.width, frame.height)
        with self._lock:
            return self._reformatter.reformat(
                frame,
                width,
                height,
                format=pix_fmt,
                src_colorspace=self._matrix,
                dst_colorspace=self._matrix,
                src_color_range=RANGE_FULL if rgb else self._tags.range,
                dst_color_range=range_,
                interpolation=HIGH_QUALITY if size is None else _REDUCING,
                threads=1,
            )


def _samples(planar: av.VideoFrame, plane: int) -> NDArray[np.uint16]:
    """Return (H, W) uint16, one plane of a 16-bit picture; changes go to the picture."""
    rows = np.frombuffer(memoryview(planar.planes[plane]), np.uint16).reshape(planar.height, -1)
    return rows[:, : planar.width]


def to_16_bit(rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return 8-bit values, any shape, scaled to 16 bits; 16-bit values are returned unchanged."""
    return rgb.astype(np.uint16) * np.uint16(257) if rgb.dtype == np.uint8 else cast(NDArray[np.uint16], rgb)


def to_8_bit(rgb: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return 16-bit values, any shape, scaled to 8 bits and rounded."""
    return ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def is_420(pix_fmt: str) -> bool:
    """Return whether chroma has half the resolution in both directions, so that its location matters."""
    layout = VideoFormat(pix_fmt)
    return not layout.is_rgb and (layout.chroma_width(64), layout.chroma_height(64)) == (32, 32)


def copy_info(source: av.VideoFrame, out: av.VideoFrame) -> None:
    """Copy the time and the colour tags of `source` to `out`."""
    out.pts = source.pts
    if source.time_base is not None:
        out.time_base = source.time_base
    out.colorspace, out.color_range = source.colorspace, source.color_range
    out.color_primaries, out.color_trc = source.color_primaries, source.color_trc
