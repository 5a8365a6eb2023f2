"""Decoding of one video track, with seeking, exact times and counts of damage."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import ceil, floor

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from asled_cli.errors import InputError, reason
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.packet_times import PacketClock, nominal_step
from asled_cli.video.decode.pixel_format import Converter
from asled_cli.video.decode.video_tracks import RERECORD, select_stream
from asled_cli.video.frames import Clip, Frame

MAX_FAILURES = 100  # packets in a row that may fail to decode
ONE_PICTURE_EACH = ("h264", "hevc", "prores", "mjpeg")  # codecs with one shown picture per packet
SEEK_STEP_S = Fraction(1)  # seconds by which to seek earlier if the demuxer lands after the target


@dataclass(slots=True)
class ReadProblems:
    """Counts of problems while reading, all zero for an undamaged clip."""

    damaged_packets: int = 0  # packets that the demuxer or decoder refused
    corrupt_frames: int = 0  # pictures that the decoder itself calls corrupt
    lost_frames: int = 0  # packets of which the decoder made no picture
    repeated_timestamps: int = 0  # frames dropped because their time did not advance
    missing_timestamps: int = 0  # frames whose time was guessed from the frame rate
    ended_early: bool = False  # the media stops well before the declared end

    def sentences(self, name: str) -> list[str]:
        """Return one sentence per kind of problem, for the user. name: of the file."""
        counts = [
            (self.damaged_packets, "damaged packets were skipped"),
            (self.corrupt_frames, "frames are marked corrupt by the decoder"),
            (self.lost_frames, "frames cannot be decoded and are left out"),
            (self.repeated_timestamps, "frames with a repeated time were dropped"),
            (self.missing_timestamps, "frames without a time were given one"),
        ]
        found = [f"{name}: {count} {problem}." for count, problem in counts if count]
        if self.ended_early:
            found.append(f"{name} ends earlier than it declares: the recording or the copy is incomplete.")
        return found


class TrackDecoder:
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
        self._stream = select_stream(self._container, self._clip.path, self._clip.track, self._clip.view_id)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def frame(
        self, index: int, pts: int, picture: av.VideoFrame, size: tuple[int, int] | None = None
    ) -> Frame:
        """Return a decoded picture as a frame with RGB of the clip's box, turned. pts: ticks.

        size: (width, height) of the RGB, reduced by area, without the planes; None: as it is.
        """
        corrupt = picture.is_corrupt
        self._problems.corrupt_frames += corrupt
        if size == self._clip.seen_size:
            size = None
        coded = size if size is None or self._clip.turn % 2 == 0 else size[::-1]
        if self._clip.box is None:
            rgb = self._converter.to_rgb(picture, coded)
        else:
            x, y, width, height = self._clip.box
            rgb = np.ascontiguousarray(self._converter.to_rgb(picture)[y : y + height, x : x + width])
            if coded is not None:
                rgb = np.asarray(cv2.resize(rgb, coded, interpolation=cv2.INTER_AREA), np.uint16)
        if self._clip.turn:
            rgb = np.ascontiguousarray(np.rot90(rgb, self._clip.turn))
        source = picture if size is None else None
        return Frame(index, pts, pts * self._clip.time_base, rgb, source, corrupt)

    def pictures_from(self, start: Fraction) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield pts and picture of all frames with time >= start, decoded from the keyframe before it."""
        packets, first = self._seek(start)
        self._due.clear()
        self._counted_from = max(first, ceil(start / self._clip.time_base))
        for pts, picture in self.pictures(packets):
            # Pictures before the keyframe in time may lack their references.
            if pts >= first and pts * self._clip.time_base >= start:
                yield pts, picture

    def is_on_the_way(self, at: Fraction, start: Fraction) -> bool:
        """Return whether decoding on from a picture at time `at` reaches `start` without a needless frame.

        That is so where no keyframe is between them. False where the file has no index.
        """
        if at >= start or not len(self._stream.index_entries):
            return False
        low, high = (floor(time / self._clip.time_base) for time in (at, start))
        return not any(e.is_keyframe and low < e.timestamp <= high for e in self._stream.index_entries)

    def _seek(self, start: Fraction) -> tuple[Iterator["Packet[VideoStream]"], int]:
        """Return the packets from a keyframe at or before `start`, and the pts of this keyframe."""
        back = Fraction(0)
        wanted = floor(start / self._clip.time_base)
        if not self._has_absolute_times:
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
            back = max(2 * back, SEEK_STEP_S)  # the index is in decoding order, so seeking can land late
        self.close()  # in MPEG-TS even seeking to the start lands after it
        self._open()
        packets, first = self._from_keyframe()
        return packets, wanted if first is None else first

    def _from_keyframe(self) -> tuple[Iterator["Packet[VideoStream]"], int | None]:
        """Return the packets from the next keyframe on, and its time in ticks; none and None without one."""
        packets = self._packets()
        for packet in packets:
            first = self._clock.tick(packet)
            if packet.is_keyframe and first is not None:
                return chain([packet], packets), first
        return iter(()), None

    @property
    def _has_absolute_times(self) -> bool:
        """Return whether picture times are known after seeking, without counting from the first one."""
        complete = not self._stream.codec_context.has_b_frames  # else those before a keyframe may be left out
        return {"presentation": True, "decoding": complete, "counting": False}[self._clip.times_from]

    def _go_to(self, goal: Fraction) -> None:
        """Seek to `goal` or before it, to the start if a damaged index prevents seeking."""
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
        """Yield pts and picture of `packets` (None: of the whole track), pts strictly increasing."""
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
                self._count_lost_before(pts)
                if last is not None and pts <= last:
                    self._problems.repeated_timestamps += 1
                    continue
                last = pts
                yield pts, picture
        self._problems.lost_frames += len(self._due)

    def _expect(self, packet: "Packet[VideoStream]") -> int | None:
        """Register the picture expected from a packet and return its time, ticks; None without one."""
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
        """Return the picture's own time, or the earliest unused packet time; ticks."""
        if self._clip.times_from == "presentation":
            return picture.pts
        return heapq.heappop(self._coming) if self._coming else None

    def _count_lost_before(self, pts: int) -> None:
        """Count the expected pictures before this one as lost: pictures come in order of time."""
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
