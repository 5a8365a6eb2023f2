"""Frames -> segments in a folder: the change is added, the picture converted and encoded."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import AsledError
from asled_cli.runtime.atomic_file import cannot_write
from asled_cli.video.decode.pixel_format import Converter
from asled_cli.video.encode.encoder import Encoder
from asled_cli.video.encode.segments import Segment, SegmentEncoder
from asled_cli.video.encode.yuv import apply_change, spread_change
from asled_cli.video.frames import Clip, Frame


class SegmentWriter:
    """Writer of frames of `source` as segments of `length` frames to `folder`.

    headers: of the movie that the segments are for. out: the movie, for messages. done: the segments before.
    first: number of the first segment. names: of the files, by number.
    Memory: one frame, besides the encoder's own. Raises AsledError if writing fails.
    """

    def __init__(
        self,
        source: Clip,
        encoder: Encoder,
        folder: Path,
        *,
        headers: bytes,
        length: int,
        out: Path,
        done: Sequence[Segment] = (),
        first: int = 0,
        names: str = "{:06d}.packets",
    ) -> None:
        self.segments = list(done)
        self.encoder = encoder
        self.headers = headers
        self._clip, self._folder, self._length, self._out = source, folder, length, out
        self._first, self._names = first, names
        self._converter = Converter(source.resolved_color)
        self._pending: tuple[av.VideoFrame, int] | None = None  # waits for the next frame's time
        self._run: SegmentEncoder | None = None
        self.last_step = done[-1].end - done[-1].ticks[-1] if done else None  # ticks

    @property
    def frames(self) -> int:
        """Number of frames in all segments, including the current one."""
        running = 0 if self._run is None else self._run.frames
        return sum(len(segment.ticks) for segment in self.segments) + running

    @property
    def last_tick(self) -> int | None:
        """Time of the frame that waits for its end; None without one."""
        return None if self._pending is None else self._pending[1]

    def write(self, frame: Frame, change: NDArray[np.float32] | None) -> Segment | None:
        """Encode `frame` with `change` added. Return the segment that ended before this frame, if any.

        change: (H, W, 3) float32 RGB, full range = 1; None: no change. A change of the clip's box fades out
        at its edges. Frames must come in order of time. `frame.source` may be modified.
        """
        if frame.source is None:
            picture = self._picture_from_rgb(frame, change)
        else:
            if change is not None and self._clip.box is not None:
                change = spread_change(change, self._clip.box, (self._clip.width, self._clip.height))
            picture = apply_change(frame.source, change, self._clip.resolved_color)
        picture = self._converter.to_format(picture, self.encoder.pix_fmt)
        if self._pending is not None and frame.pts <= self._pending[1]:
            raise ValueError(f"frame at tick {frame.pts} follows one at tick {self._pending[1]}")
        finished = None if self._pending is None else self._encode_pending(frame.pts)
        self._pending = picture, frame.pts
        return finished

    def _picture_from_rgb(self, frame: Frame, change: NDArray[np.float32] | None) -> av.VideoFrame:
        rgb = frame.rgb
        if change is not None:
            total = np.rint(rgb + change * np.float32(65535))
            rgb = np.clip(total, 0, 65535).astype(np.uint16)
        return self._converter.from_rgb(rgb, self.encoder.pix_fmt)

    def _encode_pending(self, end: int) -> Segment | None:
        assert self._pending is not None
        picture, pts = self._pending
        self.last_step, self._pending = end - pts, None
        picture.pts, picture.time_base, picture.duration = pts, self._clip.time_base, end - pts
        picture.pict_type = 0  # otherwise the encoder repeats the source's pattern of I, P and B frames
        with self.explained():
            if self._run is None:
                self._run = self._begin_segment()
            self._run.encode(picture)
            return self._end_segment() if self._run.frames == self._length else None

    def _begin_segment(self) -> SegmentEncoder:
        path = self._folder / self._names.format(self._first + len(self.segments))
        run = SegmentEncoder(self._clip, self.encoder, path)
        if run.headers != self.headers:
            run.close()
            raise AsledError(
                f"{self.encoder.name} writes other headers for each segment, so they cannot be joined.",
                "Choose another --codec.",
            )
        return run

    def _end_segment(self) -> Segment:
        assert self._run is not None
        segment = self._run.finish()
        self.segments.append(segment)
        self._run = None
        return segment

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise an AsledError that names the movie for what the encoder or the disk raises."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise cannot_write(self._out, error) from error

    def flush(self, end: int | None) -> Segment | None:
        """End the last segment after the last frame, which ends at tick `end`; return it, if there is one."""
        if self._pending is not None and end is not None:
            finished = self._encode_pending(end)
            if finished is not None:
                return finished
        with self.explained():
            return None if self._run is None else self._end_segment()

    def close(self) -> None:
        """Give up what is not finished; twice is harmless."""
        self._pending = None
        run, self._run = self._run, None
        if run is not None:
            run.close()
