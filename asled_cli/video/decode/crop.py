"""Crop of the coded picture that players apply: PixelCrop of Matroska, `clap` of MP4.

FFmpeg applies neither to decoded frames. Layout: RFC 9559 (Matroska), ISO/IEC 14496-12 (clap).
"""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from asled_cli.video.mp4_boxes import boxes_in, child_of, read_index

Crop = tuple[int, int, int, int]  # pixels cut off left, top, right, bottom
HEAD_BYTES = 1 << 20  # of a Matroska file, in which its tracks are described
MAX_ELEMENTS = 10_000
_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom
_ENTRY_HEAD = 78  # bytes of a video sample entry before its boxes


def read_matroska_crop(path: Path, number: int) -> Crop | None:
    """Return the crop of the n-th video track of a Matroska file, pixels; None without one."""
    try:
        with path.open("rb") as file:
            head = memoryview(file.read(HEAD_BYTES))
    except OSError:
        return None
    entries = _inside(_inside([head], _SEGMENT), _TRACKS)
    videos = [video for entry in _inside(entries, _ENTRY) for video in _inside([entry], _VIDEO)]
    if number >= len(videos):
        return None
    found = {name: int.from_bytes(body, "big") for name, body in _elements(videos[number]) if len(body) <= 8}
    left, top, right, bottom = (found.get(name, 0) for name in _CROPS)
    return (left, top, right, bottom) if left or top or right or bottom else None


def _inside(bodies: list[memoryview], name: int) -> list[memoryview]:
    return [found for body in bodies for kind, found in _elements(body) if kind == name]


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield id and body of the elements of an EBML body; one that exceeds the data is truncated."""
    at = 0
    for _ in range(MAX_ELEMENTS):
        name, at = _number(data, at, keep_marker=True)
        size, at = _number(data, at, keep_marker=False)
        if not name or at > len(data):
            return
        yield name, data[at : at + size]
        at += size


def _number(data: memoryview, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """Return a number of variable length (RFC 8794) and the offset of the next; 0 at the end of the data."""
    if at >= len(data) or not data[at]:
        return 0, len(data) + 1
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), at + length


def clap_of(crop: Crop, width: int, height: int) -> tuple[int, ...]:
    """Return the eight numbers of a `clap` box. width, height: of the coded picture, pixels."""
    left, top, right, bottom = crop
    return (width - left - right, 1, height - top - bottom, 1, left - right, 2, top - bottom, 2)


def read_clap_crop(path: Path, track_id: int, width: int, height: int) -> Crop | None:
    """Return the crop of a track of a movie, whole pixels; None without one.

    width, height: of the coded picture, pixels.
    """
    try:
        with path.open("rb") as file:
            index = memoryview(read_index(file)[1])
    except OSError:
        return None
    for kind, trak in boxes_in(index):
        header = child_of(trak, b"tkhd")
        at = 20 if len(header) and header[0] == 1 else 12
        if kind != b"trak" or int.from_bytes(header[at : at + 4], "big") != track_id:
            continue
        for _, entry in boxes_in(child_of(trak, b"mdia", b"minf", b"stbl", b"stsd")[8:]):
            clap = bytes(child_of(entry[_ENTRY_HEAD:], b"clap"))
            return _from_clap(clap, width, height) if len(clap) == 32 else None
    return None


def _from_clap(clap: bytes, width: int, height: int) -> Crop | None:
    numbers = struct.unpack(">4IiIiI", clap)
    if not all(numbers[1::2]):
        return None
    shown_w, shown_h, across, down = (Fraction(*numbers[i : i + 2]) for i in (0, 2, 4, 6))
    left, top = (width - shown_w) / 2 + across, (height - shown_h) / 2 + down
    crop = (round(left), round(top), round(width - shown_w - left), round(height - shown_h - top))
    return crop if min(crop) >= 0 and any(crop) else None
