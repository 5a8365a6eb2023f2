"""PSNR and SSIM of every protocol against scikit-image and against plain double-precision NumPy."""

import math

import cv2
import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from asled_cli.metrics.protocols import PROTOCOLS, Protocol
from asled_cli.metrics.psnr_ssim import IDENTICAL_DB, Window, border_of, psnr, ssim, ssim_map

Picture = NDArray[np.float64]
SIZES = [(48, 40), (33, 17), (64, 11)]


def pair(size: tuple[int, int], noise: float = 12.0) -> tuple[Picture, Picture]:
    truth = texture(*size, seed=1).astype(np.float64)
    grain = np.random.default_rng(2).normal(0, noise, truth.shape)
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.2) + grain
    return np.clip(np.rint(blurred), 0, 255) / 255.0, truth / 255.0


def plain_ssim(a: Picture, b: Picture, window: Window) -> float:
    """SSIM by the definition: a sum over every window, nothing shared with the code under test."""
    count = 7 if window == "uniform-7" else 11
    offset = np.arange(count) - count // 2
    line = np.ones(count) if window == "uniform-7" else np.exp(-(offset**2) / (2 * 1.5**2))
    line /= line.sum()
    if window == "gaussian-11-3d":
        weights = line[:, None, None] * line[:, None] * line
        a, b = np.pad(a, 5, "edge"), np.pad(b, 5, "edge")
        views = [np.lib.stride_tricks.sliding_window_view(x, (11, 11, 11)) for x in (a, b)]
    else:
        weights = (line[:, None] * line)[..., None]
        views = [np.lib.stride_tricks.sliding_window_view(x, (count, count, 1)) for x in (a, b)]
    x, y = views
    axes = (3, 4, 5)
    mx, my = (x * weights).sum(axes), (y * weights).sum(axes)
    share = 49 / 48 if window == "uniform-7" else 1.0
    vx = share * ((x - mx[..., None, None, None]) ** 2 * weights).sum(axes)
    vy = share * ((y - my[..., None, None, None]) ** 2 * weights).sum(axes)
    vxy = share * ((x - mx[..., None, None, None]) * (y - my[..., None, None, None]) * weights).sum(axes)
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


@pytest.mark.parametrize("size", SIZES)
def test_psnr_equals_scikit_image_and_numpy(size: tuple[int, int]) -> None:
    a, b = pair(size)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1.0), abs=1e-9)
    assert psnr(a, b) == pytest.approx(-10 * math.log10(((a - b) ** 2).mean()), abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
@pytest.mark.parametrize("size", SIZES)
def test_ssim_equals_the_definition(protocol: Protocol, size: tuple[int, int]) -> None:
    a, b = pair(size)
    assert ssim(a, b, protocol.ssim) == pytest.approx(plain_ssim(a, b, protocol.ssim), abs=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_ssim_equals_scikit_image(size: tuple[int, int]) -> None:
    a, b = pair(size)
    gaussian = structural_similarity(
        a, b, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(a, b, "gaussian-11") == pytest.approx(gaussian, abs=1e-6)
    uniform = structural_similarity(a, b, data_range=1.0, channel_axis=-1)
    assert ssim(a, b, "uniform-7") == pytest.approx(uniform, abs=1e-6)


@pytest.mark.parametrize("window", ["gaussian-11", "uniform-7", "gaussian-11-3d"])
def test_equal_pictures_are_perfect_and_symmetric(window: Window) -> None:
    a, b = pair((40, 30))
    assert psnr(a, a) == IDENTICAL_DB and ssim(a, a, window) == pytest.approx(1.0)
    assert ssim(a, b, window) == pytest.approx(ssim(b, a, window)) and ssim(a, b, window) < 0.95
    edge = border_of(window)
    assert ssim_map(a, b, window).shape == (30 - 2 * edge, 40 - 2 * edge, 3)


def test_a_picture_smaller_than_the_window_is_refused() -> None:
    a, b = pair((64, 11))
    with pytest.raises(ValueError, match="smaller than the window"):
        ssim(a[:10], b[:10])


def test_every_protocol_says_what_it_is() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and protocol.describe().startswith(name) and protocol.origin
