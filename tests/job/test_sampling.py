"""Which times the analysis looks at."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip, phone_ticks

from asled_cli.job.sampling import (
    RUN_LENGTH,
    RUNS,
    SAMPLE_BYTES,
    pairs_at,
    read_sampled_runs,
    run_starts,
)
from asled_cli.sync.lens_order import moment_times, sample_pairs
from asled_cli.video.clock import Clock
from asled_cli.video.decode.probe import probe_clip

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


@pytest.mark.parametrize("offset_s", [Fraction(0), Fraction(1, 7)])
def test_pairs_read_for_the_analysis_are_those_that_sharpness_would_read(
    tmp_path: Path, offset_s: Fraction
) -> None:
    wide, ultra = (
        probe_clip(make_clip(tmp_path / f"{name}.mov", ticks=phone_ticks(20, seed=seed)))
        for seed, name in enumerate(("wide", "ultra"))
    )
    clock = Clock(offset_s)
    runs = [run for *_, run in read_sampled_runs(wide, ultra, clock, wide.start_s, None)]
    times = moment_times(wide, ultra, clock, 6)
    found, read = pairs_at(times, runs), list(sample_pairs(wide, ultra, clock, 6))
    assert found is not None and len(found) == len(read) == 6
    for one, other in zip(found, read, strict=True):
        assert (one.target.time, one.lag_s) == (other.target.time, other.lag_s)
        assert np.array_equal(one.target.rgb, other.target.rgb)
        assert one.reference is not None and other.reference is not None
        assert np.array_equal(one.reference.rgb, other.reference.rgb)
    assert pairs_at(times, [run[:10] for run in runs]) is None
    assert pairs_at(times, [run[10:] for run in runs]) is None


def test_runs_share_no_frame_where_the_file_declares_a_wrong_rate(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "clip.mp4", ticks=phone_ticks(30)))
    wrong = replace(clip, average_rate=Fraction(240))
    runs = [run for *_, run in read_sampled_runs(wrong, wrong, Clock(Fraction(0)), clip.start_s, None)]
    times = [pair.target.time for run in runs for pair in run]
    assert len(runs) > 1
    assert all(later > earlier for earlier, later in pairwise(times))
