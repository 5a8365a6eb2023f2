"""Ambiguous matches: repeating patterns (windows, fences, tiles) of which only one match is right."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.imaging.homography import apply, pixel_grid, translation
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.dual_lens import LensRig, frame_center, soften_for_ultra
from asled_cli.registration.estimate.ambiguity import choose_match
from asled_cli.registration.estimate.template_match import locate_candidates
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.video.frames import Frame, FramePair

SIZE = (192, 108)
PERIOD = 26  # wide pixels from window to window
NEAR_PX = 3.0  # from here refinement finds the rest
RIG = LensRig(ratio=1.7, rotation_deg=1.5, shift_px=(3.0, -2.0), perspective=(0.004, -0.003))
# Displaced by more than half a window: another place would be nearer to the middle.

FAR_RIG = replace(RIG, shift_px=(17.0, -4.0))


def facade(period: int = PERIOD) -> NDArray[np.uint8]:
    """(520, 900, 3): equal windows on a wall."""
    wall = np.full((520, 900, 3), (150, 130, 110), np.uint8)
    for y in range(4, 520, period):
        for x in range(4, 900, period):
            cv2.rectangle(wall, (x, y), (x + period // 2, y + 2 * period // 3), (60, 90, 120), -1)
    return wall


def with_a_lamp(wall: NDArray[np.uint8], at: tuple[int, int]) -> NDArray[np.uint8]:
    """The same with one small thing that does not repeat."""
    return np.asarray(cv2.circle(wall.copy(), at, 4, (205, 195, 170), -1), np.uint8)


def filmed(wall: NDArray[np.uint8], rig: LensRig = RIG, blur_px: int = 9, frames: int = 4) -> list[FramePair]:
    """Pairs of a wall: the wide view blurred along x, both with noise."""
    noise = np.random.default_rng(3)
    soft = soften_for_ultra(wall, rig.ratio)
    home = translation(*frame_center((wall.shape[1], wall.shape[0])))
    pairs = []
    for i in range(frames):
        to_wall = home @ translation(4.0 * i, 1.5 * i) @ translation(*(-np.array(frame_center(SIZE))))
        wide = cv2.blur(warp_homography(wall, to_wall, SIZE), (blur_px, 1))
        ultra = warp_homography(soft, to_wall @ np.linalg.inv(rig.homography(SIZE)), SIZE)
        views = [np.clip(view + noise.normal(0, 2.0, view.shape), 0, 255) for view in (wide, ultra)]
        coded = [np.asarray(view * 257, np.uint16) for view in views]
        target, reference = (Frame(i, i, Fraction(i, 30), view, None) for view in coded)
        pairs.append(FramePair(target, reference))
    return pairs


def error_px(matrix: NDArray[np.float64], rig: LensRig = RIG) -> float:
    """Median distance to the true place, in wide pixels."""
    u, v = apply(matrix, *pixel_grid(SIZE))
    true_u, true_v = apply(rig.homography(SIZE), *pixel_grid(SIZE))
    return float(np.median(np.hypot(u - true_u, v - true_v))) * rig.ratio


@pytest.mark.parametrize("at", [(400, 240), (470, 275), (510, 290)])
def test_details_that_do_not_repeat_resolve_a_repeating_pattern(at: tuple[int, int]) -> None:
    runs = [filmed(with_a_lamp(facade(), at), FAR_RIG)]
    assert len(locate_candidates(runs, LensPrior())) > 1
    assert error_px(choose_match(runs, LensPrior()).matrix, FAR_RIG) < NEAR_PX


def test_of_equally_good_matches_the_least_displaced_is_chosen() -> None:
    runs = [filmed(facade())]
    places = locate_candidates(runs, LensPrior())
    assert max(error_px(place.matrix) for place in places) > PERIOD / 2
    assert error_px(choose_match(runs, LensPrior()).matrix) < NEAR_PX


def test_candidates_are_distinct_and_sorted_by_score() -> None:
    places = locate_candidates([filmed(facade())], LensPrior())
    scores = [place.score for place in places]
    assert scores == sorted(scores, reverse=True)
    corners = np.array([place.matrix @ [0, 0, 1] for place in places])[:, :2]
    widths = np.array([place.matrix[0, 0] for place in places]) * SIZE[0]
    for i in range(len(places)):
        for j in range(i):
            assert np.hypot(*(corners[i] - corners[j])) > 4 or abs(widths[i] - widths[j]) > 4


def test_without_repetition_the_true_match_is_the_first_candidate() -> None:
    generator = np.random.default_rng(5)
    small = generator.integers(0, 255, (26, 45, 3), np.uint8)
    wall = np.asarray(cv2.resize(small, (900, 520), interpolation=cv2.INTER_CUBIC), np.uint8)
    runs = [filmed(wall)]
    assert error_px(locate_candidates(runs, LensPrior())[0].matrix) < NEAR_PX
    assert error_px(choose_match(runs, LensPrior()).matrix) < NEAR_PX
