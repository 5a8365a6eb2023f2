"""Copy of the QuickTime keys of the video track, such as the lens, which FFmpeg's muxer does not write.

A new movie has its index at the end, so it can grow without a change of any offset.
"""

import struct
from pathlib import Path

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import boxes_in, child_of, read_index, read_tracks

MOVIES = (".mov", ".mp4", ".m4v")
MAX_KEYS_BYTES = 1 << 20  # of keys that are copied; phones write less than 1,000
_HANDLER = struct.pack(">II4s4s12sB", 0, 0, b"mdta", b"", b"", 0)


def graft_track_keys(source: Clip, out: Path) -> bool:
    """Copy the keys of the source's video track to `out`, a finished movie. Return whether any were copied.

    Raises OSError if `out` cannot be written.
    """
    if out.suffix.lower() not in MOVIES:
        return False
    keys, items = _keys_of(source)
    with out.open("r+b") as file:
        start, index = read_index(file)
        at, trak = _video_track(index)
        whole = start + len(index) == out.stat().st_size
        if not (keys and items and trak and whole) or len(keys) + len(items) > MAX_KEYS_BYTES:
            return False
        flavour = b"" if out.suffix.lower() == ".mov" else bytes(4)  # ISO boxes have a version
        body = _box(b"hdlr", _HANDLER) + _box(b"keys", keys) + _box(b"ilst", items)
        grown = _box(b"trak", trak + _box(b"meta", flavour + body))
        moov = _box(b"moov", index[:at] + grown + index[at + 8 + len(trak) :])
        file.seek(start - 8)
        file.write(moov)
    return True


def _keys_of(source: Clip) -> tuple[bytes, bytes]:
    """Return the bodies of `keys` and `ilst` of the track; empty unless all keys can be read."""
    with open_clip(source.path) as container:
        number = container.streams[source.stream_index].id
    boxes = read_tracks(source.path).get(number)
    if boxes is None or not boxes.keys:
        return b"", b""
    with source.path.open("rb") as file:
        index = memoryview(read_index(file)[1])
    for kind, trak in boxes_in(index):
        meta = child_of(trak, b"meta")
        for body in (meta, meta[4:]):  # QuickTime's flavour, and the ISO one
            keys, items = child_of(body, b"keys"), child_of(body, b"ilst")
            same_track = kind == b"trak" and _track_id(trak) == number
            if same_track and keys and len(list(boxes_in(items))) == len(boxes.keys):
                return bytes(keys), bytes(items)
    return b"", b""


def _video_track(index: bytes) -> tuple[int, bytes]:
    """Return the offset of the first video track's box in the body of `moov`, and the body of this box."""
    at = 0
    for kind, body in boxes_in(memoryview(index)):
        if kind == b"trak" and bytes(child_of(body, b"mdia", b"hdlr")[8:12]) == b"vide":
            return at, bytes(body)
        at += 8 + len(body)
    return 0, b""


def _track_id(trak: memoryview) -> int:
    header = child_of(trak, b"tkhd")
    at = 20 if len(header) and header[0] == 1 else 12
    return int.from_bytes(header[at : at + 4], "big")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
