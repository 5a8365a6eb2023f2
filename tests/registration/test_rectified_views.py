"""Rectified views, as spatial video has them: what the file says about its lenses bounds the search."""

from fractions import Fraction

import numpy as np
import pytest
from factories.textures import texture

from asled_cli.errors import InputError
from asled_cli.registration.estimate.baseline import disparity_reach
from asled_cli.registration.estimate.disparity import REACH_SHARE
from asled_cli.registration.estimate.parallax import solve_parallax
from asled_cli.registration.estimate.template_match import locate_candidates
from asled_cli.registration.geometry.lenses import LensPrior, RectifiedViews
from asled_cli.registration.geometry.solver import LumaPair
from asled_cli.video.frames import Frame, FramePair, StereoInfo

PHONE = StereoInfo((0, 1), ("right", "left"), baseline_mm=19.24, fov_deg=63.4, disparity_shift=0.02)
SIZE = (320, 180)


def pair(shift: tuple[int, int]) -> list[FramePair]:
    """Two views of a texture, the second one displaced."""
    scene = np.asarray(texture(420, 280, seed=1), np.uint16) * 257
    views = [scene[50 + y : 50 + y + SIZE[1], 50 + x : 50 + x + SIZE[0]] for x, y in ((0, 0), shift)]
    one, two = (Frame(0, 0, Fraction(0), np.ascontiguousarray(view), None) for view in views)
    return [FramePair(one, two)]


def prior(stereo: StereoInfo = PHONE) -> LensPrior:
    return LensPrior(1.0, tolerance=0.0, rectified=RectifiedViews.of(stereo))


def test_baseline_and_field_of_view_bound_the_parallax() -> None:
    views = RectifiedViews.of(PHONE)
    assert views.parallax == pytest.approx(0.5 / np.tan(np.radians(31.7)) * 0.01924 / 0.3)
    assert views.parallax < views.shift < 0.1
    narrow = RectifiedViews.of(StereoInfo((0, 1), baseline_mm=4.0, fov_deg=63.4))
    assert disparity_reach(narrow) == narrow.parallax < REACH_SHARE
    unknown = RectifiedViews.of(StereoInfo((0, 1)))
    assert 0.03 < unknown.parallax < 0.1 and disparity_reach(unknown) == disparity_reach(None) == REACH_SHARE


@pytest.mark.parametrize("shift", [(0, 0), (8, 0), (-20, 1)])
def test_a_shift_along_the_rows_is_found_at_one_scale(shift: tuple[int, int]) -> None:
    found = locate_candidates([pair(shift)], prior())
    assert {candidate.fov_ratio for candidate in found} == {1.0}
    matrix = found[0].matrix
    assert matrix[0, 0] == pytest.approx(1, abs=0.01)
    assert matrix[:2, 2] == pytest.approx([-shift[0], -shift[1]], abs=2.0)


@pytest.mark.parametrize("shift", [(0, 14), (26, 0)])
def test_no_match_is_looked_for_beyond_what_the_lenses_allow(shift: tuple[int, int]) -> None:
    narrow = prior(StereoInfo((0, 1), baseline_mm=4.0, fov_deg=63.4))
    for candidate in locate_candidates([pair(shift)], narrow):
        x, y = candidate.matrix[:2, 2]
        assert abs(x) < 0.05 * SIZE[0] + 3 and abs(y) < 0.03 * SIZE[1] + 3
    assert locate_candidates([pair(shift)], LensPrior(1.0))[0].score > 0.8
    assert locate_candidates([pair(shift)], narrow)[0].score < 0.7


def test_static_parallax_stays_within_the_bounds() -> None:
    one, two = (frame.rgb[..., 1].astype(np.float32) / 65535 for frame in _views((3, 6)))
    bounds = RectifiedViews(0.05, parallax=0.005)
    field = solve_parallax([LumaPair(one, two)], np.eye(3), 1.0, 0.0, rectified=bounds)
    assert np.abs(field[..., 0]).max() <= 1.6 and np.abs(field[..., 1]).max() <= 3.6


def _views(shift: tuple[int, int]) -> list[Frame]:
    found = pair(shift)[0]
    assert found.reference is not None
    return [found.target, found.reference]


def test_no_pair_is_refused_as_ever() -> None:
    with pytest.raises(InputError):
        locate_candidates([], prior())
