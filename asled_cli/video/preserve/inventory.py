"""Inventory of a file from packets and headers, without decoding: frame times, copied tracks, metadata.

Memory: one number per frame and per packet of sound, and digests of the contents.
"""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.packet_times import PacketClock
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.preserve.track_info import Labels, TrackSum, labels_of
from asled_cli.video.preserve.tracks import is_copyable, is_inside, kept_metadata
from asled_cli.video.spatial.nal_units import has_layer


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter. start_s, end_s: seconds."""

    start_s: Fraction
    end_s: Fraction
    title: str

    def __str__(self) -> str:
        return f"{float(self.start_s):.3f} to {float(self.end_s):.3f} s {self.title}".strip()


@dataclass(slots=True)
class Inventory:
    """All properties of a file that a faithful copy keeps.

    ticks: sorted times of the shown frames, in ticks of the clip's time base.
    last_step: duration of the last frame, ticks; 0 if unknown.
    """

    clip: Clip
    ticks: list[int]
    last_step: int
    tracks: list[TrackSum]
    labels: Labels  # of the video track
    metadata: dict[str, str]
    track_keys: dict[str, str | float]  # QuickTime keys of the video track itself
    chapters: list[Chapter]
    attachments: list[str]  # cover pictures and attached files such as fonts: name and digest
    rounded: bool  # Matroska: times are rounded to milliseconds and may start later
    damaged: bool  # the demuxer stopped at damage
    size: int  # bytes of video
    field_order: int  # AVFieldOrder of FFmpeg, 0: unknown
    second_views: int = 0  # frames of a spatial clip with a picture of the second view

    @property
    def bits_per_pixel(self) -> float:
        """Bits of video per pixel and frame."""
        return 8 * self.size / max(1, len(self.ticks) * self.clip.width * self.clip.height)

    @property
    def times(self) -> list[Fraction]:
        """Times of the frames in seconds."""
        return [tick * self.clip.time_base for tick in self.ticks]


@dataclass(slots=True)
class _Reading:
    """Sums over the packets of a file."""

    clip: Clip
    sums: dict[int, TrackSum]
    covers: dict[int, Any]  # digests of attached pictures
    clock: PacketClock
    shown: dict[int, int] = field(default_factory=dict)  # frame time -> duration, ticks
    size: int = 0  # bytes of video
    second_views: int = 0

    def add(
        self, packet: "Packet[Stream]", start_s: Fraction | None, end_s: Fraction | None, shift: Fraction
    ) -> None:
        index = packet.stream_index
        if index == self.clip.stream_index:
            tick = self.clock.tick(packet)
            if tick is not None and not packet.is_discard:
                self.shown[tick] = packet.duration or 0
                self.size += packet.size
                if self.clip.spatial:
                    self.second_views += has_layer(bytes(packet), 1)
        elif index in self.covers:
            self.covers[index].update(bytes(packet))
        elif packet.dts is not None and is_inside(packet, start_s, end_s):
            self.sums[index].add(packet, shift)


def take_inventory(
    path: Path,
    track: int = 0,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
    shift: Fraction = Fraction(0),
) -> Inventory:
    """Return the inventory of `path`. All packets are read once.

    track: n-th video track, of which all frames count. start_s, end_s: range of the other tracks, seconds.
    shift: subtracted from their times, seconds. Raises InputError if the file cannot be opened.
    """
    clip = probe_clip(path, track)
    with open_clip(path) as container:
        others = [stream for stream in container.streams if stream.index != clip.stream_index]
        reading = _Reading(
            clip,
            sums={stream.index: TrackSum.of(stream) for stream in others if is_copyable(stream)},
            covers={stream.index: hashlib.sha256() for stream in others if _is_cover(stream)},
            clock=PacketClock(clip),
        )
        damaged = not _read_all(container, reading, start_s, end_s, shift)
        ticks = sorted(reading.shown)
        video = container.streams[clip.stream_index]
        return Inventory(
            clip=clip,
            ticks=ticks,
            last_step=reading.shown[ticks[-1]] if ticks else 0,
            tracks=list(reading.sums.values()),
            labels=labels_of(video),
            metadata=kept_metadata(dict(container.metadata)),
            track_keys=_track_keys(path, video.id),
            chapters=[_chapter(chapter) for chapter in container.chapters()],
            attachments=_attachments(container, reading.covers),
            rounded="matroska" in container.format.name,
            damaged=damaged,
            size=reading.size,
            second_views=reading.second_views,
            field_order=int(getattr(video.codec_context, "field_order", 0) or 0),
        )


def _read_all(
    container: InputContainer,
    reading: _Reading,
    start_s: Fraction | None,
    end_s: Fraction | None,
    shift: Fraction,
) -> bool:
    """Add all packets to the sums. Return whether the end of the file was reached."""
    try:
        for packet in container.demux([reading.clip.stream_index, *reading.sums, *reading.covers]):
            if packet.size:
                reading.add(packet, start_s, end_s, shift)
    except av.FFmpegError:
        return False
    return True


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def _attachments(container: InputContainer, covers: dict[int, Any]) -> list[str]:
    """Return name and digest of every attached file and cover picture, sorted."""
    found = [f"picture {digest.hexdigest()[:8]}" for digest in covers.values()]
    for stream in container.streams:
        if stream.type == "attachment":
            content = getattr(stream, "data", None) or b""
            name = stream.metadata.get("filename", "file")
            found.append(f"{name} {hashlib.sha256(content).hexdigest()[:8]}")
    return sorted(found)


def _track_keys(path: Path, number: int) -> dict[str, str | float]:
    boxes = read_tracks(path).get(number)
    return {} if boxes is None else boxes.keys


def _chapter(chapter: Any) -> Chapter:
    base = chapter["time_base"] or Fraction(1, 1000)
    return Chapter(chapter["start"] * base, chapter["end"] * base, chapter["metadata"].get("title", ""))
