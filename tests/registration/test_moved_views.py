"""Sums of views of an exposure: equal to views warped one by one, from any number of threads."""

import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.imaging.homography import pixel_grid
from asled_cli.imaging.parabola import descend
from asled_cli.imaging.warp import sample_at
from asled_cli.registration.blur.moved_views import Instants, add_views
from asled_cli.registration.blur.reblur import row_times
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.estimate.exposure import mean_residual
from asled_cli.registration.geometry.solver import LumaPair, refine
from asled_cli.runtime import stages

HEIGHT, WIDTH = 70, 90


@pytest.fixture(scope="module")
def image() -> NDArray[np.float32]:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    waves = [0.5 + 0.4 * np.sin(x / (4 + c) + y / 9) * np.cos(y / (5 + c)) for c in range(3)]
    return np.asarray(np.stack(waves, axis=-1), np.float32)


def tracked(image: NDArray[np.float32], known: tuple[float, ...] = (1.0, 2.0, -1.0)) -> TrackedFrame:
    x, y = pixel_grid((WIDTH, HEIGHT))
    flows = [(at, np.dstack((2 * at + x / 60, at * at - y / 70)).astype(np.float32)) for at in known]
    return TrackedFrame(0.0, image, tuple(flows))


@pytest.mark.parametrize("rolling_shutter", [0.0, 0.3])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("count", [1, 11])
def test_sums_equal_views_warped_one_by_one(
    image: NDArray[np.float32], rolling_shutter: float, colours: int, count: int
) -> None:
    picture = image if colours == 3 else np.ascontiguousarray(image[..., 0])
    frame = tracked(picture)
    dt = np.linspace(-0.6, 0.7, count)
    offsets = np.stack([np.sin(dt), 0.5 * dt], axis=1)
    weights = np.stack([np.full(count, 1 / count), dt]).astype(np.float32)
    delays = row_times(HEIGHT, None, rolling_shutter) if rolling_shutter else None
    totals = np.zeros((2, *picture.shape), np.float32)
    add_views(totals, frame, picture, Instants(dt, offsets, delays), weights)
    expected = np.zeros_like(totals)
    grid = np.dstack(pixel_grid((WIDTH, HEIGHT)))
    for at, offset, share in zip(dt.tolist(), offsets, weights.T, strict=True):
        moved = displacement(frame, at if delays is None else np.float32(at) + delays)
        assert moved is not None
        view = sample_at(picture, grid - moved - offset.astype(np.float32))
        expected += share.reshape(2, *[1] * view.ndim) * view
    np.testing.assert_allclose(totals, expected, atol=2e-4)


def test_a_frame_without_motion_is_only_displaced(image: NDArray[np.float32]) -> None:
    totals = np.zeros((1, *image.shape), np.float32)
    one = np.ones((1, 1), np.float32)
    add_views(totals, tracked(image, ()), image, Instants(np.zeros(1), np.array([[2.0, 1.0]])), one)
    np.testing.assert_allclose(totals[0, 1:, 2:], image[:-1, :-2], atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(
    image: NDArray[np.float32], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solve(count: int) -> tuple[bytes, float]:
        monkeypatch.setattr(stages, "_helpers", lambda: count)
        luma = [np.ascontiguousarray(np.roll(image[..., c], c, axis=1)) for c in range(3)]
        frames = [LumaPair(grey[10:60, 10:70], grey) for grey in luma]
        start = np.array([[1, 0, 10.4], [0, 1, 9.7], [0, 0, 1]], np.float64)
        found = refine(frames, start, 3).matrix
        return found.tobytes(), mean_residual(frames, found)

    assert solve(threads) == solve(2)


def test_threads_raise_what_the_function_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_helpers", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        stages.map_in_threads(lambda x: 1 / x, [1, 0, 2])


@pytest.mark.parametrize(("lowest", "first"), [(0, 3), (6, 3), (2, 3), (3, 3)])
def test_the_search_goes_down_to_a_minimum_with_neighbours(lowest: int, first: int) -> None:
    tried: list[float] = []

    def score(position: float) -> float:
        tried.append(position)
        return abs(position - lowest)

    positions, scores = descend(range(7), score, first)
    assert positions == sorted(set(tried)) and len(tried) == len(positions)
    assert positions[int(np.argmin(scores))] == lowest
    assert {max(lowest - 1, 0), min(lowest + 1, 6)} <= set(positions)
