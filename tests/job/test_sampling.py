"""Which times the analysis sensors at."""

from fractions import Fraction
from itertools import pairwise

from asled_cli.job.sampling import RUN_LENGTH, RUNS, SAMPLE_BYTES, run_starts

FRAME = Fraction(1, 30)
SMALL = 10_000  # bytes of a pair


def test_a_short_clip_is_looked_at_whole() -> None:
    starts, length = run_starts(Fraction(1), Fraction(2), FRAME, SMALL)
    assert starts == [1]
    assert length >= 30


def test_runs_spread_over_a_long_clip() -> None:
    starts, length = run_starts(Fraction(0), Fraction(600), FRAME, SMALL)
    assert (len(starts), length) == (RUNS, RUN_LENGTH)
    assert starts[0] == 0
    assert 599 < starts[-1] + length * FRAME <= 600
    gaps = {later - earlier for earlier, later in pairwise(starts)}
    assert len(gaps) == 1


def test_a_short_clip_of_large_frames_is_looked_at_in_runs() -> None:
    pair_bytes = SAMPLE_BYTES // (2 * RUN_LENGTH)
    starts, length = run_starts(Fraction(0), Fraction(50, 30), FRAME, pair_bytes)
    assert (len(starts), length) == (4, RUN_LENGTH)
    starts, length = run_starts(Fraction(0), Fraction(14, 30), FRAME, 10 * SAMPLE_BYTES)
    assert (len(starts), length) == (1, RUN_LENGTH)
