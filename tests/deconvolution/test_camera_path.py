"""Paths from poses that are means over exposures; maps between blurred frames."""

from itertools import pairwise

import numpy as np
import pytest
from factories.shaken_clip import make_shaken_clip, shift_at

from asled_cli.deconvolution.align_neighbours import align, align_alike, find_map
from asled_cli.deconvolution.camera_path import apply_to_points, chain, fit_path
from asled_cli.deconvolution.light import work_luma

_SIZE = (256, 160)


@pytest.mark.parametrize("exposure", [0.0, 0.5, 0.9])
def test_path_of_a_shake_is_known_to_a_tenth_of_a_pixel(exposure: float) -> None:
    spread = (np.linspace(-0.5, 0.5, 41) if exposure else np.zeros(1)) * exposure
    poses = []
    for t in range(11):
        pose = np.eye(3)
        pose[:2, 2] = np.mean([shift_at(t + u, 9.0, 2.0) for u in spread], 0)
        poses.append(pose)
    path = fit_path(poses, 0, 5, exposure, _SIZE)
    for time in np.arange(3.0, 7.1, 0.25):
        expected = shift_at(time, 9.0, 2.0) - shift_at(5.0, 9.0, 2.0)
        assert np.abs(path.pose(time)[:2, 2] - expected).max() < 0.1


@pytest.mark.parametrize("exposure", [3.0, 7.0])
def test_path_of_long_exposures_is_held_at_its_ends(exposure: float) -> None:
    path = fit_path([np.eye(3)] * 5, 0, 2, exposure, _SIZE)
    for time in np.linspace(-exposure / 2, 4 + exposure / 2, 9):
        np.testing.assert_allclose(path.pose(time), np.eye(3), atol=5e-4)


@pytest.mark.parametrize("exposure", [0.0, 0.8])
def test_precision_is_that_of_the_fit(exposure: float) -> None:
    """Knots scatter about the fit as poses with their usual error let them, where poses hold them."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        poses = []
        for error in rng.normal(0, 0.1, (9, 2)):
            pose = np.eye(3)
            pose[:2, 2] = error
            poses.append(pose)
        path = fit_path(poses, 0, 4, exposure, _SIZE)
        found.append(path.knots[:, 0, 0])
    covariance = np.linalg.inv(path.knot_precision(exposure))
    middle = len(covariance) // 2
    # The prior's share of the uncertainty does not show as scatter.
    assert 0.8 < np.std(found, 0)[middle] / np.sqrt(covariance[middle, middle]) <= 1.05
    assert covariance[0, 0] > 100 * covariance[middle, middle]


def test_chain_leads_every_frame_home() -> None:
    maps = [np.array([[1, 0.01 * k, k], [0, 1, -2.0], [0, 0, 1]]) for k in range(4)]
    poses = chain(maps, 2)
    np.testing.assert_allclose(poses[2], np.eye(3))
    np.testing.assert_allclose(poses[0], maps[1] @ maps[0])
    np.testing.assert_allclose(poses[4] @ maps[3] @ maps[2], np.eye(3), atol=1e-12)


def _errors(found: list[np.ndarray], expected: np.ndarray) -> np.ndarray:
    points = np.array([[64.0, 40.0], [192.0, 120.0]])
    return np.array(
        [
            np.abs(apply_to_points(f, points) - apply_to_points(e, points)).max()
            for f, e in zip(found, expected, strict=True)
        ]
    )


def test_maps_between_blurred_frames_are_known_to_a_fifth_of_a_pixel() -> None:
    clip = make_shaken_clip(frames=9)
    frames = [work_luma(frame) for frame in clip.wide]
    maps = [align(a, b) for a, b in pairwise(frames)]
    first = _errors(maps, clip.maps)
    for _ in range(2):
        maps = align_alike(frames, maps, 0.8)
    refined = _errors(maps, clip.maps)
    assert np.median(refined) < min(0.15, np.median(first) + 0.02)
    assert refined[1:-1].max() < 0.5


def test_another_scene_has_no_map() -> None:
    one, two = (work_luma(make_shaken_clip(frames=1, seed=seed).wide[0]) for seed in (0, 5))
    assert find_map(one, two) is None
    assert find_map(one, one) == pytest.approx(np.eye(3), abs=1e-3)
