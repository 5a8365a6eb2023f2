"""The boxes of a movie as a tree of their kinds, to compare two files."""

import struct
from pathlib import Path

_HOLDERS = {
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf", b"tapt", b"gmhd", b"vexu",
    b"eyes", b"cams", b"cmfy", b"proj",
}  # fmt: skip
_HEADS = {b"stsd": 8, b"hvc1": 78, b"hev1": 78, b"mp4a": 28}  # bytes before the boxes inside


def movie_tree(path: Path) -> list[str]:
    """Return the kinds of all boxes in their order, each with those around it: "moov/trak/tkhd"."""
    return _tree(path.read_bytes(), "")


def _tree(data: bytes, place: str) -> list[str]:
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            break
        body, name = data[at + 8 : at + size], place + kind.decode("latin-1")
        found.append(name)
        if kind in _HOLDERS or kind in _HEADS:
            found += _tree(body[_HEADS.get(kind, 0) :], f"{name}/")
        at += size
    return found
