"""What a file holds, counted from its packets and headers: frame times, copied tracks, metadata. No decoding.

Memory: one number per frame; of the other tracks only sums and digests.
"""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.stream import Stream

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.preserve.tracks import is_copyable, is_inside, kept_metadata


@dataclass(slots=True)
class TrackSum:
    """One copied track. times and content are digests: equal digests, equal packets.

    whole: False for codecs whose packets a muxer may cut otherwise (raw sound) or fill up (subtitles).
    """

    kind: str
    codec: str
    whole: bool
    packets: int = 0
    size: int = 0  # bytes
    first_s: Fraction | None = None
    times: Any = field(default_factory=hashlib.sha256)
    content: Any = field(default_factory=hashlib.sha256)

    def add(self, packet: "Packet[Stream]", shift: Fraction) -> None:
        ticks = packet.pts if packet.pts is not None else packet.dts or 0
        time = (ticks - round(shift / packet.time_base)) * packet.time_base
        self.first_s = time if self.first_s is None else self.first_s
        self.packets += 1
        self.size += packet.size
        self.times.update(f"{time};".encode())
        self.content.update(bytes(packet))


@dataclass(slots=True)
class Inventory:
    """Everything that must be the same in a faithful copy, of one file.

    ticks: times of the shown frames, sorted, in units of the clip's time base. last_step: duration of the
    last of them in the same units, 0 where the file does not tell.
    """

    clip: Clip
    ticks: list[int]
    last_step: int
    tracks: list[TrackSum]
    metadata: dict[str, str]
    track_keys: dict[str, str | float]  # QuickTime keys of the video track itself
    chapters: list[str]  # start and title
    broken_off: bool  # the demuxer met damage that it could not pass

    @property
    def times(self) -> list[Fraction]:
        """Times of the frames in seconds."""
        return [tick * self.clip.time_base for tick in self.ticks]


def take_inventory(
    path: Path,
    track: int = 0,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
    shift: Fraction = Fraction(0),
) -> Inventory:
    """Read all packets of `path` once.

    start_s, end_s: what of the other tracks counts; shift: taken off their times, seconds. All frames of the
    n-th video track count. Raises InputError if the file cannot be opened.
    """
    clip = probe_clip(path, track)
    with open_clip(path) as container:
        sums = {
            stream.index: TrackSum(stream.type, stream.codec_context.name, _keeps_packets(stream))
            for stream in container.streams
            if is_copyable(stream) and stream.index != clip.stream_index
        }
        shown: dict[int, int] = {}
        broken_off = False
        try:
            for packet in container.demux([clip.stream_index, *sums]):
                if not packet.size:
                    continue
                if packet.stream_index == clip.stream_index:
                    _add_frame(shown, packet)
                elif packet.dts is not None and is_inside(packet, start_s, end_s):
                    sums[packet.stream_index].add(packet, shift)
        except av.FFmpegError:
            broken_off = True
        ticks = sorted(shown)
        return Inventory(
            clip=clip,
            ticks=ticks,
            last_step=shown[ticks[-1]] if ticks else 0,
            tracks=list(sums.values()),
            metadata=kept_metadata(dict(container.metadata)),
            track_keys=_track_keys(path, container.streams[clip.stream_index].id),
            chapters=[_chapter_words(chapter) for chapter in container.chapters()],
            broken_off=broken_off,
        )


def _add_frame(shown: dict[int, int], packet: "Packet[Stream]") -> None:
    tick = packet.pts if packet.pts is not None else packet.dts
    if tick is not None and not packet.is_discard:
        shown[tick] = packet.duration or 0


def _keeps_packets(stream: Stream) -> bool:
    return stream.type == "audio" and not stream.codec_context.name.startswith("pcm_")


def _track_keys(path: Path, number: int) -> dict[str, str | float]:
    facts = read_tracks(path).get(number)
    return {} if facts is None else facts.keys


def _chapter_words(chapter: Any) -> str:
    start = chapter["start"] * (chapter["time_base"] or Fraction(1, 1000))
    return f"{float(start):.3f} s {chapter['metadata'].get('title', '')}".strip()
