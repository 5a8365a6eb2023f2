import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from factories.clips import phone_ticks

from asled_cli.video.decode.pairing import (
    NEAR_ENOUGH,
    match_pictures,
    pair_frames,
    pair_lists,
    pair_pictures,
    pair_times,
)
from asled_cli.video.decode.reader import DecodedPicture
from asled_cli.video.frames import Frame

PIXEL = np.zeros((1, 1, 3), np.uint16)


def frames(times: list[Fraction]) -> list[Frame]:
    return [Frame(index, int(time * 600), time, PIXEL, None) for index, time in enumerate(times)]


def seconds(ticks: list[int]) -> list[Fraction]:
    return [Fraction(tick, 600) for tick in ticks]


def random_times(rng: np.random.Generator, count: int) -> list[Fraction]:
    """A clip at 24, 30 or 60 frames per second with jitter and frames missing."""
    step = int(rng.choice([25, 20, 10]))
    ticks = np.cumsum(step + rng.integers(-1, 2, count))
    return seconds(sorted(rng.choice(ticks, size=count - count // 10, replace=False).tolist()))


def smallest_gap(times: list[Fraction], index: int) -> Fraction | None:
    gaps = [b - a for a, b in itertools.pairwise(times)]
    around = gaps[max(0, index - 1) : index + 1]
    return min(around) if around else None


def by_brute_force(targets: list[Fraction], references: list[Fraction], offset: Fraction) -> list[int | None]:
    shifted = [time + offset for time in references]
    found: list[int | None] = []
    for index, time in enumerate(targets):
        near = min(range(len(shifted)), key=lambda other: (abs(shifted[other] - time), other), default=None)
        if near is not None:
            gaps = [smallest_gap(targets, index), smallest_gap(shifted, near)]
            widest = max((gap for gap in gaps if gap is not None), default=None)
            if widest is not None and abs(shifted[near] - time) > NEAR_ENOUGH * widest:
                near = None
        found.append(near)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_pairs_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, references = random_times(rng, 40), random_times(rng, 40)
    offset = Fraction(float(rng.uniform(-0.5, 0.5)))
    expected = by_brute_force(targets, references, offset)
    assert pair_times(targets, references, offset) == expected
    pairs = pair_lists(frames(targets), frames(references), offset)
    assert [pair.target.time for pair in pairs] == targets
    assert [pair.reference and pair.reference.index for pair in pairs] == expected
    for pair in pairs:
        lag = pair.reference.time + offset - pair.target.time if pair.reference else 0
        assert pair.lag_s == float(lag)


def test_sign_of_the_offset() -> None:
    """The reference started 0.1 s later: its clock shows 0 when the target's shows 0.1."""
    targets = seconds([0, 20, 40, 60, 80, 100])
    references = seconds([0, 20, 40])
    assert pair_times(targets, references, Fraction(1, 10)) == [None, None, None, 0, 1, 2]


def test_one_reference_serves_two_targets_and_the_other_way() -> None:
    fast, slow = seconds(list(range(0, 120, 10))), seconds(list(range(0, 120, 20)))
    assert pair_times(fast, slow, 0) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert pair_times(slow, fast, 0) == [0, 2, 4, 6, 8, 10]


def test_dropped_frame_leaves_its_partner_alone() -> None:
    steady = seconds(list(range(0, 200, 20)))
    holed = [time for time in steady if time != Fraction(100, 600)]
    assert pair_times(steady, holed, 0).count(None) == 1
    assert None not in pair_times(holed, steady, 0)


def test_jitter_of_phones_loses_no_pair() -> None:
    targets, references = seconds(phone_ticks(200, 1)), seconds(phone_ticks(200, 2))
    lost = [index for index, found in enumerate(pair_times(targets, references, 0)) if found is None]
    assert len(lost) <= 3  # the dropped frames and the ends


def test_empty_and_single_streams() -> None:
    one = frames([Fraction(0)])
    assert pair_lists([], one, 0) == []
    assert pair_lists(one, [], 0)[0].reference is None
    assert pair_lists(one, one, 0)[0].reference is one[0]


def test_little_is_held_and_read_ahead() -> None:
    read: list[int] = []

    def source(name: int, count: int) -> Iterator[Frame]:
        for frame in frames(seconds([20 * index for index in range(count)])):
            read.append(name)
            yield frame

    pairs = pair_frames(source(0, 50), source(1, 50), 0)
    for count, _ in enumerate(pairs, 1):
        if count < 40:
            assert read.count(0) <= count + 1 and read.count(1) <= count + 2


def test_pairs_of_pictures_are_those_of_frames_and_convert_no_others() -> None:
    rng = np.random.default_rng(3)
    for offset in (Fraction(0), Fraction(1, 90), Fraction(-1, 7)):
        targets, references = frames(random_times(rng, 20)), frames(random_times(rng, 30))
        converted: list[Frame] = []

        def picture(frame: Frame, converted: list[Frame] = converted) -> DecodedPicture:
            return DecodedPicture(frame.time, lambda size: converted.append(frame) or frame)

        expected = pair_lists(targets, references, offset)
        one, other = [picture(f) for f in targets], [picture(f) for f in references]
        assert [pair.frames() for pair in match_pictures(one, other, offset)] == expected
        converted.clear()
        assert list(pair_pictures(one, other, offset)) == expected
        used = {id(pair.reference) for pair in expected if pair.reference is not None}
        assert len(converted) == len(targets) + len(used)
