"""Pixel format conversion with rounding and colours under control.

swscale takes unrounded short cuts, and BT.601 at every size, unless told otherwise: so tell it, always.
"""

from typing import cast

import av
import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from asled_cli.video.frames import MATRIX_BT601, RANGE_FULL, ColorTags

HIGH_QUALITY = int(
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


class Converter:
    """Converts frames of one kind; keeps swscale's tables between calls. Not for two threads at once.

    tags: resolved colour tags of the frames (`Clip.resolved_color`).
    """

    def __init__(self, tags: ColorTags) -> None:
        self._tags = tags
        # swscale knows BT.601 by the number 5 only
        self._matrix = 5 if tags.matrix == MATRIX_BT601 else tags.matrix
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: av.VideoFrame) -> NDArray[np.uint16]:
        """(H, W, 3) uint16, full range 0..65535, transfer curve as coded."""
        rgb = cast(NDArray[np.uint16], self._reformat(frame, "gbrp16le", RANGE_FULL).to_ndarray())
        return cast(NDArray[np.uint16], cv2.add(rgb, rgb >> self._gap(frame.format)))  # saturates

    def from_rgb(self, rgb: NDArray[np.uint16], pix_fmt: str) -> av.VideoFrame:
        """The inverse of `to_rgb` in any pixel format."""
        height, width, _ = rgb.shape
        rgb = rgb - (rgb >> self._gap(VideoFormat(pix_fmt)))
        planar = av.VideoFrame(width, height, "gbrp16le")
        for plane, channel in zip(planar.planes, (1, 2, 0), strict=True):
            np.frombuffer(memoryview(plane), np.uint16).reshape(height, -1)[:, :width] = rgb[:, :, channel]
        return self._reformat(planar, pix_fmt, self._tags.range)

    def to_format(self, frame: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
        """The frame in another pixel format, same matrix and range; itself if it is in that format."""
        if frame.format.name == pix_fmt:
            return frame
        full = pix_fmt.startswith(("yuvj", "gbr", "rgb", "bgr"))
        out = self._reformat(frame, pix_fmt, RANGE_FULL if full else self._tags.range)
        copy_info(frame, out)
        return out

    def _gap(self, pix_fmt: VideoFormat) -> int:
        """White is not 65535 in swscale's 16-bit RGB but the deepest white shifted up, such as 255 << 8.

        Returns the n with white + (white >> n) = 65535: the depth of a full-range format, else 8.
        """
        full = pix_fmt.is_rgb or self._tags.range == RANGE_FULL
        return max(component.bits for component in pix_fmt.components) if full else 8

    def _reformat(self, frame: av.VideoFrame, pix_fmt: str, range_: int) -> av.VideoFrame:
        rgb = frame.format.is_rgb
        return self._reformatter.reformat(
            frame,
            format=pix_fmt,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=RANGE_FULL if rgb else self._tags.range,
            dst_color_range=range_,
            interpolation=HIGH_QUALITY,
            threads=1,
        )


def to_16_bit(rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """8-bit values in 16 bits, full scale to full scale; 16-bit ones as they are."""
    return rgb.astype(np.uint16) * np.uint16(257) if rgb.dtype == np.uint8 else cast(NDArray[np.uint16], rgb)


def to_8_bit(rgb: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit values in 8 bits, rounded; full scale to full scale."""
    return ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def copy_info(source: av.VideoFrame, out: av.VideoFrame) -> None:
    """Give `out` the time and the colour tags of `source`."""
    out.pts = source.pts
    if source.time_base is not None:
        out.time_base = source.time_base
    out.colorspace, out.color_range = source.colorspace, source.color_range
    out.color_primaries, out.color_trc = source.color_primaries, source.color_trc
