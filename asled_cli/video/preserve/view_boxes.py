"""The boxes about two views in the sample entry of a finished movie, in the source's kinds and order."""

import struct
from collections.abc import Mapping
from pathlib import Path

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import VIEW_BOXES, boxes_in, child_of, read_index

_ENTRY_HEAD = 78  # bytes of a video sample entry before its boxes
_PATH = (b"mdia", b"minf", b"stbl", b"stsd")
_ENTRY = (b"hvc1", b"hev1")


def set_view_boxes(source: Clip, out: Path, own: Mapping[bytes, bytes]) -> None:
    """Rewrite the boxes of the first H.265 sample entry of `out`, whose index is at its end.

    Boxes about the views come from the source, but for those in `own` (bodies by kind); the others are those
    of `out`, in the source's order. Raises OSError if `out` cannot be written.
    """
    theirs = _source_boxes(source)
    with out.open("r+b") as file:
        start, index = read_index(file)
        if not index or start + len(index) != out.stat().st_size:
            return
        moov, _ = _edited(memoryview(index), (b"trak", *_PATH), theirs, own)
        file.seek(start - 8)
        file.write(_box(b"moov", moov))
        file.truncate()


def _source_boxes(source: Clip) -> dict[bytes, bytes]:
    """Return the boxes of the source's sample entry, in their order; none for other file formats."""
    with open_clip(source.path) as container:
        number = container.streams[source.stream_index].id
    with source.path.open("rb") as file:
        index = memoryview(read_index(file)[1])
    for kind, trak in boxes_in(index):
        header = child_of(trak, b"tkhd") if kind == b"trak" else memoryview(b"")
        at = 20 if len(header) and header[0] == 1 else 12
        if len(header) and int.from_bytes(header[at : at + 4], "big") == number:
            entry = next((body for _, body in boxes_in(child_of(trak, *_PATH)[8:])), memoryview(b""))
            return {bytes(name): bytes(body) for name, body in boxes_in(entry[_ENTRY_HEAD:])}
    return {}


def _edited(
    body: memoryview, path: tuple[bytes, ...], theirs: Mapping[bytes, bytes], own: Mapping[bytes, bytes]
) -> tuple[bytes, bool]:
    """Return the body of a box with the sample entry below `path` rewritten, and whether one was found."""
    found, done = b"", False
    for kind, child in boxes_in(body):
        if done or kind != path[0]:
            found += _box(kind, bytes(child))
        elif len(path) > 1:
            inner, done = _edited(child, path[1:], theirs, own)
            found += _box(kind, inner)
        else:
            (name, entry), *others = list(boxes_in(child[8:])) or [(b"", memoryview(b""))]
            done = name in _ENTRY
            rest = b"".join(_box(other, bytes(content)) for other, content in others)
            entry_body = _entry(entry, theirs, own) if done else bytes(entry)
            found += _box(kind, bytes(child[:8]) + _box(name, entry_body) + rest)
    return found, done


def _entry(entry: memoryview, theirs: Mapping[bytes, bytes], own: Mapping[bytes, bytes]) -> bytes:
    """Return a sample entry: the source's order first, then what else it needs."""
    have = {bytes(kind): bytes(body) for kind, body in boxes_in(entry[_ENTRY_HEAD:])}
    views = {kind: body for kind, body in theirs.items() if kind in VIEW_BOXES}
    boxes = {**have, **views, **own}
    extra = [kind for kind in boxes if kind in own or not views or kind in views]
    order = [kind for kind in theirs if kind in boxes]
    order += [kind for kind in extra if kind not in order]
    return bytes(entry[:_ENTRY_HEAD]) + b"".join(_box(kind, boxes[kind]) for kind in order)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
