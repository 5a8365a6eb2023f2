"""The reference's own exposure time, and the multi-frame Wiener deconvolution of its blur."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import ShakeConfig, shake_pair
from asled_cli.lab.training_data.register import frame_pairs, register
from asled_cli.registration.blur.reference_motion import TrackedFrame
from asled_cli.registration.blur.tile_spectra import Tiles, blur_response, cycles_along
from asled_cli.registration.blur.wiener import View, wiener_deconvolve
from asled_cli.registration.estimate.reference_exposure import find_reference_exposure, travel
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import fuse_references
from asled_cli.video.frames import Frame, FramePair

WIDTH, HEIGHT, FRAMES = 320, 224, 9
SHAKE, PAN = "shake", "pan"
Picture = NDArray[np.float32]


def position(time: float, motion: str) -> tuple[float, float]:
    """Where the scene is at a time in frames: hands shake at 2 to 5 Hz."""
    if motion == PAN:
        return 9.0 * time, 3.0 * time
    return 14 * np.sin(0.75 * time), 9 * np.sin(0.55 * time + 1) + 4 * np.cos(0.9 * time)


@pytest.fixture(scope="module")
def scene() -> Picture:
    picture = texture(WIDTH + 240, HEIGHT + 120, seed=5, finest=2.0)[..., 1].astype(np.float32) / 255
    return np.asarray(picture, np.float32)


def filmed(scene: Picture, time: float, exposure: float, motion: str, noise: float = 0.004) -> Picture:
    """The mean of what is seen at 41 instants of an exposure, with a little noise."""
    views = []
    for t in time + exposure * ((np.arange(41) + 0.5) / 41 - 0.5) if exposure else [time]:
        x, y = position(float(t), motion)
        matrix = np.array([[1, 0, 120 - x], [0, 1, 60 - y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        views.append(cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT), flags=flags))
    grain = np.random.default_rng(round(time * 10)).normal(0, noise, (HEIGHT, WIDTH))
    return np.asarray(np.mean(views, axis=0) + grain, np.float32)


def tracked_frames(scene: Picture, exposure: float, motion: str) -> list[TrackedFrame]:
    """A run of frames with the true flow to those about them."""
    run = []
    for k in range(FRAMES):
        known = [j for j in range(k - 3, k + 4) if 0 <= j < FRAMES and j != k]
        shifts = [np.subtract(position(j, motion), position(k, motion)) for j in known]
        paths = [
            (float(j - k), np.full((HEIGHT, WIDTH, 2), shift, np.float32))
            for j, shift in zip(known, shifts, strict=True)
        ]
        run.append(TrackedFrame(float(k), filmed(scene, k, exposure, motion), tuple(paths)))
    return run


@pytest.mark.parametrize("exposure", [0.25, 0.4, 0.6, 0.8])
def test_exposure_is_found_where_frames_move_differently(scene: Picture, exposure: float) -> None:
    assert find_reference_exposure([tracked_frames(scene, exposure, SHAKE)]) == pytest.approx(
        exposure, rel=0.3
    )


def test_sharp_frames_have_no_exposure(scene: Picture) -> None:
    assert find_reference_exposure([tracked_frames(scene, 0.0, SHAKE)]) == 0.0


def test_no_exposure_is_found_without_evidence(scene: Picture) -> None:
    # All frames moved equally: every exposure explains them.
    assert find_reference_exposure([tracked_frames(scene, 0.5, PAN)]) == 0.0
    # EIS: the blur of a shake without its motion.
    still = [
        replace(m, paths=tuple((dt, 0 * flow) for dt, flow in m.paths))
        for m in tracked_frames(scene, 0.4, SHAKE)
    ]
    assert find_reference_exposure([still]) == 0.0
    assert (
        find_reference_exposure([]) == find_reference_exposure([tracked_frames(scene, 0.4, SHAKE)[:1]]) == 0.0
    )


def test_travel_is_the_displacement_during_the_exposure(scene: Picture) -> None:
    frame = tracked_frames(scene, 0.0, SHAKE)[4]
    for exposure in (0.0, 0.2, 0.6):
        travel_px = np.subtract(position(4 + exposure / 2, SHAKE), position(4 - exposure / 2, SHAKE))
        np.testing.assert_allclose(travel(frame, exposure)[50, 70], travel_px, atol=0.02)


def test_response_equals_the_mean_of_shifted_waves() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(0, 8, (5, 2)).astype(np.float32)
    down, across = Tiles(16, (16, 16)).frequencies
    instants = (np.arange(4001) + 0.5) / 4001 - 0.5
    for vector, found in zip(vectors, blur_response(cycles_along(vectors, down, across)), strict=True):
        phases = (across * vector[0] + down * vector[1])[..., None] * instants
        np.testing.assert_allclose(found, np.exp(-2j * np.pi * phases).mean(axis=-1).real, atol=1e-3)


@pytest.mark.parametrize("size", [(61, 90), (64, 64), (7, 33)])
def test_tiles_add_up_to_the_picture(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).random((size[1], size[0]), np.float32)
    tiles = Tiles(16, size)
    padded = tiles.padded(picture)
    total = np.zeros_like(padded)
    for row in range(tiles.counts[0]):
        tiles.fold(total, row, tiles.packed_spectra(tiles.cut(padded, row)))
    np.testing.assert_allclose(tiles.inner(total), picture, atol=1e-5)


def test_packed_spectra_take_a_response_at_their_frequencies() -> None:
    def response(down: Picture, across: Picture) -> Picture:
        """A motion blur that leaves nothing of the highest frequencies, which stand for both signs."""
        seen = np.sinc(9 * across - 5 * down) * (0.5 - across) * (0.5 - np.abs(down))
        return np.asarray(seen, np.float32)

    tiles = Tiles(16, (16, 16))
    picture = np.random.default_rng(2).random((1, 16, 16), np.float32)
    spectrum = np.fft.rfft2(picture * tiles.window) * response(*tiles.frequencies)
    wanted = np.fft.irfft2(spectrum) * tiles.window
    found = np.zeros((16, 16), np.float32)
    packed = tiles.packed_spectra(picture) * response(*tiles.packed_frequencies)
    tiles.fold(found, 0, packed.astype(np.float32))
    np.testing.assert_allclose(found, wanted[0], atol=1e-6)


def warped(scene: Picture, exposure: float, k: int) -> list[View]:
    """Five frames warped onto frame `k` by their true shifts."""
    views = []
    for j in range(k - 2, k + 3):
        x, y = np.subtract(position(j, SHAKE), position(k, SHAKE))
        matrix = np.array([[1, 0, x], [0, 1, y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        grey = cv2.warpAffine(
            filmed(scene, j, exposure, SHAKE), matrix, (WIDTH, HEIGHT), flags=flags,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        travel_px = np.subtract(position(j + exposure / 2, SHAKE), position(j - exposure / 2, SHAKE))
        weight = np.ones((HEIGHT // 4, WIDTH // 4), np.float32)
        views.append(
            View(np.asarray(grey, np.float32), weight, np.full((*weight.shape, 2), travel_px, np.float32))
        )
    return views


def error_db(picture: Picture, truth: Picture) -> float:
    inside = np.s_[40:-40, 48:-48]
    return float(-10 * np.log10(np.mean(np.square(picture[inside] - truth[inside]))))


@pytest.mark.parametrize(("exposure", "gain_db"), [(0.3, 1.5), (0.6, 3.0)])
def test_deconvolution_removes_blur_along_the_true_motion(
    scene: Picture, exposure: float, gain_db: float
) -> None:
    truth = filmed(scene, 4, 0.0, SHAKE, noise=0)
    views = warped(scene, exposure, 4)
    mean = np.asarray(np.mean([view.grey for view in views], axis=0), np.float32)
    plain, found = error_db(mean, truth), error_db(wiener_deconvolve(views, mean), truth)
    assert found > plain + gain_db
    across = [replace(view, travel=view.travel[..., ::-1].copy()) for view in views]
    assert error_db(wiener_deconvolve(across, mean), truth) < found - 1


def test_deconvolution_of_static_frames_is_their_mean(scene: Picture) -> None:
    views = [replace(view, travel=0 * view.travel) for view in warped(scene, 0.3, 4)]
    views[1] = replace(views[1], weight=0.5 * views[1].weight)
    mean = np.asarray(np.mean([view.grey for view in views], axis=0), np.float32)
    np.testing.assert_allclose(wiener_deconvolve(views, mean), mean, atol=2e-5)


def test_blur_longer_than_half_a_tile_is_not_deconvolved(scene: Picture) -> None:
    views = [replace(view, travel=0 * view.travel + 70) for view in warped(scene, 0.6, 4)]
    mean = np.asarray(np.mean([view.grey for view in views], axis=0), np.float32)
    np.testing.assert_allclose(wiener_deconvolve(views, mean), mean, atol=2e-5)


def test_a_view_with_zero_weight_is_ignored(scene: Picture) -> None:
    views = warped(scene, 0.3, 4)
    rubbish = View(1 - views[0].grey, 0 * views[0].weight, views[0].travel)
    mean = np.asarray(np.mean([view.grey for view in views], axis=0), np.float32)
    np.testing.assert_allclose(
        wiener_deconvolve([*views, rubbish], mean), wiener_deconvolve(views, mean), atol=1e-5
    )


def aligned(scene: Picture, exposure: float) -> list[AlignedFrame]:
    frames = []
    cells = HEIGHT // GUIDE_STRIDE, WIDTH // GUIDE_STRIDE
    for k in range(FRAMES):
        picture = np.rint(filmed(scene, k, exposure, SHAKE).clip(0, 1) * 65535).astype(np.uint16)
        flows = [np.subtract(position(j, SHAKE), position(k, SHAKE)) for j in (k - 1, k + 1)]
        travel_px = np.subtract(position(k + exposure / 2, SHAKE), position(k - exposure / 2, SHAKE))
        back, ahead, own = (
            np.full((*cells, 2), motion / GUIDE_STRIDE, np.float16) for motion in (*flows, travel_px)
        )
        target = Frame(k, k, Fraction(k, 30), np.zeros((HEIGHT, WIDTH, 3), np.uint16), None)
        reference = np.repeat(picture[..., None], 3, axis=2)
        guide = np.ones((*cells, 6), np.float16)
        frames.append(AlignedFrame(FramePair(target, None), reference, guide, back, ahead, own, False))
    return frames


def test_fused_references_lose_their_blur(scene: Picture) -> None:
    frames = aligned(scene, 0.4)
    unknown = [replace(frame, travel=0 * frame.travel) for frame in frames]
    gains = []
    for k, (known, plain) in enumerate(
        zip(fuse_references(frames, 2), fuse_references(unknown, 2), strict=True)
    ):
        truth = filmed(scene, k, 0.0, SHAKE, noise=0)
        assert known.reference is not None and plain.reference is not None
        before, after = (
            error_db(np.asarray(f.reference[..., 1] / 65535, np.float32), truth) for f in (plain, known)
        )
        gains.append(after - before)
    assert np.mean(gains) > 2
    assert min(gains) > 0


def test_a_blurred_frame_depends_on_its_window_alone(scene: Picture) -> None:
    frames = aligned(scene, 0.4)
    whole = list(fuse_references(frames, 1))
    part = list(fuse_references(frames[3:6], 1))
    np.testing.assert_array_equal(part[1].reference, whole[4].reference)
    # With nothing around it a frame stays as it is.
    for given, alone in zip(frames, fuse_references(frames, 0), strict=True):
        np.testing.assert_array_equal(alone.reference, given.reference)


@pytest.mark.slow
def test_a_synthetic_shake_gives_its_exposure_and_the_travel_of_every_frame() -> None:
    picture = texture(900, 700, seed=8, finest=2.0)
    made = shake_pair(
        picture, ShakeConfig(seed=3, size=(320, 224), frames=9, exposure=0.8, ultra_exposure=0.4, scale=1.0,
        shake=Shake(24.0, roll_share=0.0), rig=LensRig(1.9, 0.2, (3.0, -2.0)),
    ))  # fmt: skip
    found, frames = register(frame_pairs(made), LensPrior())
    assert found.reference_exposure == pytest.approx(0.4, rel=0.35)
    assert made.motion is not None
    middle = np.array([160.0, 112.0, 1.0])
    for k in range(2, 7):
        here, before, after = (made.motion[0, t, 0] for t in (k, k - 1, k + 1))
        ends = [np.linalg.inv(there) @ here @ middle for there in (before, after)]
        speed = (ends[1][:2] / ends[1][2] - ends[0][:2] / ends[0][2]) / 2
        velocity = frames[k].travel[28, 40].astype(float) * GUIDE_STRIDE / found.reference_exposure
        np.testing.assert_allclose(velocity, speed, atol=2.0 + 0.2 * np.hypot(*speed))
