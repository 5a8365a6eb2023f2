"""Disparity: the baseline of the lenses and the depth of near objects, from views with known shifts."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.registration.estimate import disparity
from asled_cli.registration.estimate.disparity import HalfViews, find_baseline, solve_disparity

HEIGHT, WIDTH, MARGIN = 80, 128, 16
NEAR = np.s_[24:60, 40:84]  # rows and columns of the near object in the target
Picture = NDArray[np.float32]


def texture(seed: int, height: int = HEIGHT + 2 * MARGIN, width: int = WIDTH + 2 * MARGIN) -> Picture:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 1, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip(0.5 + (smooth - smooth.mean()) * 4, 0, 1).astype(np.float32)


def moved(picture: Picture, x: float, y: float) -> Picture:
    """The picture with its content moved by (x, y)."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def two_layers(shift: tuple[float, float], noise: float = 0.005, blur_px: float = 0.0) -> HalfViews:
    """Return views of a near object, displaced by `shift` pixels in the reference, before a far plane."""
    far, near = texture(1), texture(2)
    mask = np.zeros((*far.shape[:2], 1), np.float32)
    rows, columns = NEAR
    mask[rows.start + MARGIN : rows.stop + MARGIN, columns.start + MARGIN : columns.stop + MARGIN] = 1
    target = far * (1 - mask) + near * mask
    aside = moved(mask[..., 0], *shift)[..., None]
    reference = far * (1 - aside) + moved(near, *shift) * aside
    rng = np.random.default_rng(3)
    seen, blurred = (
        (view if blur_px == 0 else cv2.GaussianBlur(view, (0, 0), blur_px)).astype(np.float32)
        + rng.normal(0, noise, view.shape).astype(np.float32)
        for view in (target, reference)
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    luma = reference @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return HalfViews(seen[inner], blurred, luma.astype(np.float32), x + MARGIN, y + MARGIN)


@pytest.mark.parametrize("degrees", [0, 35, 90, 146, 200])
def test_line_of_the_lenses_is_found(degrees: float) -> None:
    angle = np.radians(degrees)
    found = find_baseline([two_layers((3.5 * np.cos(angle), 3.5 * np.sin(angle)))])
    assert found is not None
    assert np.hypot(*found) == pytest.approx(1)
    # A line has no sign.
    assert abs(found[0] * np.cos(angle) + found[1] * np.sin(angle)) > np.cos(np.radians(9))


@pytest.mark.parametrize(("shift", "found"), [((3.5, 0.0), True), ((0.0, 3.5), False), ((0.0, 0.0), False)])
def test_where_the_line_is_known_it_is_only_confirmed(shift: tuple[float, float], found: bool) -> None:
    line = find_baseline([two_layers(shift)], along_rows=True)
    assert line == ((1.0, 0.0) if found else None)


def test_a_shift_beyond_the_reach_is_not_looked_for() -> None:
    shift = solve_disparity(two_layers((5.0, 0.0)), (1.0, 0.0), 0.02)
    assert np.abs(shift).max() <= 3.0


@pytest.mark.parametrize("blur_px", [0.0, 2.0])
@pytest.mark.parametrize("pixels", [3.0, -2.4])
def test_near_thing_gets_its_shift_and_far_plane_none(pixels: float, blur_px: float) -> None:
    shift = solve_disparity(two_layers((pixels * 0.8, pixels * 0.6), blur_px=blur_px), (0.8, 0.6))
    rows, columns = NEAR
    inside = shift[rows.start + 6 : rows.stop - 6, columns.start + 6 : columns.stop - 6]
    assert np.median(np.abs(inside - pixels)) < 0.2
    assert np.mean(np.abs(inside - pixels) < 0.6) > 0.95
    away = np.ones(shift.shape, bool)
    away[rows.start - 12 : rows.stop + 12, columns.start - 12 : columns.stop + 12] = False
    assert np.mean(shift[away] == 0) > 0.99


def test_one_plane_has_no_baseline_and_stays() -> None:
    flat = two_layers((0.0, 0.0), noise=0.03)
    assert find_baseline([flat, flat]) is None
    assert np.mean(solve_disparity(flat, (1.0, 0.0)) == 0) > 0.99


def test_things_that_lie_aside_in_all_directions_are_no_baseline() -> None:
    """A moving thing that one view shows elsewhere is not depth: shifts across explain it as well."""
    views = [two_layers((2.5 * np.cos(a), 2.5 * np.sin(a))) for a in np.radians(np.arange(0, 180, 22.5))]
    assert find_baseline(views) is None


def test_guided_filter_against_regressions_written_out() -> None:
    rng = np.random.default_rng(4)
    picture, guide = (rng.uniform(0, 1, (30, 34)).astype(np.float32) for _ in range(2))
    radius, ridge = disparity._RADIUS, disparity._EDGE_VARIANCE
    found = disparity._guided_filter(picture, guide)

    def line(y: int, x: int) -> tuple[float, float]:
        """Slope and offset of the ridge regression in the window about (y, x)."""
        window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
        g, p = guide[window].ravel().astype(float), picture[window].ravel().astype(float)
        slope = np.mean((g - g.mean()) * (p - p.mean())) / (g.var() + ridge)
        return slope, p.mean() - slope * g.mean()

    for y, x in ((12, 10), (15, 20), (17, 17)):
        near = [
            line(y + dy, x + dx)
            for dy in range(-radius, radius + 1)
            for dx in range(-radius, radius + 1)
        ]  # fmt: skip
        slope, offset = np.mean(near, axis=0)
        assert found[y, x] == pytest.approx(slope * guide[y, x] + offset, abs=2e-4)
