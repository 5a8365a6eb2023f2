"""Boxes of a movie that FFmpeg does not report: QuickTime keys of tracks, Dolby Vision, spatial video.

Only `moov` is read, MAX_INDEX bytes at most. Every size is checked: a damaged or hostile file gives less
information, never an exception or a large allocation.
Layout: ISO/IEC 14496-12 (boxes) and the QuickTime file format (`meta` with `keys` and `ilst`).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAX_INDEX = 256 * 1024 * 1024  # the index of a ten-hour 60 fps clip stays below 100 MB
MAX_BOXES = 10_000  # per level
MAX_KEYS = 1_000  # per `meta` box
_DOLBY_VISION = {b"dvcC", b"dvvC", b"dvwC"}
_SPATIAL = {b"lhvC", b"vexu"}  # layers of MV-HEVC (ISO/IEC 14496-15), and Apple's description of its views
VIEW_BOXES = (b"hvcC", b"lhvC", b"vexu", b"hfov")  # of a sample entry, about one or two coded views
_IN_THIS_FILE = 1  # flag of a data reference, ISO/IEC 14496-12, 8.7.2
QUICKTIME_CAMERA = "com.apple.quicktime.camera."


@dataclass(frozen=True, slots=True)
class TrackBoxes:
    """Metadata of one track. keys: QuickTime metadata items, text or numbers."""

    track_id: int
    keys: dict[str, str | float] = field(default_factory=dict)
    dolby_vision: bool = False
    spatial: bool = False  # two views coded in one track (MV-HEVC)
    view_boxes: dict[bytes, bytes] = field(default_factory=dict)  # bodies of VIEW_BOXES, in the file's order
    tag: str = ""  # four-character code of the sample description, such as "hvc1" or "mebx"
    external: bool = False  # its samples are in another file

    @property
    def lens_model(self) -> str | None:
        """Lens name written by the phone."""
        return lens_model(self.keys)

    @property
    def focal_35mm(self) -> float | None:
        """35 mm equivalent focal length, millimetres."""
        return focal_35mm(self.keys)

    @property
    def readout_s(self) -> float | None:
        """Rolling-shutter read-out time of a frame, seconds."""
        micro = _number(self.keys.get(QUICKTIME_CAMERA + "framereadouttimeinmicroseconds"))
        return micro / 1e6 if micro is not None and 0 < micro < 1e6 else None


def lens_model(keys: dict[str, str | float] | dict[str, str]) -> str | None:
    """Return the lens name from the QuickTime keys of a track or movie, None without one."""
    text = keys.get(QUICKTIME_CAMERA + "lens_model")
    return str(text).strip() or None if text is not None else None


def focal_35mm(keys: dict[str, str | float] | dict[str, str]) -> float | None:
    """Return the 35 mm equivalent focal length from QuickTime keys, millimetres, None without one."""
    value = _number(keys.get(QUICKTIME_CAMERA + "focal_length.35mm_equivalent"))
    return value if value is not None and 1 <= value <= 5000 else None


def read_tracks(path: Path) -> dict[int, TrackBoxes]:
    """Return the metadata of every track by track id; empty for other containers and damaged files."""
    try:
        with path.open("rb") as file:
            moov = read_index(file)[1]
    except OSError:
        return {}
    tracks = [_track(memoryview(body)) for kind, body in boxes_in(memoryview(moov)) if kind == b"trak"]
    return {track.track_id: track for track in tracks if track is not None}


def read_movie_timescale(path: Path) -> int:
    """Return the movie time scale (`mvhd`), ticks per second; 0 for other containers and damaged files."""
    try:
        with path.open("rb") as file:
            header = child_of(memoryview(read_index(file)[1]), b"mvhd")
    except OSError:
        return 0
    at = 20 if len(header) and header[0] == 1 else 12  # version 1 has 64-bit dates
    return int.from_bytes(header[at : at + 4], "big")


def read_index(file: BinaryIO) -> tuple[int, bytes]:
    """Return the offset of the body of `moov` and the body; 0 and b"" for other or damaged files."""
    size_of_file = file.seek(0, 2)
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head[:8])
        header = 8
        if size == 1 and len(head) == 16:
            size, header = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = size_of_file - at
        if size < header or at + size > size_of_file:
            break
        if kind == b"moov":
            if size > MAX_INDEX:
                break
            file.seek(at + header)
            return at + header, file.read(size - header)
        at += size
    return 0, b""


def boxes_in(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and body of the children of a box; stop at the first one that does not fit."""
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and at + 16 <= len(data):
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            return
        yield kind, data[at + header : at + size]
        at += size


def child_of(data: memoryview, *path: bytes) -> memoryview:
    """Return the body of the first box along `path`, empty if missing."""
    for kind in path:
        data = next((body for name, body in boxes_in(data) if name == kind), memoryview(b""))
    return data


def _track(trak: memoryview) -> TrackBoxes | None:
    header = child_of(trak, b"tkhd")
    at = 20 if len(header) and header[0] == 1 else 12  # version 1 has 64-bit dates
    if len(header) < at + 4:
        return None
    (track_id,) = struct.unpack_from(">I", header, at)
    entries = child_of(trak, b"mdia", b"minf", b"stbl", b"stsd")[8:]
    inside = {kind for _, body in boxes_in(entries) for kind in _boxes_of_entry(body)}
    first = next((body for _, body in boxes_in(entries)), memoryview(b""))
    tag = bytes(entries[4:8]).decode("ascii", "replace").strip()
    keys = _keys(child_of(trak, b"meta"))
    return TrackBoxes(
        track_id,
        keys,
        dolby_vision=bool(inside & _DOLBY_VISION),
        spatial=bool(inside & _SPATIAL),
        view_boxes={bytes(k): bytes(body) for k, body in boxes_in(first[78:]) if bytes(k) in VIEW_BOXES},
        tag=tag,
        external=_is_external(child_of(trak, b"mdia", b"minf", b"dinf", b"dref")),
    )


def _is_external(references: memoryview) -> bool:
    """Return whether a `dref` box names another file: not flagged "in this file", and a name follows."""
    return any(len(body) > 5 and not body[3] & _IN_THIS_FILE for _, body in boxes_in(references[8:]))


def _boxes_of_entry(entry: memoryview) -> set[bytes]:
    """Return the kinds of the boxes in a video sample entry, after its 78 bytes of fixed fields."""
    return {bytes(kind) for kind, _ in boxes_in(entry[78:])}


def _keys(meta: memoryview) -> dict[str, str | float]:
    """Return the items of a QuickTime `meta` box: names from `keys`, values from `ilst`."""
    if not child_of(meta, b"keys"):
        meta = meta[4:]  # the ISO flavour starts with version and flags
    table = child_of(meta, b"keys")[8:]
    names = [bytes(name).decode("utf-8", "replace") for _, name in _limited(table)]
    found: dict[str, str | float] = {}
    for number, item in _limited(child_of(meta, b"ilst")):
        index = int.from_bytes(number, "big") - 1
        value = _value(child_of(item, b"data"))
        if 0 <= index < len(names) and value is not None:
            found[names[index]] = value
    return found


def _limited(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    for count, found in enumerate(boxes_in(data)):
        if count == MAX_KEYS:
            return
        yield found


def _value(data: memoryview) -> str | float | None:
    """Return the value of a `data` box: type 1 is UTF-8, 21 and 22 integers, 23 and 24 floats."""
    if len(data) < 8:
        return None
    kind, raw = int.from_bytes(data[:4], "big") & 0xFFFFFF, bytes(data[8:4096])
    if kind == 1:
        return raw.decode("utf-8", "replace")
    if kind in (21, 22) and 1 <= len(raw) <= 8:
        return float(int.from_bytes(raw, "big", signed=kind == 21))
    if (kind, len(raw)) in ((23, 4), (24, 8)):
        return float(struct.unpack(">f" if kind == 23 else ">d", raw)[0])
    return None


def _number(value: str | float | None) -> float | None:
    """Return the number in a value such as 24 or "50.00mm", None without one."""
    if isinstance(value, str):
        text = value.strip().lower().removesuffix("mm").strip()
        try:
            value = float(text)
        except ValueError:
            return None
    return value if value is not None and value == value and abs(value) < 1e9 else None
