"""Segments: closed runs of encoded frames, each in a file of its own, exactly as its encoder gave them.

A segment needs no other one to be decoded, so a broken-off job keeps all it has finished, and the segments
of one job joined are the same however often it was broken off. The files hold bare packets and not a movie:
any codec fits, no time is rounded, and the joined movie gets the very bytes that one encoder run would give.

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
LARGEST_PACKET = 1 << 30  # bytes; more is damage
_HEAD = struct.Struct("<qqI?")  # presentation time and duration in ticks, bytes of content, keyframe


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment. All times in ticks of the source's time base, on the source's clock."""

    file: str  # name inside the job's folder
    ticks: tuple[int, ...]  # times of its frames, in order
    end: int  # when its last frame ends
    size: int  # bytes of the file
    sha256: str
    reorder: int  # frames by which a packet may come ahead of its turn (B-frames)


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """One encoded frame, in decoding order."""

    pts: int
    duration: int
    is_keyframe: bool
    content: bytes


class PacketFile:
    """Collects the packets of one segment in `path`, a new private file. `finish` puts them on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        self._pts: list[int] = []
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._write(MAGIC)

    def add(self, packet: "Packet[Any]") -> None:
        """Append a packet. Raises OSError if the disk takes no more."""
        if packet.pts is None:
            raise AsledError("The encoder gave a frame without a time.", "Choose another --codec.")
        self._pts.append(packet.pts)
        self._write(_HEAD.pack(packet.pts, packet.duration or 0, packet.size, packet.is_keyframe))
        self._write(bytes(packet))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def finish(self, end: int) -> Segment:
        """Put the file on the disk for good. end: when its last frame ends."""
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
    """Encodes the frames of one segment into a packet file, with an encoder that knows no other frames.

    headers: what the encoder puts before all packets, the same for all segments of one movie. end: when the
    last frame so far ends, in ticks. Raises FFmpegError or OSError where encoding or the disk fails.
    """

    def __init__(self, source: Clip, encoder: Encoder, path: Path) -> None:
        self._context = open_context(source, encoder)
        self.headers = bytes(self._context.extradata or b"")
        self.frames = 0
        self.end = 0
        self._file = PacketFile(path)

    def encode(self, picture: av.VideoFrame) -> None:
        """Take the next frame, with its time and duration."""
        self.end = (picture.pts or 0) + picture.duration  # before `encode`, which alters the frame
        self._add(picture)
        self.frames += 1

    def _add(self, picture: av.VideoFrame | None) -> None:
        for packet in self._context.encode(picture):
            self._file.add(packet)

    def finish(self) -> Segment:
        """Take what the encoder holds back, and put all on the disk."""
        self._add(None)
        return self._file.finish(self.end)

    def close(self) -> None:
        """Give up; twice, or after `finish`, is harmless."""
        self._file.close()


def _reorder(pts: Sequence[int]) -> int:
    """By how many places the packet furthest ahead precedes its turn in time."""
    rank = {tick: place for place, tick in enumerate(sorted(pts))}
    return max((place - rank[tick] for place, tick in enumerate(pts)), default=0)


def read_packets(path: Path) -> Iterator[StoredPacket]:
    """The packets of a segment, one at a time. Raises AsledError if the file is damaged."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _damaged(path)
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise _damaged(path)
            pts, duration, size, is_keyframe = _HEAD.unpack(head)
            content = file.read(size) if size <= LARGEST_PACKET else b""
            if len(content) != size:
                raise _damaged(path)
            yield StoredPacket(pts, duration, is_keyframe, content)


def is_intact(folder: Path, segment: Segment) -> bool:
    """Whether the file of a segment holds what was written."""
    path = folder / segment.file
    if not path.is_file() or path.stat().st_size != segment.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == segment.sha256


def _damaged(path: Path) -> AsledError:
    return AsledError(f"The unfinished work in {path} is damaged.", "Start over with --overwrite.")
