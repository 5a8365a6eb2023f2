"""Of how many video frames a blend is: from frames whose instants are known."""

import cv2
import numpy as np
import pytest
from factories.panned_clip import make_panned_clip
from numpy.typing import NDArray
from scipy import ndimage

from asled_cli.deconvolution.blended.blend_count import (
    COUNTS,
    find_blend,
    jump_ratio,
    lag_correlations,
    likely_count,
)
from asled_cli.deconvolution.scene.evidence import coded_luma


def blends(count: int, frames: int = 16) -> list[NDArray[np.float32]]:
    """Return means of `count` pictures, each of which differs from the one before in its own way."""
    rng = np.random.default_rng(count)
    steps = rng.normal(0, 1, (frames + count - 1, 96, 128))
    instants = ndimage.gaussian_filter(steps, (0, 3, 3)).cumsum(0)
    return [instants[t : t + count].mean(0).astype(np.float32) for t in range(frames)]


@pytest.mark.parametrize("count", COUNTS)
def test_correlations_end_at_as_many_frames(count: int) -> None:
    found = lag_correlations([blends(count)])
    np.testing.assert_allclose(found, np.maximum(1 - np.arange(len(found)) / count, 0), atol=0.2)
    found_count, bend = likely_count(found)
    assert found_count == count and bend > 0.5


def test_correlations_against_a_loop() -> None:
    runs = [blends(3, 7), blends(5, 6)]
    found = lag_correlations(runs)
    assert len(found) == 5
    soft = [[cv2.GaussianBlur(frame, (0, 0), 2.0)[::2, ::2] for frame in run] for run in runs]
    for lag in range(1, 5):
        products, first, second = 0.0, 0.0, 0.0
        for run in soft:
            for t in range(len(run) - 1 - lag):
                a, b = run[t + 1] - run[t], run[t + lag + 1] - run[t + lag]
                moved = np.abs(a) + np.abs(b) > 0.01
                products += float((a * b)[moved].sum())
                first, second = first + float((a * a)[moved].sum()), second + float((b * b)[moved].sum())
        assert found[lag] == pytest.approx(products / np.sqrt(first * second), abs=1e-5)


@pytest.mark.parametrize("period", [6, 8, 10, 12, 14, 18])
def test_a_swinging_camera_blends_nothing(period: int) -> None:
    lags = np.arange(11)
    assert likely_count(np.cos(2 * np.pi * lags / period)) == (0, 0.0)
    for memory in (5, 6, 8):
        count, bend = likely_count(np.cos(2 * np.pi * lags / period) * np.exp(-lags / memory))
        assert count <= 3 or bend < 0.8  # else no other proof is asked for


@pytest.mark.parametrize("memory", [1, 2, 3, 5, 9])
def test_a_curve_that_bends_everywhere_is_of_no_blend(memory: int) -> None:
    lags = np.arange(11)
    assert likely_count(np.exp(-lags / memory)) == (0, 0.0)
    assert likely_count(1 / (1 + (lags / memory) ** 2)) == (0, 0.0)


def test_a_steep_line_that_bends_clearly_is_of_a_blend() -> None:
    """The means of nine frames of a fast camera: the instants' own differences are unlike soon."""
    line = np.array([1, 0.72, 0.53, 0.36, 0.22, 0.08, -0.06, -0.2, -0.33, -0.46, -0.4])
    count, bend = likely_count(line)
    assert count == 9 and bend > 1


def test_what_hardly_moves_or_is_short_tells_nothing() -> None:
    still = [np.full((64, 64), 0.5, np.float32)] * 14
    assert len(lag_correlations([still])) == 1
    assert find_blend([still]).exposure == 0.0
    assert find_blend([blends(3, 4)]).exposure == 0.0
    assert find_blend([]).exposure == 0.0


def test_a_wrong_count_makes_instants_jump() -> None:
    """Frames that are sharp already, taken for means of three, and means of three."""
    size = (160, 96)
    blended, sharp = (
        [coded_luma(f) for f in make_panned_clip(count=count, frames=8, size=size).wide] for count in (3, 1)
    )
    (right, trust), (wrong, _) = jump_ratio(blended, 3), jump_ratio(sharp, 3)
    assert right < 1.1 < 1.3 < wrong and trust > 0.5
