"""Blurs found from the frames alone, as in a clip that was stabilised after it was exposed."""

import numpy as np
import pytest
from factories.shaken_clip import make_scene, make_shaken_clip
from numpy.typing import NDArray
from scipy.optimize import minimize

from asled_cli.deconvolution.clip_exposure import NOMINAL, clip_exposure
from asled_cli.deconvolution.free.blur_fit import INSTANTS, Fit, basis, find_blurs, length, straight_blurs
from asled_cli.deconvolution.free.detail_tiles import Band, band_of
from asled_cli.deconvolution.single_lens import deblur_frames

_SPEEDS = np.array([[12.0, 0.0], [2.0, 9.0], [-6.0, 6.0], [0.0, -3.0], [5.0, 14.0]])
_STILL = np.zeros((len(_SPEEDS), 1, INSTANTS, 2))


def _blurred(scene: NDArray[np.float32], speed: NDArray[np.float64]) -> NDArray[np.float32]:
    down, across = np.meshgrid(*(np.fft.fftfreq(n) for n in scene.shape), indexing="ij")
    return np.fft.ifft2(np.fft.fft2(scene) * np.sinc(across * speed[0] + down * speed[1])).real.astype(
        np.float32
    )


@pytest.fixture(scope="module")
def band() -> Band:
    scene = make_scene((192, 192), 3)[..., 1]
    noise = np.random.default_rng(0)
    frames = [_blurred(scene, s) + noise.normal(0, 0.002, scene.shape).astype(np.float32) for s in _SPEEDS]
    frames = [frame[32:160, 32:160] for frame in frames]
    return band_of(frames, [np.ones((128, 128), np.float32)] * len(frames), 0)[0]


def _from_truth(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K,): how far the speeds are from the true ones; a blur does not tell forth from back."""
    return np.minimum(*(np.hypot(*(found - sign * _SPEEDS).T) for sign in (1, -1)))


def test_power_tells_straight_blurs(band: Band) -> None:
    assert min(_from_truth(guess).max() for guess in straight_blurs(band)) < 4


def test_fit_finds_them_to_a_pixel(band: Band) -> None:
    found = find_blurs(band, _STILL)
    assert _from_truth(found[:, 1]).max() < 1
    assert np.abs(found[:, 0]).max() < 0.3


def test_slope_is_that_of_the_cost(band: Band) -> None:
    fit = Fit(band.below(0.06), _STILL)
    shifts = np.random.default_rng(1).normal(0, 2, (len(_SPEEDS), 3, 2))
    slope = fit.state(shifts).slope.reshape(shifts.shape)
    for at in [(0, 0, 0), (1, 1, 1), (3, 2, 0), (4, 1, 0)]:
        step = np.zeros_like(shifts)
        step[at] = 0.02
        change = fit.state(shifts + step).cost - fit.state(shifts - step).cost
        assert slope[at] == pytest.approx(-change / 0.08, rel=0.03, abs=0.5)


def test_scipy_finds_no_better_shifts(band: Band) -> None:
    fit = Fit(band.below(0.06), _STILL)
    start = np.zeros((len(_SPEEDS), 3, 2))
    start[:, 1] = straight_blurs(band)[0]

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        state = fit.state(flat.reshape(start.shape))
        return state.cost, -2 * state.slope

    best = minimize(cost, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 40}).fun
    ours = fit.state(fit.levenberg_marquardt(start, 12)).cost
    assert ours < best + 0.02 * (cost(start.ravel())[0] - best)


def test_length_of_a_blur() -> None:
    assert length(np.array([[3.0, 1.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(5.0)
    assert np.abs(basis(9)[:, 1:].mean(0)).max() < 1e-12


def test_stabilised_clip_gains() -> None:
    clip = make_shaken_clip(frames=9, stabilised=True)
    exposure = clip_exposure([list(clip.wide)]).exposure
    assert exposure == NOMINAL
    gains = clip.gains([r.change for r in deblur_frames(clip.wide, exposure)])
    assert gains.mean() > 1.0
    assert gains.min() > -0.05


def test_stabilised_sharp_clip_is_left_alone() -> None:
    clip = make_shaken_clip(frames=7, stabilised=True, exposure=0.0)
    assert clip_exposure([list(clip.wide)]).exposure == 0.0
