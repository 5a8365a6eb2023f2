"""Frames of two clips matched by time, each source frame with its neighbours."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from asled_cli.video.preserve.checks.frame_signature import Signature

REACH = 2  # frames before and after that a frame is compared with

Timed = tuple[Fraction, Signature]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame of the source. time: seconds. around: neighbours by their distance in frames."""

    time: Fraction
    signature: Signature
    around: dict[int, Signature]


def around(frames: Iterable[Timed], reach: int = REACH) -> Iterator[SourceFrame]:
    """Yield each frame with up to `reach` neighbours on either side."""
    window: deque[Timed] = deque(maxlen=2 * reach + 1)
    for item in frames:
        window.append(item)
        if len(window) > reach:
            place = len(window) - 1 - reach
            yield _source_frame(window, place)
    for place in range(max(0, len(window) - reach), len(window)):
        yield _source_frame(window, place)


def _source_frame(window: "deque[Timed]", place: int) -> SourceFrame:
    time, signature = window[place]
    around = {n - place: other for n, (_, other) in enumerate(window) if n != place}
    return SourceFrame(time, signature, {k: v for k, v in around.items() if abs(k) <= REACH})


def pair_by_time(
    sources: Iterable[SourceFrame], written: Iterable[Timed], shift: Fraction
) -> Iterator[tuple[int, SourceFrame | None, Signature]]:
    """Yield number, nearest source frame (None without one) and signature of each written frame.

    shift: seconds added to the time of a written frame.
    """
    waiting = iter(sources)
    this, following = next(waiting, None), next(waiting, None)
    for index, (time, signature) in enumerate(written):
        time += shift
        while this is not None and following is not None:
            if abs(following.time - time) > abs(this.time - time):
                break
            this, following = following, next(waiting, None)
        yield index, this, signature
