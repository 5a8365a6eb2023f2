"""One video track -> frames with exact times, as a stream; whole clips, ranges or short runs.

At most the decoder's own frames and the one handed out are in memory.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import ceil, floor
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from asled_cli.errors import InputError, reason
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.packet_times import PacketClock, nominal_step, read_ticks
from asled_cli.video.decode.pixel_format import Converter
from asled_cli.video.decode.probe import RERECORD, count_video_tracks, probe_clip, select_stream
from asled_cli.video.frames import Clip, Frame

__all__ = [
    "ClipReader",
    "ReadProblems",
    "count_video_tracks",
    "frame_times",
    "probe_clip",
    "read_pictures",
    "read_runs",
    "read_small",
]

MAX_FAILURES = 100  # packets in a row that fail to decode before the clip is given up
EARLY_END_S = Fraction(1, 2)  # a clip that stops this much before its declared end was cut off
ONE_PICTURE_EACH = ("h264", "hevc", "prores", "mjpeg")  # codecs without hidden or joined pictures
SEEK_STEP_S = Fraction(1)  # how much earlier to seek when the demuxer lands behind the wanted time


@dataclass(slots=True)
class ReadProblems:
    """What went wrong while reading; all zero for a sound clip."""

    damaged_packets: int = 0  # packets that the demuxer or decoder refused
    corrupt_frames: int = 0  # pictures that the decoder itself calls corrupt
    lost_frames: int = 0  # packets of which the decoder made no picture
    repeated_timestamps: int = 0  # frames dropped because their time did not advance
    missing_timestamps: int = 0  # frames whose time was guessed from the frame rate
    ended_early: bool = False  # the media stops well before the declared end

    def sentences(self, name: str) -> list[str]:
        """One sentence per kind of problem, for the user."""
        counts = [
            (self.damaged_packets, "damaged packets were skipped"),
            (self.corrupt_frames, "frames are marked corrupt by the decoder"),
            (self.lost_frames, "frames cannot be decoded and are left out"),
            (self.repeated_timestamps, "frames with a repeated time were dropped"),
            (self.missing_timestamps, "frames without a time were given one"),
        ]
        found = [f"{name}: {count} {words}." for count, words in counts if count]
        if self.ended_early:
            found.append(f"{name} ends earlier than it declares: the recording or the copy is cut off.")
        return found


class ClipReader:
    """Iterates the frames of a clip in presentation order: `with ClipReader(clip) as frames: ...`.

    start_s, end_s: half-open range on the clip's own clock, seconds. Times strictly increase; what had
    to be skipped or mended is counted in `problems`. Raises InputError when the clip changes its
    picture size or when MAX_FAILURES packets in a row cannot be decoded.
    """

    def __init__(
        self, clip: Clip, *, start_s: float | Fraction | None = None, end_s: float | Fraction | None = None
    ) -> None:
        self.clip = clip
        self.problems = ReadProblems()
        self._decoder = _Decoder(clip, self.problems)
        self._frames = self._read(
            None if start_s is None else Fraction(start_s), None if end_s is None else Fraction(end_s)
        )

    def _read(self, start: Fraction | None, end: Fraction | None) -> Iterator[Frame]:
        pictures = self._decoder.pictures() if start is None else self._decoder.pictures_from(start)
        last = None
        for index, (pts, picture) in enumerate(pictures):
            last = pts * self.clip.time_base
            if end is not None and last >= end:
                return
            yield self._decoder.frame(index, pts, picture)
        self.problems.ended_early = last is not None and end is None and self._ends_early(last)

    def _ends_early(self, last: Fraction) -> bool:
        """Whether the declared end is far behind the last frame, without that frame being shown so long."""
        clip = self.clip
        if clip.duration_s is None or clip.index_complete or not clip.end_declared:
            return False
        return clip.start_s + clip.duration_s - last > EARLY_END_S

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Release the file; twice is harmless."""
        self._frames = iter(())
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_runs(clip: Clip, starts: Sequence[Fraction], length: int) -> Iterator[list[Frame]]:
    """For each start, `length` consecutive frames from the first one at or after it; fewer at the end.

    starts: seconds on the clip's own clock, in any order. Only the frames between the keyframe before a
    start and the end of its run are decoded. Frame.index counts within the run.
    """
    decoder = _Decoder(clip, ReadProblems())
    try:
        for start in starts:
            pictures = decoder.pictures_from(start)
            wanted = zip(range(length), pictures, strict=False)
            yield [decoder.frame(index, pts, picture) for index, (pts, picture) in wanted]
    finally:
        decoder.close()


def read_pictures(
    clip: Clip,
    problems: ReadProblems | None = None,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Time and decoded picture of each frame in [start_s, end_s), nothing converted.

    problems: where damage is counted.
    """
    decoder = _Decoder(clip, problems or ReadProblems())
    try:
        for pts, picture in decoder.pictures() if start_s is None else decoder.pictures_from(start_s):
            time = pts * clip.time_base
            if end_s is not None and time >= end_s:
                return
            yield time, picture
    finally:
        decoder.close()


def read_small(
    clip: Clip, size: tuple[int, int], *, start_s: Fraction | None = None, end_s: Fraction | None = None
) -> Iterator[tuple[Fraction, NDArray[np.uint8]]]:
    """Time and small grey picture (h, w) uint8 of each frame in [start_s, end_s); size: (width, height).

    About as fast as decoding alone, since no full picture is converted.
    """
    shrink = VideoReformatter()
    for time, picture in read_pictures(clip, start_s=start_s, end_s=end_s):
        grey = shrink.reformat(picture, *size, format="gray", interpolation=Interpolation.AREA)
        yield time, np.ascontiguousarray(grey.to_ndarray(), dtype=np.uint8)  # rows of odd width have gaps


def frame_times(clip: Clip) -> list[Fraction]:
    """Presentation times of all frames in seconds, sorted, by reading packets without decoding them."""
    with open_clip(clip.path) as container:
        stream = select_stream(container, clip.path, clip.track)
        return [tick * clip.time_base for tick in read_ticks(container, stream, clip)]


class _Decoder:
    """An open track that yields (pts, picture) and survives damaged packets."""

    def __init__(self, clip: Clip, problems: ReadProblems) -> None:
        self._clip = clip
        self._problems = problems
        self._open()
        self._converter = Converter(clip.resolved_color)
        self._failures = 0
        self._due: set[int] = set()  # times of the packets whose pictures have not come yet
        self._counted_from: int | None = None  # earlier packets are only there to decode the others

    def _open(self) -> None:
        self._clock = PacketClock(self._clip)
        self._coming: list[int] = []  # times of the packets in the decoder, a heap, where pictures have none
        self._container = open_clip(self._clip.path)
        self._stream = select_stream(self._container, self._clip.path, self._clip.track)

    def close(self) -> None:
        self._container.close()

    def frame(self, index: int, pts: int, picture: av.VideoFrame) -> Frame:
        corrupt = picture.is_corrupt
        self._problems.corrupt_frames += corrupt
        rgb = self._converter.to_rgb(picture)
        if self._clip.box is not None:
            x, y, width, height = self._clip.box
            rgb = np.ascontiguousarray(rgb[y : y + height, x : x + width])
        return Frame(index, pts, pts * self._clip.time_base, rgb, picture, corrupt)

    def pictures_from(self, start: Fraction) -> Iterator[tuple[int, av.VideoFrame]]:
        """Pictures with time >= start, decoded from the keyframe before it."""
        packets, first = self._seek(start)
        self._due.clear()
        self._counted_from = max(first, ceil(start / self._clip.time_base))
        for pts, picture in self.pictures(packets):
            # What precedes the keyframe in time may lack its references.
            if pts >= first and pts * self._clip.time_base >= start:
                yield pts, picture

    def _seek(self, start: Fraction) -> tuple[Iterator["Packet[VideoStream]"], int]:
        """Packets from a keyframe shown at or before `start`, and that keyframe's pts."""
        back = Fraction(0)
        wanted = floor(start / self._clip.time_base)
        if not self._knows_where_it_is:
            self.close()
            self._open()
            return self._packets(), floor(self._clip.start_s / self._clip.time_base)
        while True:
            goal = max(start - back, self._clip.start_s)
            self._go_to(goal)
            packets, first = self._from_keyframe()
            if first is not None and first <= wanted:
                return packets, first
            if goal <= self._clip.start_s:
                break
            back = max(2 * back, SEEK_STEP_S)  # the index is in decoding order, so it can land late
        self.close()  # as in MPEG-TS, where even seeking to the start lands behind it
        self._open()
        packets, first = self._from_keyframe()
        return packets, wanted if first is None else first

    def _from_keyframe(self) -> tuple[Iterator["Packet[VideoStream]"], int | None]:
        """Packets from the next keyframe on, and its time; none, and None, where there is no other."""
        packets = self._packets()
        for packet in packets:
            first = self._clock.tick(packet)
            if packet.is_keyframe and first is not None:
                return chain([packet], packets), first
        return iter(()), None

    @property
    def _knows_where_it_is(self) -> bool:
        """Whether the time of a picture is known without having counted from the first one."""
        complete = not self._stream.codec_context.has_b_frames  # else those before a keyframe may be left out
        return {"presentation": True, "decoding": complete, "counting": False}[self._clip.times_from]

    def _go_to(self, goal: Fraction) -> None:
        """Seek to `goal` or before it; to the very start where a damaged index allows no seeking."""
        try:
            self._container.seek(floor(goal / self._clip.time_base), stream=self._stream)
            self._coming.clear()
        except av.FFmpegError:
            self.close()
            self._open()

    def _packets(self) -> Iterator["Packet[VideoStream]"]:
        while True:
            try:
                yield from self._container.demux(self._stream)
                return
            except av.FFmpegError as error:
                self._count_failure(error)

    def _count_failure(self, error: Exception) -> None:
        self._problems.damaged_packets += 1
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            sentence = (
                f"{self._clip.path}: {MAX_FAILURES} packets in a row cannot be decoded ({reason(error)})."
            )
            raise InputError(sentence, RERECORD) from error

    def pictures(
        self, packets: Iterator["Packet[VideoStream]"] | None = None
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """All pictures of `packets` (default: of the whole track) with strictly increasing pts."""
        nominal = nominal_step(self._clip)
        last: int | None = None
        for packet in self._packets() if packets is None else packets:
            tick = self._expect(packet)
            try:
                decoded = packet.decode()
            except av.FFmpegError as error:
                self._count_failure(error)
                if tick in self._coming:
                    self._coming.remove(tick)
                continue
            for picture in decoded:
                self._failures = 0
                self._check_unchanged(picture)
                pts = self._time_of(picture)
                if pts is None:
                    self._problems.missing_timestamps += 1
                    pts = 0 if last is None else last + nominal
                self._meet(pts)
                if last is not None and pts <= last:
                    self._problems.repeated_timestamps += 1
                    continue
                last = pts
                yield pts, picture
        self._problems.lost_frames += len(self._due)

    def _expect(self, packet: "Packet[VideoStream]") -> int | None:
        """Remember that a picture is due, where the codec makes one of every packet; return its time."""
        tick = self._clock.tick(packet) if packet.size and not packet.is_discard else None
        if tick is None:
            return None
        if self._clip.times_from != "presentation":
            heapq.heappush(self._coming, tick)
            return tick
        if self._clip.codec not in ONE_PICTURE_EACH or self._clip.interlaced:  # fields may come apart
            return tick
        if packet.pts is not None and (self._counted_from is None or tick >= self._counted_from):
            self._due.add(tick)
        return tick

    def _time_of(self, picture: av.VideoFrame) -> int | None:
        """Return the picture's own time, or the earliest of those that no picture has taken yet."""
        if self._clip.times_from == "presentation":
            return picture.pts
        return heapq.heappop(self._coming) if self._coming else None

    def _meet(self, pts: int) -> None:
        """Pictures come in order of time: whatever was due before this one will not come any more."""
        lost = {tick for tick in self._due if tick < pts}
        self._problems.lost_frames += len(lost)
        self._due -= lost | {pts}

    def _check_unchanged(self, picture: av.VideoFrame) -> None:
        clip = self._clip
        found = (picture.width, picture.height, picture.format.name)
        if found != (clip.width, clip.height, clip.pix_fmt):
            was = f"{clip.width}x{clip.height} {clip.pix_fmt}"
            now = "{}x{} {}".format(*found)
            raise InputError(f"{clip.path} changes its picture from {was} to {now} midway.", "Cut it there.")
