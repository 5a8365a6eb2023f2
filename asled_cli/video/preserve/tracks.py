"""Sound, subtitles, chapters and metadata of the source, copied to the output without decoding.

Reads the source a second time, so that copying never waits for decoding or the other way round.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from math import ceil, lcm
from typing import TYPE_CHECKING

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.frames import Clip
from asled_cli.video.open_output import open_output

if TYPE_CHECKING:
    from av.container.core import Chapter

# Written anew by the muxer, or wrong in a re-encoded file ("timecode" can fail the whole file).
OWN_KEYS = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "vendor_id")
# What Matroska's muxers count of a track; true of the old file only.
COUNTED_KEYS = ("duration", "bps", "number_of_frames", "number_of_bytes")
# The box that tells of a Dolby Vision layer is "unofficial"; the "experimental" TrueHD in MP4 fails midway.
OPTIONS = {"strict": "unofficial"}
USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
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
        self._refused: set[int] = set()  # tracks of which no more can be written
        self._ends: dict[int, int] = {}  # time of the last packet of each, ticks of the output
        self._add_tracks()
        self._add_metadata(start_s or Fraction(0))
        self._waiting = self._read()
        self._next: Packet[Stream] | None = None

    def _add_tracks(self) -> None:
        facts = {track.index: track for track in self._clip.other_tracks}
        for stream in self._container.streams:
            if stream.index == self._clip.stream_index:
                continue
            name = str(facts.get(stream.index, f"track {stream.index}"))
            if not is_copyable(stream):
                self.dropped.append(name)
                continue
            if not can_hold(self._out.format.name, stream):
                self.dropped.append(name + _advice(stream))
                continue
            copy = _add_copy(self._out, stream)
            copy.metadata.update(kept_metadata(stream.metadata))
            self._keep_title(stream, copy)
            copy.disposition = stream.disposition
            self._copies[stream.index] = copy
            self.written[copy.index] = 0

    def _keep_title(self, stream: Stream, copy: Stream) -> None:
        """Put the title of a track where players of the file format look for it.

        MP4 has no place of its own for it: it also becomes the name of the handler of the track.
        """
        title = stream.metadata.get("title") or stream.metadata.get("name")
        if title is None:
            return
        if self._out.format.name == "matroska":
            copy.metadata["title"] = title
        elif "name" not in stream.metadata and "handler_name" not in stream.metadata:
            copy.metadata["handler_name"] = title
            place = f"title of track {stream.index} as such"
            self.dropped.append(f"{place} (kept as the name of its handler; .mkv would keep it)")

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
            if self._next.stream_index not in self._refused:
                self._write(self._next)
            self._next = next(self._waiting, None)

    def _write(self, packet: "Packet[Stream]") -> None:
        """Write one packet. One that the muxer refuses ends its track and not the whole job."""
        index = packet.stream_index
        copy = self._copies[index]
        self._move(packet)
        self._keep_order(packet, copy)
        packet.stream = copy
        self.written[copy.index] += packet.size
        try:
            self._out.mux(packet)
        except (av.ArgumentError, av.InvalidDataError):
            form = self._out.format.name
            self._refused.add(index)
            self.dropped.append(f"the rest of track {index}, which {form} refuses")

    def _move(self, packet: "Packet[Stream]") -> None:
        if self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = packet.pts - ticks if packet.pts is not None else None
            packet.dts = packet.dts - ticks if packet.dts is not None else None

    def _keep_order(self, packet: "Packet[Stream]", copy: Stream) -> None:
        """Move a packet by a tick if it has the time of the one before, as short ones in milliseconds may."""
        base = copy.time_base
        if base is None or packet.dts is None:
            return
        tick = round(packet.dts * packet.time_base / base)
        earliest = self._ends.get(packet.stream_index, tick - 1) + 1
        if tick < earliest:
            pts = round((packet.dts if packet.pts is None else packet.pts) * packet.time_base / base)
            packet.duration = round((packet.duration or 0) * packet.time_base / base)
            packet.pts, packet.dts, packet.time_base = max(pts, earliest), earliest, base
        self._ends[packet.stream_index] = max(tick, earliest)

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


def can_hold(form: str, stream: Stream) -> bool:
    """Return whether a file format takes the packets of a track, found by writing a header into memory."""
    taken = False
    with contextlib.suppress(av.FFmpegError, ValueError), open_output(BytesIO(), form, OPTIONS) as trial:
        if stream.codec_context.name in trial.supported_codecs:
            copy = _add_copy(trial, stream)
            trial.start_encoding()
            taken = not stream.codec_context.name.startswith("pcm_") or _takes_silence(trial, copy)
    return taken


def _add_copy(out: OutputContainer, stream: Stream) -> Stream:
    """Add a track for the packets of `stream`. Sound whose speakers are not named gets the usual ones."""
    copy = out.add_stream_from_template(stream, opaque=True)
    context = copy.codec_context
    if isinstance(context, AudioCodecContext):
        usual = USUAL_LAYOUTS.get(context.layout.name)
        if usual is not None:
            context.layout = usual
    return copy


def _takes_silence(trial: OutputContainer, copy: Stream) -> bool:
    """Whether a file with a little raw sound can be ended: MP4 finds out only then that it cannot name it."""
    packet: Packet[Stream] = Packet(bytes(960))
    packet.pts = packet.dts = 0
    packet.time_base, packet.duration, packet.stream = Fraction(1, 48000), 1, copy
    try:
        trial.mux(packet)
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _advice(stream: Stream) -> str:
    """In which file format such a track would be kept, in words to follow its name."""
    fits = [ending for ending, form in ((".mov", "mov"), (".mkv", "matroska")) if can_hold(form, stream)]
    return f", which {' or '.join(fits)} would keep" if fits else ""


def movie_timescale(source: Clip) -> int:
    """Ticks per second in which both video and sound times are whole numbers, for exact edit lists."""
    with open_clip(source.path) as container:
        rates = [stream.rate for stream in container.streams.audio if stream.codec_context is not None]
    scale = lcm(source.time_base.denominator, *(rate for rate in rates if rate))
    if scale <= MAX_TIMESCALE:
        return scale
    base = source.time_base.denominator  # then the sound's start is rounded, by less than a sample
    return MAX_TIMESCALE // base * base or 1000


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
