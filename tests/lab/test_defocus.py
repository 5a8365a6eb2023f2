"""Synthetic defocus: one layer is one Gaussian, two are a sum per pixel, the plane in focus stays."""

import cv2
import numpy as np
import pytest

from asled_cli.errors import UsageError
from asled_cli.lab.camera.defocus import Lens, circle_px, defocus, defocus_label, split_depth


def picture(height: int = 24, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, 3)).astype(np.float32)


def test_one_layer_is_one_gaussian() -> None:
    sharp, depth = picture(), np.full((24, 30), 4, np.float32)
    found = defocus(sharp, depth, Lens(alpha=8, focus=2))  # c = 8 |4 - 2| / 4 = 4 px, sigma 1
    expected = cv2.GaussianBlur(sharp, (9, 9), 1.0, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_plane_in_focus_is_bit_equal() -> None:
    sharp, depth = picture(), np.full((24, 30), 2, np.float32)
    assert np.array_equal(defocus(sharp, depth, Lens(alpha=20, focus=2)), sharp)


def test_two_layers_are_a_sum_per_pixel() -> None:
    """The near half in focus covers the far half, whose blur sees only itself."""
    sharp, depth = picture(10, 12), np.full((10, 12), 8, np.float32)
    depth[:, 6:] = 2
    found = defocus(sharp, depth, Lens(alpha=16 / 3, focus=2))  # sigma 1 for the far half
    kernel = cv2.getGaussianKernel(9, 1.0)[:, 0]
    for y in range(10):
        for x in range(12):
            if x >= 6:
                assert np.allclose(found[y, x], sharp[y, x], atol=1e-6)
                continue
            total, weight = np.zeros(3), 0.0
            for dy in range(-4, 5):
                for dx in range(-4, 5):
                    yy, xx = y + dy, x + dx
                    yy = -yy - 1 if yy < 0 else 19 - yy if yy > 9 else yy
                    xx = -xx - 1 if xx < 0 else xx
                    if xx < 6:
                        share = kernel[dy + 4] * kernel[dx + 4]
                        total, weight = total + share * sharp[yy, xx], weight + share
            np.testing.assert_allclose(found[y, x], total / weight, atol=1e-5)


def test_near_things_out_of_focus_leave_no_dark_seam() -> None:
    grey, depth = np.full((32, 32, 3), 0.5, np.float32), np.full((32, 32), 10, np.float32)
    depth[8:24, 8:24] = 1
    np.testing.assert_allclose(defocus(grey, depth, Lens(alpha=2, focus=10)), 0.5, atol=1e-5)


def test_label_is_the_formula() -> None:
    depth = np.random.default_rng(1).uniform(1, 9, (5, 6)).astype(np.float32)
    lens = Lens(alpha=10, focus=3)
    np.testing.assert_allclose(circle_px(depth, lens), 10 * (depth - 3) / depth, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(defocus_label(depth, lens), 10 * abs(depth - 3) / (4 * depth) / 7, rtol=1e-6)


def test_layers_are_ordered_from_the_back() -> None:
    depth = np.linspace(1, 9, 200, dtype=np.float32).reshape(10, 20)
    index, depths = split_depth(depth, 16)
    assert list(depths) == sorted(depths, reverse=True) and len(depths) == 16
    assert index[0, 0] == 15 and index[-1, -1] == 0


@pytest.mark.parametrize("bad", ["depth", "shape", "levels", "lens"])
def test_nonsense_is_refused(bad: str) -> None:
    depth = np.ones((24, 30), np.float32)
    with pytest.raises(UsageError, match="expected"):
        if bad == "depth":
            defocus(picture(), 0 * depth, Lens(1, 1))
        elif bad == "shape":
            defocus(picture(), depth[1:], Lens(1, 1))
        elif bad == "levels":
            defocus(picture(), depth, Lens(1, 1), levels=0)
        else:
            Lens(-1, 1)
