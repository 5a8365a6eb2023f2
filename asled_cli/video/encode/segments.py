"""Segments: closed groups of encoded frames, each in its own file.

A segment can be decoded without the others. An interrupted job therefore keeps its finished segments, and
the joined movie does not depend on interruptions. The files contain bare packets, which suits any codec and
rounds no time.

Layout, little endian: MAGIC, then for each packet in decoding order `_HEAD` and the content.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from asled_cli.errors import AsledError
from asled_cli.video.encode.encoder import Encoder, open_context
from asled_cli.video.frames import Clip

MAGIC = b"asled packets 1\n"
MAX_PACKET_BYTES = 1 << 30  # a larger size is damage
_HEAD = struct.Struct("<qqI?")  # presentation time and duration in ticks, bytes of content, keyframe


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment. Times are in ticks of the source's time base, on the source's clock."""

    file: str  # name inside the job's folder
    ticks: tuple[int, ...]  # times of its frames, in order
    end: int  # when its last frame ends
    size: int  # bytes of the file
    sha256: str
    reorder: int  # largest difference of decoding and presentation order, frames (B-frames)


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """One encoded frame, in decoding order."""

    pts: int
    duration: int
    is_keyframe: bool
    content: bytes


class PacketFile:
    """A new private file for the packets of one segment. `finish` flushes it to the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        self._pts: list[int] = []
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._write(MAGIC)

    def add(self, packet: "Packet[Any]") -> None:
        """Append a packet. Raises OSError if the disk is full."""
        if packet.pts is None:
            raise AsledError("The encoder gave a frame without a time.", "Choose another --codec.")
        self._pts.append(packet.pts)
        self._write(_HEAD.pack(packet.pts, packet.duration or 0, packet.size, packet.is_keyframe))
        self._write(bytes(packet))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def finish(self, end: int) -> Segment:
        """Flush the file to the disk and return its segment. end: of the last frame, ticks."""
        size = self._file.tell()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        ticks = tuple(sorted(self._pts))
        return Segment(self.path.name, ticks, end, size, self._digest.hexdigest(), _reorder(self._pts))

    def close(self) -> None:
        """Give up; twice, or after `finish`, is harmless."""
        try:
            self._file.close()
        except OSError:
            self._file.close()  # the second time drops what the full disk did not take


class SegmentEncoder:
    """Encoder of one segment, with its own encoder context.

    headers: extradata of the encoder, equal for all segments of a movie. end: of the last frame, ticks.
    Raises FFmpegError or OSError if encoding or the disk fails.
    """

    def __init__(self, source: Clip, encoder: Encoder, path: Path) -> None:
        self._context = open_context(source, encoder)
        self.headers = bytes(self._context.extradata or b"")
        self.frames = 0
        self.end = 0
        self._file = PacketFile(path)

    def encode(self, picture: av.VideoFrame) -> None:
        """Encode the next frame, which has its time and duration."""
        self.end = (picture.pts or 0) + picture.duration  # before `encode`, which alters the frame
        self._add(picture)
        self.frames += 1

    def _add(self, picture: av.VideoFrame | None) -> None:
        for packet in self._context.encode(picture):
            self._file.add(packet)

    def finish(self) -> Segment:
        """Flush the encoder and the file, and return the segment."""
        self._add(None)
        return self._file.finish(self.end)

    def close(self) -> None:
        """Give up; twice, or after `finish`, is harmless."""
        self._file.close()


def _reorder(pts: Sequence[int]) -> int:
    """Return the largest number of places by which a packet precedes its place in presentation order."""
    rank = {tick: place for place, tick in enumerate(sorted(pts))}
    return max((place - rank[tick] for place, tick in enumerate(pts)), default=0)


def read_packets(path: Path) -> Iterator[StoredPacket]:
    """Yield the packets of a segment. Raises AsledError if the file is damaged."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _damaged(path)
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise _damaged(path)
            pts, duration, size, is_keyframe = _HEAD.unpack(head)
            content = file.read(size) if size <= MAX_PACKET_BYTES else b""
            if len(content) != size:
                raise _damaged(path)
            yield StoredPacket(pts, duration, is_keyframe, content)


def is_intact(folder: Path, segment: Segment) -> bool:
    """Return whether the file of a segment has the size and digest that were written."""
    path = folder / segment.file
    if not path.is_file() or path.stat().st_size != segment.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == segment.sha256


def _damaged(path: Path) -> AsledError:
    return AsledError(f"The unfinished work in {path} is damaged.", "Start over with --overwrite.")
