"""Concatenation of segments into one movie, with the other tracks of the source."""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from asled_cli.errors import AsledError, UsageError, reason
from asled_cli.video.encode.encoder import Encoder, cannot_hold, open_encoder
from asled_cli.video.encode.segments import Segment, read_packets
from asled_cli.video.frames import Clip
from asled_cli.video.open_output import open_output
from asled_cli.video.output_file import FORMATS
from asled_cli.video.preserve.tracks import OPTIONS, CopiedTracks, movie_timescale


class Movie:
    """A movie file to be written: a video track with the encoder's headers, and the copied tracks.

    The encoder is opened only for its headers, which must equal those of the segments.
    start_s, end_s: range of the source, seconds. suffix: file extension, if `file` is not a path.
    Raises UsageError if the file format or the encoder refuses the settings.
    """

    def __init__(
        self,
        file: Path | BinaryIO,
        source: Clip,
        encoder: Encoder,
        start_s: Fraction | None,
        end_s: Fraction | None,
        suffix: str = "",
    ) -> None:
        form = FORMATS[suffix.lower() or Path(str(file)).suffix]
        options = OPTIONS if form == "matroska" else movie_options(source)
        self._source = source
        self._container: OutputContainer = open_output(file, form, options)
        self._tracks: CopiedTracks | None = None
        try:
            self._stream = open_encoder(self._container, source, encoder)
            self.headers = bytes(self._stream.codec_context.extradata or b"")
            self._tracks = CopiedTracks(source, self._container, start_s=start_s, end_s=end_s)
            self._container.start_encoding()
        except BaseException as error:
            self.close()
            if isinstance(error, av.FFmpegError | ValueError):
                raise UsageError(*cannot_hold(self._container, encoder)) from error
            raise

    @property
    def dropped(self) -> list[str]:
        """Names of the source's tracks that are not written."""
        return self._tracks.dropped if self._tracks is not None else []

    def write(self, folder: Path, segments: Sequence[Segment], shift: int) -> None:
        """Write all frames and all copied packets.

        folder: of the segments. shift: subtracted from every time, ticks.
        Memory: one packet and one number per frame. Raises AsledError if a segment is damaged.
        """
        assert self._tracks is not None
        base = self._source.time_base
        self._tracks.start(shift * base)
        times = _decoding_times(segments)
        durations = _durations(segments)
        remaining = sum(len(segment.ticks) for segment in segments)
        for segment in segments:
            for stored in read_packets(folder / segment.file):
                remaining -= 1
                packet: Packet[Stream] = Packet(stored.content)
                packet.pts, packet.dts = stored.pts - shift, next(times) - shift
                packet.duration, packet.time_base = durations.pop(stored.pts, stored.duration), base
                if not remaining:
                    self._end_with(packet, segment.end - shift)
                packet.is_keyframe, packet.stream = stored.is_keyframe, self._stream
                self._container.mux(packet)
                self._tracks.write_until(stored.pts * base)
        self._tracks.write_until(None)

    def _end_with(self, packet: "Packet[Stream]", end: int) -> None:
        """Extend the last packet in decoding order to `end`, the end of the last picture, ticks.

        MP4 stores durations in decoding order. If the last packet is a B-frame, the track would otherwise end
        before its last picture.
        """
        assert packet.pts is not None
        packet.dts = packet.pts
        if self._container.format.name != "matroska":
            packet.duration = end - packet.pts

    def finish(self) -> None:
        """Write the index and close the file."""
        self._container.close()
        self.close()

    def close(self) -> None:
        """Release everything. May be called twice."""
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):  # an unfinished file, or a full disk
            self._container.close()
        if self._tracks is not None:
            self._tracks.close()


def rehearse(
    suffix: str, source: Clip, encoder: Encoder, start_s: Fraction | None, end_s: Fraction | None
) -> tuple[bytes, list[str]]:
    """Return the encoder's headers and the names of the dropped tracks, without writing to the disk.

    Raises UsageError if the movie cannot be written with these settings.
    """
    movie = Movie(BytesIO(), source, encoder, start_s, end_s, suffix)
    try:
        return movie.headers, list(movie.dropped)
    finally:
        movie.close()


def join(movie: Movie, folder: Path, segments: Sequence[Segment], shift: int, out: Path) -> None:
    """Write and finish `movie`. Raises AsledError, naming `out`, if the disk is full or a segment damaged."""
    try:
        movie.write(folder, segments, shift)
        movie.finish()
    except (av.FFmpegError, OSError) as error:
        raise AsledError(f"{out} cannot be written: {reason(error)}.") from error


def movie_options(source: Clip) -> dict[str, str]:
    """Return the muxer options with which a movie keeps the times and the keys of `source`."""
    return {
        **OPTIONS,
        "movflags": "use_metadata_tags",
        "video_track_timescale": str(source.time_base.denominator),
        "movie_timescale": str(movie_timescale(source)),
        "write_tmcd": "0",
    }


def _durations(segments: Sequence[Segment]) -> dict[int, int]:
    """Return the duration of each picture by its time, ticks. Encoders do not always set it."""
    ticks = [tick for segment in segments for tick in segment.ticks]
    ends = [*ticks[1:], segments[-1].end] if segments else []
    return {tick: end - tick for tick, end in zip(ticks, ends, strict=True)}


def _decoding_times(segments: Sequence[Segment]) -> Iterator[int]:
    """Yield the decoding time of each packet, ticks: `depth` frames before the frame in this place is shown.

    Computed for all segments together, so that the times increase across segments.
    """
    ticks = [tick for segment in segments for tick in segment.ticks]
    depth = min(max((segment.reorder for segment in segments), default=0), len(ticks) - 1)
    for place in range(depth):
        yield ticks[place] - (ticks[depth] - ticks[0])
    yield from ticks[: len(ticks) - depth]
