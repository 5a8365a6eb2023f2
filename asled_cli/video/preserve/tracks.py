"""Copy of the source's sound, subtitles, chapters and metadata to the output, without decoding.

The source is opened a second time, so that copying and decoding do not wait for each other.
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

# Written by the muxer itself, or wrong in a re-encoded file ("timecode" can make muxing fail).
OWN_KEYS = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode", "vendor_id")
# Track statistics of Matroska muxers, which are wrong in any copy.
COUNTED_KEYS = ("duration", "bps", "number_of_frames", "number_of_bytes")
# "unofficial" of FFmpeg allows Dolby Vision boxes; "experimental" allows TrueHD in MP4, which fails later.
OPTIONS = {"strict": "unofficial"}
USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}  # for layouts without channel names
PRIMING_PACKETS = 1  # packets before a cut that the audio decoder needs for the first sample
MAX_TIMESCALE = 2**31 - 1  # ticks per second; FFmpeg's muxer takes an int

_TS_NONSTRICT = 0x20000  # AVFMT_TS_NONSTRICT (libavformat/avformat.h): packets may share a time


class CopiedTracks:
    """Copier of the tracks of `source` other than its video to `out`, as far as the format supports them.

    start_s, end_s: range on the source's clock, seconds. dropped: names of tracks that are not copied.
    Add the video stream to `out` first. Call `start` after the header, then `write_until` with the video.
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
        self._least_step = 0 if out.format.flags & _TS_NONSTRICT else 1  # ticks between two packets
        self._add_tracks()
        self._add_metadata(start_s or Fraction(0))
        self._waiting = self._read()
        self._next: Packet[Stream] | None = None

    def _add_tracks(self) -> None:
        tracks = {track.index: track for track in self._clip.other_tracks}
        for stream in self._container.streams:
            if stream.index == self._clip.stream_index:
                continue
            track = tracks.get(stream.index)
            name = f"track {stream.index}" if track is None else str(track)
            if not is_copyable(stream) or (track is not None and track.external):
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
        """Write the title of a track where players of the file format read it.

        MP4 has no title of a track. There it becomes the handler name.
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
        """Prepare the first packet. shift: subtracted from all times, seconds; 0 for a whole clip."""
        self._shift = shift
        self._next = next(self._waiting, None)

    def write_until(self, until_s: Fraction | None) -> None:
        """Write all packets before `until_s`, seconds on the source's clock; None: all that remain."""
        while self._next is not None and (until_s is None or _time(self._next) < until_s):
            if self._next.stream_index not in self._refused:
                self._write(self._next)
            self._next = next(self._waiting, None)

    def _write(self, packet: "Packet[Stream]") -> None:
        """Write a packet. If the muxer refuses it, the rest of its track is dropped and the job continues."""
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
        """Delay a packet that rounding gave the time of the packet before, by a tick where times must differ.

        Matroska accepts equal times. TrueHD needs them there: its packets are shorter than a tick.
        """
        base = copy.time_base
        if base is None or packet.dts is None:
            return
        tick = round(packet.dts * packet.time_base / base)
        earliest = self._ends.get(packet.stream_index, tick - self._least_step) + self._least_step
        if tick < earliest:
            pts = round((packet.dts if packet.pts is None else packet.pts) * packet.time_base / base)
            packet.duration = round((packet.duration or 0) * packet.time_base / base)
            packet.pts, packet.dts, packet.time_base = max(pts, earliest), earliest, base
        self._ends[packet.stream_index] = max(tick, earliest)

    def _read(self) -> Iterator["Packet[Stream]"]:
        """Yield the packets of the copied tracks inside the range, in file order.

        The file is read from its start. Seeking would miss the priming packet before time 0 and long packets,
        such as subtitles, that begin before the range.
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
        """Release the source. May be called twice."""
        self._next = None
        self._container.close()


def can_hold(form: str, stream: Stream) -> bool:
    """Return whether a file format takes the packets of a track, by a test in memory. form: FFmpeg muxer."""
    taken = False
    with contextlib.suppress(av.FFmpegError, ValueError), open_output(BytesIO(), form, OPTIONS) as trial:
        if stream.codec_context.name in trial.supported_codecs:
            copy = _add_copy(trial, stream)
            trial.start_encoding()
            taken = not stream.codec_context.name.startswith("pcm_") or _takes_silence(trial, copy)
    return taken


def _add_copy(out: OutputContainer, stream: Stream) -> Stream:
    """Add a track for the packets of `stream`. Sound without channel names gets the usual layout."""
    copy = out.add_stream_from_template(stream, opaque=True)
    context = copy.codec_context
    if isinstance(context, AudioCodecContext):
        usual = USUAL_LAYOUTS.get(context.layout.name)
        if usual is not None:
            context.layout = usual
    return copy


def _takes_silence(trial: OutputContainer, copy: Stream) -> bool:
    """Return whether a file with raw sound can be finished: MP4 detects unsupported PCM only then."""
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
    """Return the file formats that would keep a track, as text that follows its name."""
    fits = [ending for ending, form in ((".mov", "mov"), (".mkv", "matroska")) if can_hold(form, stream)]
    return f", which {' or '.join(fits)} would keep" if fits else ""


def movie_timescale(source: Clip) -> int:
    """Return the movie time scale, ticks per second, in which video and sound times are whole numbers.

    Edit lists are then exact.
    """
    with open_clip(source.path) as container:
        rates = [stream.rate for stream in container.streams.audio if stream.codec_context is not None]
    scale = lcm(source.time_base.denominator, *(rate for rate in rates if rate))
    if scale <= MAX_TIMESCALE:
        return scale
    base = source.time_base.denominator  # then the sound's start is rounded, by less than a sample
    return MAX_TIMESCALE // base * base or 1000


def is_inside(packet: "Packet[Stream]", start: Fraction | None, end: Fraction | None) -> bool:
    """Return whether a packet belongs to the range, priming packets included. start, end: seconds."""
    time, length = _time(packet), (packet.duration or 0) * packet.time_base
    if packet.is_discard and time >= 0:
        return False  # hidden by an edit list; the muxer can hide only what lies before 0
    if start is not None and time + (1 + PRIMING_PACKETS) * length <= start:
        return False
    return end is None or time < end


def is_copyable(stream: Stream) -> bool:
    """Return whether a track can be copied: sound and subtitles of a known codec, no cover pictures."""
    if stream.type not in ("audio", "subtitle") or stream.codec_context is None:
        return False
    return not stream.disposition & Disposition.attached_pic


def _time(packet: "Packet[Stream]") -> Fraction:
    ticks = packet.pts if packet.pts is not None else packet.dts
    assert ticks is not None
    return ticks * packet.time_base


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata entries that a copy keeps."""
    return {key: value for key, value in metadata.items() if not _is_own(key.lower())}


def _is_own(key: str) -> bool:
    """Return whether a key, in lower case, describes the file and not the recording.

    Statistics of Matroska may end with a language, such as BPS-eng.
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
