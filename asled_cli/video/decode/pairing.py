"""Pairs of target and reference frames that were taken at the same time.

A clock may be given as a number, which is an offset in seconds: reference time r is target time r + offset.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Generic, TypeVar

from asled_cli.video.clock import Clock, as_clock
from asled_cli.video.decode.reader import DecodedPicture
from asled_cli.video.frames import Frame, FramePair

Target = TypeVar("Target")
Reference = TypeVar("Reference")
Item = TypeVar("Item")
Sizes = tuple[tuple[int, int] | None, tuple[int, int] | None]

# Largest time difference of a pair, frame intervals. Constant rates need 1/2; the rest allows for jitter of
# phone time stamps (steps of 19 to 25 ticks instead of 20).
NEAR_ENOUGH = Fraction(5, 8)


def pair_frames(
    target: Iterable[Frame], reference: Iterable[Frame], offset: Clock | float | Fraction
) -> Iterator[FramePair]:
    """Yield one pair per target frame, in order, with the reference frame nearest in time.

    The reference is None if it is farther away than NEAR_ENOUGH of the local frame interval of the slower
    clip. A reference may belong to several pairs. Both inputs must increase in time.
    Memory: two target and three reference frames.
    """
    clock = as_clock(offset)
    for frame, found, lag in _match(
        ((frame.time, frame) for frame in target),
        ((clock.to_target(frame.time), frame) for frame in reference),
    ):
        yield FramePair(frame, found, float(lag))


def pair_lists(
    targets: Sequence[Frame], references: Sequence[Frame], offset: Clock | float | Fraction
) -> list[FramePair]:
    """Return the pairs of two short sequences of frames; see `pair_frames`."""
    return list(pair_frames(targets, references, offset))


@dataclass(frozen=True, slots=True)
class PicturePair:
    """A pair of pictures that are not converted yet. lag_s: of the reference after the target, seconds."""

    target: DecodedPicture
    reference: DecodedPicture | None
    lag_s: float

    def frames(self, sizes: Sizes = (None, None)) -> FramePair:
        """Return the pair, converted; may be called by several threads at once.

        sizes: (width, height) of target and reference, each as of `DecodedPicture`.
        """
        reference = None if self.reference is None else self.reference.frame(sizes[1])
        return FramePair(self.target.frame(sizes[0]), reference, self.lag_s)


def match_pictures(
    targets: Sequence[DecodedPicture],
    references: Sequence[DecodedPicture],
    offset: Clock | float | Fraction,
) -> list[PicturePair]:
    """Return the pairs of `pair_lists`, of pictures that are not converted yet."""
    clock = as_clock(offset)
    shifted = ((clock.to_target(picture.time), picture) for picture in references)
    matched = _match(((picture.time, picture) for picture in targets), shifted)
    return [PicturePair(target, found, float(lag)) for target, found, lag in matched]


def pair_pictures(
    targets: Sequence[DecodedPicture],
    references: Sequence[DecodedPicture],
    offset: Clock | float | Fraction,
    sizes: Sizes = (None, None),
) -> Iterator[FramePair]:
    """Yield the pairs of `pair_lists`, one by one; pictures that belong to none are not converted.

    sizes: (width, height) of targets and references, each as of `DecodedPicture`.
    """
    last: tuple[DecodedPicture, Frame] | None = None
    for pair in match_pictures(targets, references, offset):
        found = pair.reference
        if found is not None and (last is None or last[0] is not found):
            last = found, found.frame(sizes[1])
        reference = None if found is None or last is None else last[1]
        yield FramePair(pair.target.frame(sizes[0]), reference, pair.lag_s)


def pair_times(
    targets: Sequence[Fraction], references: Sequence[Fraction], offset: Clock | float | Fraction
) -> list[int | None]:
    """Return for each target time the index of its reference time, None if none is near enough; seconds."""
    clock = as_clock(offset)
    shifted = ((clock.to_target(time), index) for index, time in enumerate(references))
    return [found for _, found, _ in _match(((time, None) for time in targets), shifted)]


def _match(
    targets: Iterable[tuple[Fraction, Target]], references: Iterable[tuple[Fraction, Reference]]
) -> Iterator[tuple[Target, Reference | None, Fraction]]:
    """Yield (target, nearest reference or None, lag in seconds) on one clock; of two the earlier one."""
    window = _Window(references)
    for before, (time, target), after in _with_neighbours(targets):
        window.move_to(time)
        if window.current is None:
            yield target, None, Fraction(0)
            continue
        lag = window.current[0] - time
        intervals = [gap for gap in (_smaller(before, after), window.interval()) if gap is not None]
        near = not intervals or abs(lag) <= NEAR_ENOUGH * max(intervals)
        yield (target, window.current[1], lag) if near else (target, None, Fraction(0))


def _smaller(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    """Return the smaller known gap: next to a dropped frame the larger one is no frame interval."""
    known = [gap for gap in (one, other) if gap is not None]
    return min(known) if known else None


def _with_neighbours(
    stream: Iterable[tuple[Fraction, Item]],
) -> Iterator[tuple[Fraction | None, tuple[Fraction, Item], Fraction | None]]:
    """Yield (gap before, item, gap after), gaps in seconds, None at the ends."""
    before: Fraction | None = None
    held: tuple[Fraction, Item] | None = None
    for item in chain(stream, [None]):
        gap = item[0] - held[0] if item is not None and held is not None else None
        if held is not None:
            yield before, held, gap
        before, held = gap, item


class _Window(Generic[Item]):
    """Three neighbouring reference items; the middle one is nearest to the requested time."""

    def __init__(self, stream: Iterable[tuple[Fraction, Item]]) -> None:
        self._stream = iter(stream)
        self._previous: Fraction | None = None
        self.current = next(self._stream, None)
        self._next = next(self._stream, None)

    def move_to(self, time: Fraction) -> None:
        while self.current and self._next and abs(self._next[0] - time) < abs(self.current[0] - time):
            self._previous, self.current = self.current[0], self._next
            self._next = next(self._stream, None)

    def interval(self) -> Fraction | None:
        assert self.current is not None
        before = self.current[0] - self._previous if self._previous is not None else None
        after = self._next[0] - self.current[0] if self._next is not None else None
        return _smaller(before, after)
