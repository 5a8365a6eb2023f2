"""The flow between neighbouring frames: a known motion there and back, with few iterations too."""

import cv2
import numpy as np
import pytest

from asled_cli.imaging.flow import MotionMeter


def moved_scene(shift: tuple[float, float]) -> np.ndarray:
    """A smooth random scene whose content is at p + shift."""
    draw = np.random.default_rng(3)
    scene = cv2.GaussianBlur(draw.random((180, 260)).astype(np.float32), (0, 0), 3)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    move = np.array([[1, 0, shift[0] - 30], [0, 1, shift[1] - 30]], np.float64)
    return np.asarray(cv2.warpAffine(scene, move, (200, 120), flags=cv2.INTER_CUBIC) * 255 + 0.5, np.uint8)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("shift", [(0.6, -0.4), (3.0, 2.0), (20.0, -12.0)])
def test_a_shift_is_found_both_ways(shift: tuple[float, float], quick: bool) -> None:
    found = MotionMeter(quick=quick).between(moved_scene((0, 0)), moved_scene(shift))
    assert found is not None
    inside = np.s_[24:-24, 32:-32]
    for flow, sign in zip(found, (1, -1), strict=True):
        errors = np.abs(flow[inside] - sign * np.array(shift, np.float32))
        assert np.percentile(errors, 90) < 0.15


@pytest.mark.parametrize("quick", [False, True])
def test_a_cut_has_no_flow(quick: bool) -> None:
    draw = np.random.default_rng(4)
    one, other = (draw.integers(0, 256, (240, 400), np.uint8) for _ in range(2))
    meter = MotionMeter(quick=quick)
    assert meter.between(one, other) is None
    assert meter.between(one, one) is not None
