"""Frames -> a file with the source's times, colours, turn, sound and metadata; all or nothing."""

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import AsledError, UsageError
from asled_cli.video.color import apply_change
from asled_cli.video.convert import Converter
from asled_cli.video.encode import EncodeConfig, cannot_hold, choose_encoder, open_encoder, reason
from asled_cli.video.frames import Clip, Frame
from asled_cli.video.target import FORMATS, PartFile, check_output
from asled_cli.video.tracks import CopiedTracks, movie_timescale

__all__ = ["ClipWriter", "EncodeConfig", "check_output"]

# An interrupted write stays playable, and the finished file is an ordinary one with its index last.
MOVFLAGS = "hybrid_fragmented+delay_moov+use_metadata_tags"
LONGEST_LAST_S = Fraction(1, 2)  # a longer rest of the declared length means that the source was cut off
MATROSKA_TICK = Fraction(1, 1000)  # Matroska counts in milliseconds and may move the start


class ClipWriter:
    """Encodes frames of `source` into `out`: `with ClipWriter(...) as writer: writer.write(frame, change)`.

    The encoder is opened and the file begun at once, so that a wrong option is known before any work.
    Leaving the block without an exception flushes, checks and publishes the file; with one, or by
    `abort`, nothing remains and an existing file is untouched.

    start_s, end_s: the range that is written, on the source's clock; the output then begins at 0.
    Without them the times are exactly the source's. Memory: one frame besides the encoder's own.
    Raises UsageError for an output or an encoder that cannot be, AsledError if writing fails.
    """

    def __init__(
        self,
        source: Clip,
        out: Path,
        config: EncodeConfig | None = None,
        *,
        start_s: float | Fraction | None = None,
        end_s: float | Fraction | None = None,
    ) -> None:
        config = config or EncodeConfig()
        check_output(out, [source.path], config.overwrite)
        self.encoder = choose_encoder(source, config)
        self.frames_written = 0
        self._clip, self._out = source, out
        self._start = None if start_s is None else Fraction(start_s)
        self._end = None if end_s is None else Fraction(end_s)
        self._converter = Converter(source.resolved_color)
        self._pending: tuple[av.VideoFrame, int] | None = None  # waits for the next frame's time
        self._last_step: int | None = None
        self._shift: int | None = None  # ticks taken off every time
        self._times: list[int] = []
        self._part = PartFile(out)
        self._tracks: CopiedTracks | None = None
        self._container: av.container.OutputContainer | None = None
        try:
            self._open()
        except BaseException:
            self.abort()
            raise

    @property
    def dropped(self) -> list[str]:
        """What of the source the output does not hold, in words."""
        tracks = self._tracks.dropped if self._tracks is not None else []
        matroska = (
            ["exact times (Matroska counts milliseconds)"] if self._out.suffix.lower() == ".mkv" else []
        )
        return [*tracks, *self.encoder.losses(self._clip), *matroska]

    def _open(self) -> None:
        form = FORMATS[self._out.suffix.lower()]
        options = {}
        if form != "matroska":
            options = {
                "movflags": MOVFLAGS,
                "video_track_timescale": str(self._clip.time_base.denominator),
                "movie_timescale": str(movie_timescale(self._clip)),
                "write_tmcd": "0",
            }
        self._container = av.open(str(self._part.path), "w", format=form, options=options)
        self._stream = open_encoder(self._container, self._clip, self.encoder)
        self._tracks = CopiedTracks(self._clip, self._container, start_s=self._start, end_s=self._end)
        try:
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise UsageError(*cannot_hold(self._container, self.encoder)) from error

    def write(self, frame: Frame, change: NDArray[np.float32] | None) -> None:
        """Encode `frame` with `change` added: (H, W, 3) float32 RGB, full range = 1; None = as it was.

        Frames must come in order of time. `frame.source` may be altered.
        """
        if frame.source is None:
            picture = self._picture_from_rgb(frame, change)
        else:
            picture = apply_change(frame.source, change, self._clip.resolved_color)
        picture = self._converter.to_format(picture, self.encoder.pix_fmt)
        if self._pending is not None:
            if frame.pts <= self._pending[1]:
                raise ValueError(f"frame at tick {frame.pts} follows one at tick {self._pending[1]}")
            self._encode_pending(frame.pts - self._pending[1])
        self._pending = picture, frame.pts

    def _picture_from_rgb(self, frame: Frame, change: NDArray[np.float32] | None) -> av.VideoFrame:
        rgb = frame.rgb
        if change is not None:
            total = np.rint(rgb + change * np.float32(65535))
            rgb = np.clip(total, 0, 65535).astype(np.uint16)
        return self._converter.from_rgb(rgb, self.encoder.pix_fmt)

    def _encode_pending(self, duration: int) -> None:
        assert self._pending is not None and self._tracks is not None
        picture, pts = self._pending
        if self._shift is None:
            self._shift = 0 if self._start is None else pts
            self._tracks.start(self._shift * self._clip.time_base)
        picture.pts, picture.time_base = pts - self._shift, self._clip.time_base
        picture.duration = duration
        picture.pict_type = 0  # else the encoder is bound to the source's I, P and B pattern
        self._times.append(pts - self._shift)
        self._last_step, self._pending = duration, None
        self._mux(picture)
        self._tracks.pull(pts * self._clip.time_base)
        self.frames_written += 1

    def _mux(self, picture: av.VideoFrame | None) -> None:
        assert self._container is not None
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise AsledError(f"{self._out} cannot be written: {reason(error)}.") from error

    def _last_duration(self) -> int:
        """Ticks that the last frame is shown: to the declared end, or as long as the one before."""
        assert self._pending is not None
        clip, pts = self._clip, self._pending[1]
        step = self._last_step or max(1, round(1 / (clip.average_rate * clip.time_base)))
        if clip.duration_s is None or self._end is not None:
            return step
        rest = int((clip.start_s + clip.duration_s) / clip.time_base) - pts
        return rest if 0 < rest <= step + LONGEST_LAST_S / clip.time_base else step

    def close(self) -> None:
        """Flush, check and publish the file. After `abort`, or a second time, this does nothing."""
        if self._container is None:
            return
        try:
            self._finish()
        except BaseException:
            self.abort()
            raise

    def _finish(self) -> None:
        assert self._container is not None and self._tracks is not None
        if self._pending is None:
            raise AsledError(f"{self._out} would hold no frames.", "Is the chosen range inside the clip?")
        self._encode_pending(self._last_duration())
        self._mux(None)
        try:
            self._tracks.pull(None)
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise AsledError(f"{self._out} cannot be written: {reason(error)}.") from error
        self._container = None
        self._tracks.close()
        self._verify()
        self._part.keep()

    def _verify(self) -> None:
        """Read the packets back: every frame time and every copied byte must be there.

        Bytes, not packets: raw sound comes back in other portions, subtitles with gaps filled.
        """
        assert self._tracks is not None
        found = dict.fromkeys(self._tracks.written, 0)
        times = []
        with av.open(str(self._part.path)) as container:
            for packet in container.demux():
                if packet.stream_index == self._stream.index:
                    if packet.size and packet.pts is not None:
                        times.append(packet.pts * packet.time_base)
                elif packet.stream_index in found:
                    found[packet.stream_index] += packet.size
        wanted = [tick * self._clip.time_base for tick in self._times]
        if not self._times_agree(sorted(times), wanted):
            self._fail(f"{len(times)} frames, expected {len(wanted)} at the source's times")
        for track, size in self._tracks.written.items():
            if found[track] < size:
                self._fail(f"{found[track]} bytes in copied track {track}, expected {size}")

    def _fail(self, found: str) -> None:
        raise AsledError(f"{self._out} was not written correctly: it has {found}.", "Is the disk full?")

    def _times_agree(self, found: list[Fraction], wanted: list[Fraction]) -> bool:
        if self._out.suffix.lower() != ".mkv":
            return found == wanted
        if len(found) != len(wanted):
            return False
        pairs = zip(found, wanted, strict=True)
        return all(abs((one - found[0]) - (two - wanted[0])) <= MATROSKA_TICK for one, two in pairs)

    def abort(self) -> None:
        """Drop everything written so far; twice, or after `close`, is harmless."""
        container, self._container, self._pending = self._container, None, None
        try:
            if container is not None:
                with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                    container.close()
            if self._tracks is not None:
                self._tracks.close()
        finally:
            self._part.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
