"""Reading of a video track as a stream of frames with exact times: whole clips, ranges or short runs.

Memory: the decoder's own frames and the current one.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.packet_times import read_ticks
from asled_cli.video.decode.track_decoder import ReadProblems, TrackDecoder
from asled_cli.video.decode.video_tracks import select_stream
from asled_cli.video.frames import Clip, Frame
from asled_cli.video.spatial.nal_units import has_layer

EARLY_END_S = Fraction(1, 2)  # seconds before the declared end; a clip that stops earlier was truncated


class ClipReader:
    """Iterator over the frames of a clip in presentation order: `with ClipReader(clip) as frames: ...`.

    start_s, end_s: half-open range on the clip's own clock, seconds. Times strictly increase.
    problems: counts of skipped and repaired frames.
    Raises InputError if the picture size changes, or if MAX_FAILURES packets in a row cannot be decoded.
    """

    def __init__(
        self, clip: Clip, *, start_s: float | Fraction | None = None, end_s: float | Fraction | None = None
    ) -> None:
        self.clip = clip
        self.problems = ReadProblems()
        self._decoder = TrackDecoder(clip, self.problems)
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
        """Return whether the declared end is more than EARLY_END_S after the last frame, at time `last`."""
        clip = self.clip
        if clip.duration_s is None or clip.index_complete or not clip.end_declared:
            return False
        return clip.start_s + clip.duration_s - last > EARLY_END_S

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Release the file. May be called twice."""
        self._frames = iter(())
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_runs(clip: Clip, starts: Sequence[Fraction], length: int) -> Iterator[list[Frame]]:
    """Yield for each start `length` consecutive frames from the first one at or after it; fewer at the end.

    starts: seconds on the clip's own clock, in any order. Frame.index counts within the run.
    Only frames from the keyframe before a start to the end of its run are decoded.
    """
    for run in read_picture_runs(clip, starts, length):
        yield [picture.frame(None) for picture in run]


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture that is converted to RGB only where it is needed. time: seconds.

    frame: converts it; of a size (width, height), reduced and without its planes, or as it is (None).
    """

    time: Fraction
    frame: Callable[[tuple[int, int] | None], Frame]


def read_picture_runs(clip: Clip, starts: Sequence[Fraction], length: int) -> Iterator[list[DecodedPicture]]:
    """Yield runs as `read_runs` does, of pictures that are not converted yet."""
    decoder = TrackDecoder(clip, ReadProblems())
    pictures: Iterator[tuple[int, av.VideoFrame]] | None = None
    at = Fraction(0)  # time of the last picture
    try:
        for start in starts:
            if pictures is None or not decoder.is_on_the_way(at, start):
                pictures = decoder.pictures_from(start)
            run: list[DecodedPicture] = []
            for pts, picture in pictures:
                at = pts * clip.time_base
                if at >= start:
                    run.append(DecodedPicture(at, partial(decoder.frame, len(run), pts, picture)))
                if len(run) == length:
                    break
            else:
                pictures = None
            yield run
    finally:
        decoder.close()


def read_pictures(
    clip: Clip,
    problems: ReadProblems | None = None,
    *,
    start_s: Fraction | None = None,
    end_s: Fraction | None = None,
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Yield time, seconds, and decoded picture of each frame in [start_s, end_s), without conversion.

    problems: receives the counts of damage.
    """
    decoder = TrackDecoder(clip, problems or ReadProblems())
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
    """Yield time, seconds, and grey thumbnail (h, w) uint8 of each frame in [start_s, end_s).

    size: (width, height) of the thumbnails, which are turned as the clip says. About as fast as decoding: no
    full picture is converted.
    """
    shrink = VideoReformatter()
    coded = size[::-1] if clip.turn % 2 else size
    for time, picture in read_pictures(clip, start_s=start_s, end_s=end_s):
        grey = shrink.reformat(picture, *coded, format="gray", interpolation=Interpolation.AREA)
        # Rows of odd width have gaps.
        yield time, np.ascontiguousarray(np.rot90(grey.to_ndarray(), clip.turn), dtype=np.uint8)


def count_second_views(clip: Clip) -> tuple[int, int]:
    """Return the frames of a spatial clip, and how many come with a second view, without decoding."""
    frames = second = 0
    with (
        open_clip(clip.path) as container,
        contextlib.suppress(av.FFmpegError),
    ):  # a truncated file ends there
        for packet in container.demux(select_stream(container, clip.path, clip.track)):
            if packet.size and not packet.is_discard:
                frames += 1
                second += has_layer(bytes(packet), 1)
    return frames, second


def frame_times(clip: Clip) -> list[Fraction]:
    """Return the sorted presentation times of all frames, seconds, from the packets without decoding."""
    with open_clip(clip.path) as container:
        stream = select_stream(container, clip.path, clip.track)
        return [tick * clip.time_base for tick in read_ticks(container, stream, clip)]
