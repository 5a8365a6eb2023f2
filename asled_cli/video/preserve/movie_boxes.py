"""Copy of the boxes in a movie's index that FFmpeg rewrites or drops.

Keys keep their types. Places and titles stay in the boxes in which players search them. The sample
description keeps crop and ambient light. A new movie has its index at the end, so no offset changes.
Layout: ISO/IEC 14496-12 and the QuickTime file format.
"""

import struct
from collections.abc import Callable
from pathlib import Path

from asled_cli.video.decode.crop import clap_of
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import boxes_in, child_of, read_index
from asled_cli.video.preserve.quicktime_keys import MOVIES, graft_track_keys

MAX_METADATA_BYTES = 1 << 24  # by which an index may grow, twice; chosen
OF_THE_FILE = (b"chpl", b"free", b"skip")  # children of `udta` about the file itself: chapters and padding
OF_THE_PICTURE = (b"amve", b"clap")  # children of a sample entry: ambient light, and the part to show
APERTURE = b"tapt"  # sizes of the picture as QuickTime players show it
COVER = b"covr"  # cover picture, which is named as a dropped track
_ENTRY_HEAD = 78  # bytes of a video sample entry before its boxes
_ENTRY = (b"mdia", b"minf", b"stbl", b"stsd")


def graft_boxes(source: Clip, out: Path) -> None:
    """Copy metadata boxes of `source` to `out`, a finished movie. Other formats are left unchanged.

    Raises OSError if `out` cannot be written.
    """
    graft_track_keys(source, out)
    if out.suffix.lower() not in MOVIES:
        return
    with source.path.open("rb") as file:
        ours = memoryview(read_index(file)[1])
    with out.open("r+b") as file:
        start, index = read_index(file)
        if not index or start + len(index) != out.stat().st_size:
            return
        moov = _merged(ours, memoryview(index), source, quicktime=out.suffix.lower() == ".mov")
        if len(moov) > len(index) + 2 * MAX_METADATA_BYTES:
            return
        file.seek(start - 8)
        file.write(_box(b"moov", moov))
        file.truncate()


def _merged(ours: memoryview, theirs: memoryview, source: Clip, *, quicktime: bool) -> bytes:
    """Return the body of the output's `moov` with the boxes of the source's."""
    meta, udta = _flavoured(child_of(ours, b"meta"), quicktime=quicktime), _user_data(child_of(ours, b"udta"))
    replaced = bool(meta or udta)
    picture, found = _picture_boxes(ours, source), b""
    aperture = bytes(child_of(_trak_of(ours, source), APERTURE)) if quicktime else b""
    for kind, body in boxes_in(theirs):
        if kind == b"udta" and replaced:
            udta += b"".join(
                _box(name, bytes(child)) for name, child in boxes_in(body) if name in OF_THE_FILE
            )
        elif kind == b"meta" and replaced:
            continue
        elif kind == b"trak" and _is_picture(body) and (picture or aperture):
            track = _edited(body, _ENTRY, _with_boxes(picture)) if picture else bytes(body)
            found += _box(kind, _with_aperture(memoryview(track), aperture))
            picture, aperture = {}, b""
        else:
            found += _box(kind, bytes(body))
    return found + (_box(b"udta", udta) if udta else b"") + (_box(b"meta", meta) if meta else b"")


def _flavoured(meta: memoryview, *, quicktime: bool) -> bytes:
    """Return the body of the movie's `meta` box. Only ISO boxes begin with version and flags."""
    body = bytes(meta[4:] if bytes(meta[4:8]) != b"hdlr" else meta)
    return body if quicktime or not body else bytes(4) + body


def _user_data(udta: memoryview) -> bytes:
    found = b""
    for kind, body in boxes_in(udta):
        if kind == b"meta":
            found += _box(kind, _edited(body, (b"ilst",), _without_cover))
        elif kind not in OF_THE_FILE:
            found += _box(kind, bytes(body))
    return found


def _without_cover(items: memoryview) -> bytes:
    return b"".join(_box(kind, bytes(body)) for kind, body in boxes_in(items) if kind != COVER)


def _picture_boxes(index: memoryview, source: Clip) -> dict[bytes, bytes]:
    """Return the bodies of the boxes to add to the sample entry, by kind."""
    found: dict[bytes, bytes] = {}
    if source.ambient_light is not None:
        found[b"amve"] = struct.pack(">IHH", *source.ambient_light)
    if source.crop is not None:
        found[b"clap"] = struct.pack(">4IiIiI", *clap_of(source.crop, source.width, source.height))
    _, entry = next(boxes_in(child_of(_trak_of(index, source), *_ENTRY)[8:]), (b"", memoryview(b"")))
    boxes = boxes_in(entry[_ENTRY_HEAD:])
    return found | {bytes(name): bytes(body) for name, body in boxes if name in OF_THE_PICTURE}


def _trak_of(index: memoryview, source: Clip) -> memoryview:
    """Return the body of the `trak` box of the clip; empty in other file formats."""
    if not index:
        return index
    with open_clip(source.path) as container:
        number = container.streams[source.stream_index].id
    tracks = (body for kind, body in boxes_in(index) if kind == b"trak" and _track_id(body) == number)
    return next(tracks, memoryview(b""))


def _is_picture(trak: memoryview) -> bool:
    return bytes(child_of(trak, b"mdia", b"hdlr")[8:12]) == b"vide"


def _with_aperture(trak: memoryview, aperture: bytes) -> bytes:
    """Return the body of a track with the source's apertures behind its header, unless it has its own."""
    kinds = [kind for kind, _ in boxes_in(trak)]
    added = _box(APERTURE, aperture) if aperture and APERTURE not in kinds else b""
    return b"".join(
        _box(kind, bytes(body)) + (added if kind == b"tkhd" else b"") for kind, body in boxes_in(trak)
    )


def _track_id(trak: memoryview) -> int:
    header = child_of(trak, b"tkhd")
    at = 20 if len(header) and header[0] == 1 else 12
    return int.from_bytes(header[at : at + 4], "big")


def _with_boxes(extra: dict[bytes, bytes]) -> Callable[[memoryview], bytes]:
    """Return a function that adds missing boxes to the first entry of a sample description."""

    def edit(body: memoryview) -> bytes:
        (kind, entry), *others = list(boxes_in(body[8:]))
        have = {bytes(name) for name, _ in boxes_in(entry[_ENTRY_HEAD:])}
        added = b"".join(_box(name, value) for name, value in extra.items() if name not in have)
        rest = b"".join(_box(name, bytes(other)) for name, other in others)
        return bytes(body[:8]) + _box(kind, bytes(entry) + added) + rest

    return edit


def _edited(body: memoryview, path: tuple[bytes, ...], edit: Callable[[memoryview], bytes]) -> bytes:
    """Return the body of a box with the first box along `path` edited. Version and flags are kept."""
    head = 4 if path[0] == b"ilst" and bytes(body[4:8]) != b"hdlr" else 0
    found, edited = bytes(body[:head]), False
    for kind, child in boxes_in(body[head:]):
        if kind == path[0] and not edited:
            edited = True
            found += _box(kind, edit(child) if len(path) == 1 else _edited(child, path[1:], edit))
        else:
            found += _box(kind, bytes(child))
    return found


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
