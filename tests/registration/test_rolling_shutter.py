"""Rolling shutter: rows are exposed one after the other, so the two views are sheared and scaled."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray
from scipy.interpolate import lagrange

from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.lab.training_data.register import frame_pairs
from asled_cli.registration.analyse import analyse
from asled_cli.registration.blur.reblur import Reblur, row_times
from asled_cli.registration.blur.reference_motion import TrackedFrame, displacement
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.stabilisation.ois_tracking import follow_clip

SIZE, RATIO, FRAMES = (192, 108), 1.6, 14
INNER = slice(2, -2)
WIDTH, HEIGHT = 60, 41


def tracked_frame(time: float = 0.0, known: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0)) -> TrackedFrame:
    """A picture whose pixels move by known polynomials of time, different ones each."""
    rng = np.random.default_rng(5)
    image = rng.random((HEIGHT, WIDTH), np.float32)
    speed, bend = rng.normal(0, 1, (2, HEIGHT, WIDTH, 2))
    paths = [(dt, (speed * dt + bend * dt * dt).astype(np.float32)) for dt in known]
    return TrackedFrame(time, image, tuple(paths))


@pytest.mark.parametrize("known", [(-2.0, -1.0, 1.0, 2.0), (1.0, 2.0, 3.0), (-1.2,)])
def test_each_row_moves_to_its_own_time(known: tuple[float, ...]) -> None:
    one = tracked_frame(known=known)
    times = np.linspace(-1.5, 2.5, HEIGHT).astype(np.float32)
    by_row = displacement(one, times)
    assert by_row is not None
    for row in range(0, HEIGHT, 5):
        alone = displacement(one, float(times[row]))
        assert alone is not None
        np.testing.assert_allclose(by_row[row], alone[row], atol=1e-4)


def test_paths_are_polynomials_through_what_is_known_and_straight_beyond() -> None:
    one = tracked_frame()
    nodes = np.array([0.0, *(dt for dt, _ in one.paths)])
    for dt in (-1.7, -0.4, 0.9, 1.5):
        moved = displacement(one, dt)
        assert moved is not None
        for y, x in ((3, 5), (30, 41)):
            places = np.array([0.0, *(float(flow[y, x, 0]) for _, flow in one.paths)])
            assert moved[y, x, 0] == pytest.approx(lagrange(nodes, places)(dt), abs=1e-4)
    for dt, node in ((3.0, 3), (-5.0, 0)):
        moved = displacement(one, dt)
        assert moved is not None
        np.testing.assert_allclose(moved, one.paths[node][1] * (dt / one.paths[node][0]), rtol=1e-5)


def test_displacement_since_another_time_is_the_difference() -> None:
    one, rows = tracked_frame(), np.linspace(-1, 3, HEIGHT).astype(np.float32)
    for later, since in ((0.6, -0.3), (rows, -0.3), (rows, rows[::-1].copy())):
        moved, after, before = (
            displacement(one, later, since),
            displacement(one, later),
            displacement(one, since),
        )
        assert moved is not None and after is not None and before is not None
        np.testing.assert_allclose(moved, after - before, atol=1e-4)


def test_rows_are_timed_about_the_middle_of_the_target() -> None:
    times = row_times(61, 41, 0.4)
    assert times[30] == 0 and times[50] - times[10] == pytest.approx(0.4 * 40 / 41)
    np.testing.assert_allclose(times, -times[::-1])
    np.testing.assert_allclose(row_times(41, None, 0.4), times[10:51])


def test_a_rolling_view_is_made_of_rows_of_its_times() -> None:
    rng = np.random.default_rng(1)
    scene = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 2)
    flow = np.full((HEIGHT, WIDTH, 2), (3.0, 0.0), np.float32)
    paths = tuple((float(dt), flow * np.float32(dt)) for dt in (-2, -1, 1, 2))
    reblur = Reblur([TrackedFrame(0.0, scene, paths)], HEIGHT)
    late = row_times(HEIGHT, HEIGHT, 0.4)
    exposure = MotionBlur(0.5, rolling_shutter=0.4)
    view, sharp = reblur.exposed(0.1, exposure), reblur.instant(0.1, rolling_shutter=0.4)
    (rung,) = reblur.cumulative_exposures(0.1, [0.5], rolling_shutter=0.4)
    for row in range(0, HEIGHT, 4):
        time = 0.1 + float(late[row])
        np.testing.assert_allclose(view[row], reblur.exposed(time, MotionBlur(0.5))[row], atol=2e-3)
        np.testing.assert_allclose(sharp[row], reblur.instant(time)[row], atol=1e-5)
        np.testing.assert_allclose(rung[row], reblur.cumulative_exposures(time, [0.5])[0][row], atol=1e-5)


def synthetic(readout: float) -> SyntheticPair:
    return shake_pair(
        texture(620, 420, seed=8),
        ShakeConfig(
            seed=3,
            size=SIZE,
            frames=FRAMES,
            exposure=0.7,
            ultra_exposure=0.05,
            scale=1.0,
            shake=Shake(9.0, roll_share=0.1),
            readout=readout,
            rig=LensRig(RATIO, 0.3, (2.0, -1.0)),
        ),
    )


@pytest.fixture(scope="module", params=[0.35, 0.7])
def rolled(request: pytest.FixtureRequest) -> tuple[SyntheticPair, Registration]:
    pair = synthetic(request.param)
    return pair, analyse([frame_pairs(pair)], LensPrior())


def psnr(pictures: NDArray[np.float64], truth: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((pictures - truth) ** 2)))


def gain_db(pair: SyntheticPair, found: Registration) -> float:
    """By how much the registered reference is nearer to the truth than the blurred view."""
    frames = [f.reference for f in render_references(frame_pairs(pair), found) if f.reference is not None]
    reference, truth = np.stack(frames)[INNER] / 257.0, pair.truth[INNER]
    return psnr(reference, truth) - psnr(pair.wide[INNER].astype(float), truth)


def test_the_rows_times_are_found(rolled: tuple[SyntheticPair, Registration]) -> None:
    pair, found = rolled
    # What both lenses show in a row, the ultra-wide one reads nearer to its middle row.
    true = pair.parameters["readout"] * (1 - 1 / RATIO)
    assert found.exposure.rolling_shutter == pytest.approx(true, abs=0.03)
    assert found.exposure.length == pytest.approx(0.7, abs=0.05)  # not shorter for what sampling takes away
    assert found.ois_path is None and follow_clip([], found) is found


def test_the_reference_is_moved_row_by_row(rolled: tuple[SyntheticPair, Registration]) -> None:
    pair, found = rolled
    still = [replace(knot, exposure=replace(knot.exposure, rolling_shutter=0.0)) for knot in found.knots]
    without = gain_db(pair, replace(found, knots=tuple(still)))
    assert gain_db(pair, found) > without + (1 if pair.parameters["readout"] < 0.5 else 3)
    # Nearly as good as rows read at once; with slow rows, what moves during them is approximate.
    at_once = synthetic(0.0)
    loss = 1.0 if pair.parameters["readout"] < 0.5 else 2.5
    assert gain_db(pair, found) > gain_db(at_once, analyse([frame_pairs(at_once)], LensPrior())) - loss


def test_rows_read_at_once_are_seen_as_such() -> None:
    assert analyse([frame_pairs(synthetic(0.0))], LensPrior()).exposure.rolling_shutter == 0.0
