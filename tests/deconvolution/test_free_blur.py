"""Blurs found from the frames alone, as in a clip that was stabilised after it was exposed."""

from typing import Any

import numpy as np
import pytest
from factories.shaken_clip import make_scene, make_shaken_clip, shift_at
from numpy.typing import NDArray
from scipy.optimize import minimize

from asled_cli.deconvolution.camera_path import chain, fit_path
from asled_cli.deconvolution.clip_exposure import NOMINAL, clip_exposure
from asled_cli.deconvolution.free.blur_fit import Fit, find_blurs, length, straight_blurs
from asled_cli.deconvolution.free.detail_tiles import Band, band_of
from asled_cli.deconvolution.free.free_views import FreeViews, views_near_path
from asled_cli.deconvolution.free.motion_model import INSTANTS, basis, own_motion, smooth_motion, smoothed
from asled_cli.deconvolution.light import work_luma
from asled_cli.deconvolution.single_lens import SingleLensConfig, deblur_frames
from asled_cli.deconvolution.views import Planes, views
from asled_cli.deconvolution.wiener import View

_EXPOSURE, _FRAMES = 0.8, 7
_STILL = np.zeros((_FRAMES, 1, INSTANTS, 2))
_MANY = 64  # instants of the true motion
_QUICK = 2.2  # pace of a shake at up to 11 Hz


def _path(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., 2): where a swinging camera looks, pixels."""
    return np.stack([14 * np.sin(0.9 * times + 0.4), 11 * np.cos(0.7 * times) + 5 * np.sin(1.3 * times)], -1)


def _moves() -> NDArray[np.float64]:
    """Return (K, _MANY, 2): the true motion in each frame's exposure, about its mean."""
    instants = np.arange(_FRAMES)[:, None] + ((np.arange(_MANY) + 0.5) / _MANY - 0.5) * _EXPOSURE
    at = _path(instants)
    return np.asarray(at - at.mean(1, keepdims=True))


def _true_shifts() -> NDArray[np.float64]:
    """Return (K, 3, 2): the parts of the true motion."""
    return np.stack([np.linalg.lstsq(basis(_MANY), moves, rcond=None)[0] for moves in _moves()])


def _blurred(scene: NDArray[np.float32], moves: NDArray[np.float64]) -> NDArray[np.float32]:
    down, across = np.meshgrid(*(np.fft.fftfreq(n) for n in scene.shape), indexing="ij")
    waves = [np.exp(2j * np.pi * (across * x + down * y)) for x, y in moves]
    return np.fft.ifft2(np.fft.fft2(scene) * np.mean(waves, 0)).real.astype(np.float32)


@pytest.fixture(scope="module")
def band() -> Band:
    scene = make_scene((192, 192), 3)[..., 1]
    noise = np.random.default_rng(0)
    frames = [_blurred(scene, m) + noise.normal(0, 0.002, scene.shape).astype(np.float32) for m in _moves()]
    frames = [frame[32:160, 32:160] for frame in frames]
    return band_of(frames, [np.ones((128, 128), np.float32)] * len(frames), 3)[0]


def _speed_errors(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K,): how far speeds (K, 2) are from the true ones; a blur does not tell forth from back."""
    true = _true_shifts()[:, 1]
    return np.minimum(*(np.hypot(*(found - sign * true).T) for sign in (1, -1)))


def test_power_tells_straight_blurs(band: Band) -> None:
    assert min(np.median(_speed_errors(guess)) for guess in straight_blurs(band)) < 3


def test_one_smooth_motion_tells_speeds_and_how_blurs_are_bent(band: Band) -> None:
    found = find_blurs(band, _STILL, _EXPOSURE)
    assert _speed_errors(found[:, 1]).max() < 1
    bends = np.hypot(*(found[:, 2] - _true_shifts()[:, 2]).T)
    assert np.hypot(*_true_shifts()[:, 2].T).max() > 4
    assert bends.max() < 1
    assert np.abs(found[:, 0]).max() < 0.3


def test_a_smooth_motion_has_the_shifts_of_its_frames() -> None:
    model, true = smooth_motion(_FRAMES, _EXPOSURE), _true_shifts()
    turned = true.copy()
    turned[[1, 4], 1] *= -1  # as a fit may find them
    far, parameters = min(smoothed(model, turned), key=lambda found: found[0])
    np.testing.assert_allclose(model.shifts(parameters), true, atol=0.5)
    assert all(far <= other for other, _ in smoothed(model, turned))
    assert len(list(smoothed(model, turned))) == 2**_FRAMES


def test_slope_is_that_of_the_cost(band: Band) -> None:
    fit = Fit(band.below(0.06), _STILL)
    shifts = np.random.default_rng(1).normal(0, 2, (_FRAMES, 3, 2))
    slope = fit.state(shifts).slope.reshape(shifts.shape)
    for at in [(0, 0, 0), (1, 1, 1), (3, 2, 0), (4, 1, 0)]:
        step = np.zeros_like(shifts)
        step[at] = 0.02
        change = fit.state(shifts + step).cost - fit.state(shifts - step).cost
        assert slope[at] == pytest.approx(-change / 0.08, rel=0.03, abs=0.5)


@pytest.mark.parametrize("smooth", [False, True])
def test_scipy_finds_no_better_motion(band: Band, smooth: bool) -> None:
    fit = Fit(band.below(0.06), _STILL)
    shifts = np.zeros((_FRAMES, 3, 2))
    shifts[:, 1] = straight_blurs(band)[0]
    model, start = own_motion(_FRAMES), shifts.ravel()
    if smooth:
        model = smooth_motion(_FRAMES, _EXPOSURE)
        start = min(smoothed(model, shifts), key=lambda found: found[0])[1]

    def cost(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        state, usual = fit.state(model.shifts(parameters)), model.precision @ parameters
        return state.cost + parameters @ usual, 2 * (usual - model.to_shifts.T @ state.slope)

    best = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 40}).fun
    ours, found = fit.minimum(model, start, 12)
    assert ours == pytest.approx(cost(found)[0])
    assert ours < best + 0.02 * (cost(start)[0] - best)


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


def _true_moves(frame: int, count: int) -> NDArray[np.float64]:
    """Return (count, 2): how far the shaken clip's picture moves from the middle of an exposure."""
    instants = frame + ((np.arange(count) + 0.5) / count - 0.5) * _EXPOSURE
    return np.array([shift_at(float(t), 5.0, pace=_QUICK) for t in instants]) - shift_at(
        float(frame), 5.0, pace=_QUICK
    )


def _blur_errors(found: list[View], first: int) -> NDArray[np.float64]:
    """Return (K,): how far each blur is from the true one, about their means, pixels."""
    errors = []
    for k, view in enumerate(found, start=first):
        moves = view.blur.moves(np.array([[128.0, 80.0]]), 64)[0]
        true = _true_moves(k, len(moves))
        errors.append(np.sqrt(np.mean(np.square((moves - moves.mean(0)) - (true - true.mean(0))))))
    return np.array(errors)


def _first_frames() -> tuple[list[View], FreeViews]:
    """Return the first frames of a shaken clip as views of the first one, along the path and near it."""
    clip = make_shaken_clip(frames=9, shake_px=5.0, pace=_QUICK)
    times = list(range(4))
    path = fit_path(chain(list(clip.maps), 0), 0, 0, _EXPOSURE, (256, 160))
    reduced = {k: work_luma(clip.wide[k]) for k in times}
    frames = {k: Planes(luma) for k, luma in reduced.items()}
    near = views_near_path(frames, 0, path, _EXPOSURE, reduced=reduced)
    return views(frames, 0, path, _EXPOSURE), near


def test_frames_tell_the_motion_where_a_path_ends() -> None:
    along, near = _first_frames()
    before, after = _blur_errors(along, 0), _blur_errors(near.views, 0)
    assert before[0] > 0.25, "the path ends here, and should be wrong"
    assert after[0] < 0.5 * before[0]
    assert (after < before).all()
    assert after[1:].max() < 0.1


def test_lengths_near_a_path_are_those_of_the_blurs() -> None:
    _, near = _first_frames()
    for view, px in zip(near.views, near.lengths, strict=True):
        moves = view.blur.moves(np.array([[127.5, 79.5]]), 64)[0]
        far = np.hypot(*np.diff(moves, axis=0).T).sum() * len(moves) / (len(moves) - 1)
        assert px == pytest.approx(far, rel=0.05, abs=0.05)


def test_a_clip_that_no_path_tells_asks_its_frames_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, asked = make_shaken_clip(frames=7, stabilised=True), []

    def counted(*arguments: Any, **named: Any) -> FreeViews:
        asked.append(arguments)
        return views_near_path(*arguments, **named)

    monkeypatch.setattr("asled_cli.deconvolution.single_lens.views_near_path", counted)
    config = SingleLensConfig(along_path=False)
    done = list(deblur_frames(clip.wide, NOMINAL, config))
    assert clip.gains([one.change for one in done]).mean() > 1.5
    assert len(asked) < len(done) / 2
