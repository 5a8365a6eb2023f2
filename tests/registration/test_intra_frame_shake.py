"""Intra-frame camera shake: estimated from the target's blur, and not where the blur does not show it."""

import cv2
import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray

from asled_cli.imaging.homography import pixel_grid
from asled_cli.registration.blur.intra_frame_shake import fit_intra_frame_shake
from asled_cli.registration.blur.reblur import Reblur
from asled_cli.registration.blur.reference_motion import TrackedFrame
from asled_cli.registration.model.exposure import NO_SHAKE, ExposureInstant, IntraFrameShake, MotionBlur

SIZE = (160, 112)
PAN = (9.0, 4.0)  # pixels per frame
EXPOSURE = MotionBlur(0.9)
WAVE = IntraFrameShake(odd=(1.6, -2.2), even=(-0.8, 1.2))


def filmed(scene: NDArray[np.float32], x: float, y: float) -> NDArray[np.float32]:
    """The scene's middle, displaced to the right and down by (x, y)."""
    left, top = (scene.shape[1] - SIZE[0]) / 2 - x, (scene.shape[0] - SIZE[1]) / 2 - y
    matrix = np.array([[1, 0, left], [0, 1, top]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(scene, matrix, SIZE, flags=flags), np.float32)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float32]:
    picture = texture(220, 200, seed=4)[..., 1].astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.float32)


@pytest.fixture(scope="module")
def reference(scene: NDArray[np.float32]) -> Reblur:
    """Five frames of a steady pan; what happens between them they do not show."""
    frames = []
    for k in range(-2, 3):
        known = [j for j in range(-2, 3) if j != k]
        flows = [np.full((SIZE[1], SIZE[0], 2), np.array(PAN) * (j - k), np.float32) for j in known]
        paths = tuple((float(j - k), flow) for j, flow in zip(known, flows, strict=True))
        frames.append(TrackedFrame(float(k), filmed(scene, PAN[0] * k, PAN[1] * k), paths))
    return Reblur(frames)


def exposed(scene: NDArray[np.float32], shake: IntraFrameShake, shift: float = 0.0) -> NDArray[np.float32]:
    """The mean of 200 instants along the pan and the wave about it."""
    total = np.zeros((SIZE[1], SIZE[0]), np.float32)
    for t in EXPOSURE.length * ((np.arange(200) + 0.5) / 200 - 0.5):
        s = np.sin(np.pi * t)
        x, y = (PAN[i] * t + shake.odd[i] * s + shake.even[i] * s * s for i in (0, 1))
        total += filmed(scene, x + shift, y)
    return total / 200


def found(
    reference: Reblur, target: NDArray[np.float32], start: IntraFrameShake = NO_SHAKE
) -> IntraFrameShake:
    u, v = pixel_grid(SIZE)
    return fit_intra_frame_shake(reference, target, u, v, 0.0, EXPOSURE, start)


def waves(shake: IntraFrameShake) -> NDArray[np.float64]:
    return np.array([shake.odd, shake.even])


def test_shake_is_estimated_from_the_blur(scene: NDArray[np.float32], reference: Reblur) -> None:
    target = exposed(scene, WAVE)
    got = found(reference, target)
    assert np.abs(waves(got) - waves(WAVE)).max() < 0.35
    inner = (slice(12, -12), slice(12, -12))
    before = np.abs(target - reference.exposed_at(0.0, EXPOSURE))[inner].mean()
    after = np.abs(target - reference.exposed_at(0.0, EXPOSURE, got))[inner].mean()
    assert after < before / 4
    again = found(reference, target, start=got)
    assert np.abs(waves(again) - waves(got)).max() < 0.1


def test_no_shake_is_found_in_a_uniform_pan_or_a_misaligned_one(
    scene: NDArray[np.float32], reference: Reblur
) -> None:
    assert np.abs(waves(found(reference, exposed(scene, NO_SHAKE)))).max() < 0.15
    assert np.abs(waves(found(reference, exposed(scene, NO_SHAKE, shift=0.7)))).max() < 0.3


def test_shake_vanishes_at_the_frames_and_scales_with_the_picture() -> None:
    for phase in (-2.0, -1.0, 0.0, 1.0):
        assert WAVE.at(ExposureInstant(phase, phase)) == pytest.approx((0, 0), abs=1e-9)
    between = ExposureInstant(0.3, 0.3)
    assert WAVE.scaled(0.5).at(between) == pytest.approx(tuple(c / 2 for c in WAVE.at(between)))


def test_the_slopes_are_derivatives_of_the_reblurred_view(reference: Reblur) -> None:
    exposure = MotionBlur(0.9, linear=True)
    view, slopes = reference.exposed_slopes(0.0, exposure, WAVE)
    assert view == pytest.approx(reference.exposed_at(0.0, exposure, WAVE))
    step = 0.3
    changed = IntraFrameShake((WAVE.odd[0] + step, WAVE.odd[1]), (WAVE.even[0], WAVE.even[1] + step))
    actual = reference.exposed_at(0.0, exposure, changed) - view
    predicted = (slopes[0] + slopes[3]) * step
    inner = (slice(8, -8), slice(8, -8))
    assert np.corrcoef(actual[inner].ravel(), predicted[inner].ravel())[0, 1] > 0.99
    assert np.abs(actual - predicted)[inner].mean() < 0.12 * np.abs(actual)[inner].mean()


def test_long_or_slow_exposures_have_no_shake(scene: NDArray[np.float32], reference: Reblur) -> None:
    u, v = pixel_grid(SIZE)
    target = exposed(scene, WAVE)
    for exposure in (MotionBlur(3.0), MotionBlur(3.0, discrete_frames=True), MotionBlur(0.1)):
        assert fit_intra_frame_shake(reference, target, u, v, 0.0, exposure) == NO_SHAKE
