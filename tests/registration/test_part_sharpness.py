"""Sharpness of two views in the whole picture and in the part where one of them lags most."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image
from asled_cli.job.blur.stretches import PART_DB, USEFUL_DB, plan_segments
from asled_cli.registration.estimate.sharpness import Sharpness, compare

HEIGHT, WIDTH, SCALE = 272, 480, 1.0
BLURRED_PX = 12.0


def texture(seed: int) -> Image:
    """Return a luma (HEIGHT, WIDTH) of many flat rectangles, one before the other."""
    random = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    for _ in range(3000):
        x, y = random.integers(-20, WIDTH), random.integers(-20, HEIGHT)
        width, height = random.integers(8, 40, 2)
        picture[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = random.uniform(0.2, 0.8)
    return picture


def smeared(picture: Image, part: tuple[slice, slice], length: int) -> Image:
    """Return a picture whose part is blurred sideways by `length` pixels."""
    blurred = np.asarray(cv2.blur(picture, (length, 1)), np.float32)
    found = picture.copy()
    found[part] = blurred[part]
    return found


def noisy(picture: Image, sigma: float, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.asarray(picture + noise, np.float32)


def actions(found: Sharpness) -> list[str]:
    """Return what is done to a clip of three such moments."""
    return [segment.action for segment in plan_segments([found] * 3, BLURRED_PX)]


@pytest.mark.parametrize("place", [(80, 40), (150, 300)])
@pytest.mark.parametrize("length", [5, 9, 15])
def test_a_blurred_part_is_found(place: tuple[int, int], length: int) -> None:
    sharp = texture(1)
    part = slice(place[0], place[0] + 90), slice(place[1], place[1] + 90)  # 6 % of the picture
    found = compare(0.0, smeared(sharp, part, length), sharp, SCALE)
    assert found.whole.advantage_db < USEFUL_DB
    assert found.part.advantage_db > PART_DB
    assert found.part.target_blur_px > 2 * found.part.reference_blur_px
    assert actions(found) == ["deblur"]


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.03])
def test_noise_is_no_blur(sigma: float) -> None:
    sharp = texture(2)
    found = compare(0.0, noisy(sharp, sigma, 3), noisy(sharp, 0.01, 4), SCALE)
    assert abs(found.part.advantage_db) < PART_DB
    assert actions(found) == ["pass"]


def test_a_part_that_is_blurred_in_both_views_is_kept() -> None:
    part = slice(80, 170), slice(40, 130)
    both = smeared(texture(5), part, 15)
    softer = smeared(texture(5), part, 21)
    assert actions(compare(0.0, softer, both, SCALE)) == ["pass"]


def test_a_clear_sky_that_lost_its_grain_is_no_blur() -> None:
    """Where there is hardly any detail, an encoder leaves it in one view and not in the other."""
    own, other = texture(7), texture(7)
    sky = slice(0, 90), slice(0, WIDTH)
    own[sky] = 0.7
    other[sky] = noisy(own[sky], 0.004, 8)
    found = compare(0.0, own, other, SCALE)
    assert found.part.advantage_db < PART_DB
    assert actions(found) == ["pass"]


def test_the_whole_picture_counts_as_before() -> None:
    """Against means over all pixels, without blocks."""
    own, other = texture(6), smeared(texture(6), (slice(None), slice(None)), 7)

    def energies(picture: Image) -> NDArray[np.float64]:
        wide = picture.astype(np.float64)
        step = [wide[1:-1, 2:] - wide[1:-1, 1:-1], wide[2:, 2:] - wide[1:-1, 1:-1]]
        step += [wide[2:, 1:-1] - wide[1:-1, 1:-1], wide[2:, :-2] - wide[1:-1, 1:-1]]
        return np.array([np.mean(np.square(one[7:-7, 7:-7])) for one in step])

    found = compare(0.0, own, other, SCALE)
    expected = 10 * np.log10((energies(other) / energies(own)).max())
    assert found.whole.advantage_db == pytest.approx(expected, abs=0.01)
