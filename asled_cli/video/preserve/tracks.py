"""Sound, subtitles, chapters and metadata of the source, copied to the output without decoding.

Reads the source a second time, so that copying never waits for decoding or the other way round.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, lcm
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip

if TYPE_CHECKING:
    from av.container.core import Chapter

# Written anew by the muxer, or wrong in a re-encoded file ("timecode" can fail the whole file).
OWN_KEYS = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "vendor_id")
# What Matroska's muxers count of a track; true of the old file only.
COUNTED_KEYS = ("duration", "bps", "number_of_frames", "number_of_bytes")
PRIMING_PACKETS = 1  # kept before a cut, so that the sound decoder is warm at the first shown sample
MAX_TIMESCALE = 2**31 - 1


class CopiedTracks:
    """Copies what libavformat can write of the other tracks of `source` into `out`.

    end_s: where to cut, on the source's clock. dropped: what is left out, in words. Add the video
    stream to `out` first; `start` comes after the header, then `pull` as the video proceeds.
    """

    def __init__(
        self,
        source: Clip,
        out: OutputContainer,
        *,
        start_s: Fraction | None = None,
        end_s: Fraction | None = None,
    ) -> None:
        self.dropped: list[str] = []
        self.written: dict[int, int] = {}  # output track -> bytes
        self._clip = source
        self._out = out
        self._start, self._end = start_s, end_s
        self._shift = Fraction(0)
        self._container = open_clip(source.path)
        self._copies: dict[int, Stream] = {}
        self._add_tracks()
        self._add_metadata(start_s or Fraction(0))
        self._waiting = self._read()
        self._next: Packet[Stream] | None = None

    def _add_tracks(self) -> None:
        facts = {track.index: track for track in self._clip.other_tracks}
        writable = self._out.supported_codecs
        for stream in self._container.streams:
            if stream.index == self._clip.stream_index:
                continue
            if not is_copyable(stream) or stream.codec_context.name not in writable:
                self.dropped.append(str(facts.get(stream.index, f"track {stream.index}")))
                continue
            copy = self._out.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(kept_metadata(stream.metadata))
            copy.disposition = stream.disposition
            self._copies[stream.index] = copy
            self.written[copy.index] = 0

    def _add_metadata(self, shift: Fraction) -> None:
        self._out.metadata.update(kept_metadata(self._container.metadata))
        video = self._container.streams[self._clip.stream_index]
        copy = self._out.streams.video[0]
        copy.metadata.update(kept_metadata(video.metadata))
        copy.disposition = video.disposition
        _copy_chapters(self._container, self._out, shift, self._end)

    def start(self, shift: Fraction) -> None:
        """Say how much earlier everything is to be written, seconds: 0 for a whole clip."""
        self._shift = shift
        self._next = next(self._waiting, None)

    def pull(self, until_s: Fraction | None) -> None:
        """Write all packets before `until_s` on the source's clock; None writes all the rest."""
        while self._next is not None and (until_s is None or _time(self._next) < until_s):
            packet = self._next
            copy = self._copies[packet.stream_index]
            self._move(packet)
            packet.stream = copy
            self.written[copy.index] += packet.size
            self._out.mux(packet)
            self._next = next(self._waiting, None)

    def _move(self, packet: "Packet[Stream]") -> None:
        if self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = packet.pts - ticks if packet.pts is not None else None
            packet.dts = packet.dts - ticks if packet.dts is not None else None

    def _read(self) -> Iterator["Packet[Stream]"]:
        """Packets of the copied tracks inside the range, in file order.

        Read from the start of the file: seeking would miss the priming packet before time 0, and long
        packets, such as subtitles, that begin long before the range.
        """
        if not self._copies:
            return
        streams = [self._container.streams[index] for index in self._copies]
        try:
            for packet in self._container.demux(streams):
                if not packet.size or packet.dts is None:
                    continue
                if is_inside(packet, self._start, self._end):
                    yield packet
        except av.FFmpegError:
            self.dropped.append("the rest of the sound, which is damaged")

    def close(self) -> None:
        """Release the source; twice is harmless."""
        self._next = None
        self._container.close()


def movie_timescale(source: Clip) -> int:
    """Ticks per second in which both video and sound times are whole numbers, for exact edit lists."""
    with open_clip(source.path) as container:
        rates = [stream.rate for stream in container.streams.audio if stream.codec_context is not None]
    scale = lcm(source.time_base.denominator, *(rate for rate in rates if rate))
    return scale if scale <= MAX_TIMESCALE else 1000


def is_inside(packet: "Packet[Stream]", start: Fraction | None, end: Fraction | None) -> bool:
    """Whether a packet of a copied track belongs to the range, with what a decoder needs to be warm."""
    time, length = _time(packet), (packet.duration or 0) * packet.time_base
    if packet.is_discard and time >= 0:
        return False  # hidden by an edit list; the muxer can hide only what lies before 0
    if start is not None and time + (1 + PRIMING_PACKETS) * length <= start:
        return False
    return end is None or time < end


def is_copyable(stream: Stream) -> bool:
    """Sound and subtitles of a known codec; libavformat breaks files with any other track."""
    if stream.type not in ("audio", "subtitle") or stream.codec_context is None:
        return False
    return not stream.disposition & Disposition.attached_pic


def _time(packet: "Packet[Stream]") -> Fraction:
    ticks = packet.pts if packet.pts is not None else packet.dts
    assert ticks is not None
    return ticks * packet.time_base


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The entries that a copy keeps."""
    return {key: value for key, value in metadata.items() if not _is_own(key.lower())}


def _is_own(key: str) -> bool:
    """Whether a key, in small letters, belongs to the file and not to the recording.

    Matroska writes keys in capitals, and counts with a language behind the name, such as BPS-eng.
    """
    return key in OWN_KEYS or key.startswith("_statistics_") or key.split("-")[0] in COUNTED_KEYS


def _copy_chapters(
    source: InputContainer, out: OutputContainer, shift: Fraction, end: Fraction | None
) -> None:
    chapters: list[Chapter] = []
    for chapter in source.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        ticks = ceil(shift / base)
        last = chapter["end"] if end is None else min(chapter["end"], int(end / base))
        if last > max(chapter["start"], ticks):
            chapter["start"], chapter["end"] = max(0, chapter["start"] - ticks), last - ticks
            chapters.append(chapter)
    if chapters:
        out.set_chapters(chapters)
