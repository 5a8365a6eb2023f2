"""Writing of frames to a file with the source's times, colours, rotation, sound and metadata."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import AsledError
from asled_cli.runtime.atomic_file import private_folder, publish
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.concat import Movie, join, rehearse
from asled_cli.video.encode.encoder import SECOND_VIEW, EncodeConfig, choose_encoder
from asled_cli.video.encode.remux import Copy, copy_clip
from asled_cli.video.encode.segment_writer import SegmentWriter
from asled_cli.video.encode.segments import Segment
from asled_cli.video.frames import Clip, Frame
from asled_cli.video.output_file import check_output
from asled_cli.video.preserve.inventory import take_inventory
from asled_cli.video.preserve.movie_boxes import graft_boxes
from asled_cli.video.preserve.verify import Check, verify

__all__ = ["ClipWriter", "EncodeConfig", "check_output", "segment_length"]

# Seconds of a segment, the most that an interruption loses. Each segment begins with a keyframe: this costs
# 0.3 % of the file (352 frames, 848x480, x264; 1.0 % at two seconds).
SEGMENT_S = 4
MIN_SEGMENT = 48  # frames; chosen
MAX_SEGMENT = 240  # frames; chosen

log = logging.getLogger(__name__)


def segment_length(source: Clip) -> int:
    """Return the number of frames of a segment, which is even.

    In H.264 the one-bit idr_pic_id of consecutive keyframes must differ.
    """
    frames = 2 * round(SEGMENT_S * float(source.average_rate) / 2)
    return min(max(frames, MIN_SEGMENT), MAX_SEGMENT)


class ClipWriter:
    """Writer of frames of `source` to `out`: `with ClipWriter(...) as writer: writer.write(frame, change)`.

    Frames are encoded in segments, which are joined at the end. Encoder and file format are tested at once,
    so that wrong options are reported before any work. Leaving the block normally joins, checks and publishes
    the file. After an exception or `abort`, no existing file was changed.

    start_s, end_s: range on the source's clock, seconds; the output then begins at 0. Without a range the
    times equal the source's.
    folder: for the segments, always kept; None: a private folder next to `out`, always removed.
    done: finished segments in `folder`; writing continues after them. segment: frames per segment.
    strict: a copy of the source may not differ from it in any check.
    part_of_two: `source` is a view of a spatial clip, and its result is joined with the other view later. Of
    an unchanged view nothing is written.
    keep_views: whether a copy may hold both views of a spatial clip.
    approve: called with the finished file; returns whether an existing `out` may be replaced.
    name: begins the names of the files in `folder`, where another writer uses it too.
    Memory: one frame, besides the encoder's own.
    Raises UsageError for an invalid output or encoder, AsledError if writing fails.
    """

    def __init__(
        self,
        source: Clip,
        out: Path,
        config: EncodeConfig | None = None,
        *,
        start_s: float | Fraction | None = None,
        end_s: float | Fraction | None = None,
        folder: Path | None = None,
        done: Sequence[Segment] = (),
        segment: int | None = None,
        strict: bool = False,
        approve: Callable[[Path], bool] | None = None,
        part_of_two: bool = False,
        keep_views: bool = True,
        name: str = "",
    ) -> None:
        config = config or EncodeConfig()
        check_output(out, [source.path], config.overwrite or folder is not None)
        self.encoder = choose_encoder(source, config)
        self.differences: list[Check] = []  # checks of the finished file that differ
        self._clip, self._out = source, out
        self._copy: Copy | None = None
        # Without a range and encoding options, the source's own packets may be copied.
        one_view = source.views > 1 and not keep_views  # a copy would hold both
        self._may_copy = config.asks_nothing and start_s is None and end_s is None and not one_view
        self._start = None if start_s is None else Fraction(start_s)
        self._end = None if end_s is None else Fraction(end_s)
        headers, self._dropped = rehearse(out.suffix, source, self.encoder, self._start, self._end)
        self._closed = False
        self._strict = strict
        self._part_of_two, self._unwritten = part_of_two, False
        self._approve = approve or (lambda finished: config.overwrite)
        self._keep_folder = folder is not None
        self._name = name
        self._folder = folder or private_folder(out)
        length = segment or segment_length(source)
        self.pieces = SegmentWriter(
            source, self.encoder, self._folder, headers=headers, length=length, out=out, done=done,
            names=f"{name}{{:06d}}.packets",
        )  # fmt: skip

    @property
    def segments(self) -> list[Segment]:
        """The finished segments, in order."""
        return self.pieces.segments

    @property
    def frames_written(self) -> int:
        """Number of frames in all segments, including the current one."""
        return self.pieces.frames

    @property
    def dropped(self) -> list[str]:
        """Names of the source's tracks and properties that the output does not keep."""
        matroska = self._out.suffix.lower() == ".mkv"
        if self._copy is None:
            lost = [*self._dropped, *self.encoder.losses(self._clip)]
        else:
            lost = list(self._copy.dropped)
            matroska &= self._clip.path.suffix.lower() != ".mkv"
        times = ["exact times (Matroska counts milliseconds)"] if matroska else []
        return [name for name in (*lost, *times) if not (self._part_of_two and name == SECOND_VIEW)]

    def copy_source(self, *, instead: bool = False) -> int | None:
        """Copy the source to the output without encoding. Return the number of frames.

        instead: of the segments that were written, none of which changed anything.
        Return None if this is impossible or options request another encoding; then write the frames.
        """
        if self._part_of_two and self._start is None and self._end is None:
            self._unwritten = True
            return len(take_inventory(self._clip.path, self._clip.track).ticks)
        if not self._may_copy or (self.segments and not instead):
            return None
        with self.pieces.explained():
            copy = copy_clip(self._clip, self._new_file())
        if copy is None or (self._strict and copy.differences):
            return None
        self._copy, self.differences = copy, list(copy.differences)
        return copy.frames

    def write(self, frame: Frame, change: NDArray[np.float32] | None) -> Segment | None:
        """Encode `frame` with `change` added, as `SegmentWriter.write`."""
        return self.pieces.write(frame, change)

    def flush(self) -> Segment | None:
        """End the last segment after the last frame. Return it, None without one."""
        last = self.pieces.last_tick
        return self.pieces.flush(None if last is None else self.end_after(last, self.pieces.last_step))

    def end_after(self, pts: int, step: int | None) -> int:
        """Return when the last frame of the movie ends, ticks: at the declared end, or as the one before.

        step: from the frame before to this one, ticks; None if there is none.
        """
        clip = self._clip
        step = step or max(1, round(1 / (clip.average_rate * clip.time_base)))
        if self._end is not None:
            return pts + step
        base = clip.time_base
        return pts + max(1, round(clip.last_duration(pts * base, step * base) / base))

    def close(self) -> None:
        """Flush, join, check and publish the file. Does nothing after `abort` or a second time."""
        if self._closed:
            return
        try:
            self.flush()
            self._publish()
        finally:
            self.abort()

    def _publish(self) -> None:
        if self._unwritten:
            return
        if self._copy is None:
            self._join()
        replace = self._approve(self._finished)
        try:
            with self.pieces.explained():
                publish(self._finished, self._out, replace)
        except AsledError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            self._keep_folder = True  # the finished clip must not be lost
            raise AsledError(
                f"{self._out} appeared while the job ran, and is left as it is.",
                f"The finished clip is {self._finished}. Move the other file away, "
                "or replace it with --overwrite.",
            ) from error

    def _join(self) -> None:
        if not self.segments:
            raise AsledError(f"{self._out} would hold no frames.", "Is the chosen range inside the clip?")
        with self.pieces.explained():
            joined = self._new_file()
        movie = Movie(joined, self._clip, self.encoder, self._start, self._end)
        try:
            join(movie, self._folder, self.segments, self._shift, self._out)
        finally:
            movie.close()
        self._dropped = movie.dropped
        self._complete(joined)

    def _complete(self, joined: Path) -> None:
        """Add to the joined movie what no muxer writes, and check it."""
        with self.pieces.explained():
            graft_boxes(self._clip, joined)
        self._check(joined)

    @property
    def _finished(self) -> Path:
        return self._folder / f"{self._name}joined{self._out.suffix.lower()}"

    def _new_file(self) -> Path:
        """Create a private empty file for the finished movie and return its path.

        A file of an earlier run is not reused: it may be a hard link of the output.
        """
        self._finished.unlink(missing_ok=True)
        os.close(os.open(self._finished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return self._finished

    @property
    def _shift(self) -> int:
        return 0 if self._start is None else self.segments[0].ticks[0]

    def _check(self, joined: Path) -> None:
        """Compare the file with the source and store the checks that differ. The file is kept in any case.

        Raises InputError if the file cannot be opened.
        """
        times = [tick * self._clip.time_base for segment in self.segments for tick in segment.ticks]
        try:
            checks = verify(
                self._clip.path,
                joined,
                track=self._clip.track,
                start_s=self._start,
                end_s=self._end,
                times=times,
                views=not self._part_of_two,
            )
        except AsledError as error:  # the source may have been removed, which is no fault of the file
            probe_clip(joined)
            checks = [Check("check against the source", "possible", error.message, same=False)]
        self.differences = [check for check in checks if not check.same]
        for check in self.differences:
            if check.vital:
                log.warning(
                    "%s differs from what was to be written: %s: %s, expected %s",
                    *(self._out, check.name, check.found, check.expected),
                )

    def abort(self) -> None:
        """Stop and remove the private folder. May be called twice or after `close`."""
        self._closed = True
        self.pieces.close()
        if not self._keep_folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
