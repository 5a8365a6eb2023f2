"""Temporal scores on clips whose motion and flicker are known."""

import numpy as np
import pytest
from factories.textures import texture

from asled_cli.metrics.psnr_ssim import Picture
from asled_cli.metrics.temporal import (
    dis_flow,
    flow_difference,
    measure_step,
    temporal_gradient_error,
    warping_error,
)


def moving(shift: tuple[int, int]) -> tuple[Picture, Picture]:
    """Two frames of a texture that moves by `shift` (x, y) pixels."""
    scene = texture(160, 128, seed=4, finest=2.0) / 255.0
    x, y = shift
    return scene[16:112, 16:144], scene[16 - y : 112 - y, 16 - x : 144 - x]


def test_flow_points_to_where_content_goes() -> None:
    flow = dis_flow(*moving((3, -2)))
    assert np.median(flow[..., 0]) == pytest.approx(3, abs=0.1)
    assert np.median(flow[..., 1]) == pytest.approx(-2, abs=0.1)


def test_the_truth_itself_scores_nothing() -> None:
    before, after = moving((4, 1))
    step = measure_step(before, after)
    assert temporal_gradient_error(before, after, step) == 0.0
    assert flow_difference(before, after, step) == 0.0
    assert warping_error(before, after, step) < 0.2
    assert 0.8 < step.visible.mean() < 1.0  # a rim comes into view


def test_flicker_costs_what_it_is() -> None:
    before, after = moving((4, 1))
    step = measure_step(before, after)
    assert temporal_gradient_error(before, after + 0.02, step) == pytest.approx(0.02 * 255)
    steady = warping_error(before, after, step)
    assert warping_error(before, after + 0.02, step) == pytest.approx(1000 * 0.02**2 + steady, rel=0.2)


def test_a_constant_error_is_no_flicker() -> None:
    before, after = moving((2, 2))
    step = measure_step(before, after)
    assert temporal_gradient_error(before + 0.1, after + 0.1, step) == pytest.approx(0.0, abs=1e-9)


def test_wrong_motion_shows_in_tof_and_gradient() -> None:
    before, after = moving((4, 0))
    step = measure_step(before, after)
    assert flow_difference(before, before, step) == pytest.approx(2.0, abs=0.2)  # 4 px in x, 0 in y
    assert temporal_gradient_error(before, before, step) > 5


def test_covered_content_is_left_out_of_the_warping_error() -> None:
    before, after = moving((0, 0))
    after = after.copy()
    after[30:60, 40:80] = texture(40, 30, seed=9) / 255.0  # something new appears
    hidden = ~measure_step(before, after).visible
    assert hidden[35:55, 45:75].mean() > 0.5 and hidden[:, 100:].mean() < 0.1


def test_tiny_pictures_do_not_move() -> None:
    tiny = np.zeros((8, 8, 3))
    assert not dis_flow(tiny, tiny).any()
