"""EIS: clips whose frames were moved by software, so that blur must be estimated per frame."""

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.textures import psnr, texture
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, shift

from asled_cli.imaging.homography import pixel_grid
from asled_cli.job.tally import registration_info
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import HandMotion, Lens, film
from asled_cli.lab.camera.hand_shake import Trajectory
from asled_cli.registration.analyse import analyse
from asled_cli.registration.blur.intra_frame_shake import fit_intra_frame_shake
from asled_cli.registration.blur.linear_blur import find_linear_blur, linear_kernel
from asled_cli.registration.blur.reblur import Reblur
from asled_cli.registration.blur.reference_motion import TrackedFrame
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import IntraFrameShake, KernelBlur, MotionBlur
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.registration.stabilisation.ois_tracking import follow_clip
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import Frame, FramePair

SIZE, RATIO, RATE = (192, 108), 1.6, 30
EXPOSURE_S = 0.7 / RATE
EIS_EXPOSURE = KernelBlur(0.6)
Pictures = NDArray[np.uint8]


# Linear motion blur kernels.


@pytest.mark.parametrize("vector", [(0.0, 0.0), (3.4, 0.0), (0.0, -2.5), (7.3, 5.1), (-6.0, 1.0)])
def test_a_linear_kernel_equals_the_mean_of_shifted_pictures(vector: tuple[float, float]) -> None:
    picture = texture(60, 50, seed=3)[..., 1].astype(np.float32)
    shares = (np.arange(400) + 0.5) / 400 - 0.5
    moved = [shift(picture, (vector[1] * s, vector[0] * s), order=1, mode="nearest") for s in shares]
    kernel = linear_kernel(vector)
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(
        cv2.filter2D(picture, -1, kernel)[inner], np.mean(moved, axis=0)[inner], atol=0.5
    )
    np.testing.assert_allclose(linear_kernel((-vector[0], -vector[1])), kernel, atol=1e-6)


PAN = (2.0, -1.0)  # pixels per interval: the motion left between EIS frames


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float32]:
    picture = texture(300, 240, seed=8)[..., 1].astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.2), np.float32)


def seen(scene: NDArray[np.float32], x: float, y: float) -> NDArray[np.float32]:
    """The scene's middle, displaced to the right and down by (x, y)."""
    left, top = (scene.shape[1] - 200) / 2 - x, (scene.shape[0] - 140) / 2 - y
    matrix = np.array([[1, 0, left], [0, 1, top]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(scene, matrix, (200, 140), flags=flags), np.float32)


@pytest.fixture(scope="module")
def reference(scene: NDArray[np.float32]) -> Reblur:
    frames = []
    for k in range(-2, 3):
        known = [j for j in range(-2, 3) if j != k]
        flows = [np.full((140, 200, 2), np.array(PAN) * (j - k), np.float32) for j in known]
        paths = tuple((float(j - k), flow) for j, flow in zip(known, flows, strict=True))
        frames.append(TrackedFrame(float(k), seen(scene, PAN[0] * k, PAN[1] * k), paths))
    return Reblur(frames)


def smeared(
    scene: NDArray[np.float32], whole: tuple[float, float], bend: tuple[float, float]
) -> NDArray[np.float32]:
    """The mean over an exposure in which the hand moves by `whole` pixels, aside by `bend` at both ends."""
    shares = (np.arange(200) + 0.5) / 200 - 0.5
    views = [
        seen(scene, *(w * s + b * (2 * s) ** 2 for w, b in zip(whole, bend, strict=True))) for s in shares
    ]
    return np.asarray(np.mean(views, axis=0), np.float32)


@pytest.mark.parametrize("whole", [(14.0, 3.0), (-5.0, 20.0), (9.0, -9.0), (0.0, 6.0)])
def test_the_kernel_of_a_frame_is_found_from_its_blur(
    scene: NDArray[np.float32], reference: Reblur, whole: tuple[float, float]
) -> None:
    target = smeared(scene, whole, (0.0, 0.0))
    x, y = pixel_grid((200, 140))
    vector = find_linear_blur(target, reference, x, y, 0.0, EIS_EXPOSURE)
    total = (np.array(vector) + PAN) * EIS_EXPOSURE.length
    total *= np.sign(total @ whole)  # a linear kernel has no sign
    np.testing.assert_allclose(total, whole, atol=0.9)
    # Of both directions the one in which the frames show the camera move.
    assert (np.array(vector) + PAN) @ PAN > 0


def test_the_kernel_is_given_in_canvas_pixels(scene: NDArray[np.float32], reference: Reblur) -> None:
    target = smeared(scene, (12.0, 6.0), (0.0, 0.0))
    doubled = np.asarray(cv2.resize(target, (400, 280), interpolation=cv2.INTER_CUBIC), np.float32)
    x, y = ((places - np.float32(0.5)) / 2 for places in pixel_grid((400, 280)))
    total = (
        np.array(find_linear_blur(doubled, reference, x, y, 0.0, EIS_EXPOSURE)) + PAN
    ) * EIS_EXPOSURE.length
    np.testing.assert_allclose(total * np.sign(total[0]), (12.0, 6.0), atol=0.9)


def test_the_blur_trajectory_may_be_curved(scene: NDArray[np.float32], reference: Reblur) -> None:
    target = smeared(scene, (16.0, 4.0), (-1.0, 3.0))
    x, y = pixel_grid((200, 140))
    inner = (slice(14, -14), slice(14, -14))

    def residual(shake: IntraFrameShake) -> float:
        return float(np.abs(target - reference.exposed_at(0.0, EIS_EXPOSURE, shake))[inner].mean())

    straight = IntraFrameShake(linear=find_linear_blur(target, reference, x, y, 0.0, EIS_EXPOSURE))
    bent = fit_intra_frame_shake(reference, target, x, y, 0.0, EIS_EXPOSURE)
    assert residual(IntraFrameShake()) > 3 * residual(straight) > 4.5 * residual(bent)
    np.testing.assert_allclose(
        reference.exposed_at(0.0, EIS_EXPOSURE, bent),
        reference.exposed_at(0.0, EIS_EXPOSURE, bent.scaled(2).scaled(0.5)),
        atol=1e-6,
    )


def test_the_kernel_is_finite_without_texture_or_overlap(reference: Reblur) -> None:
    flat = np.full((140, 200), 0.4, np.float32)
    x, y = pixel_grid((200, 140))
    assert np.isfinite(find_linear_blur(flat, reference, x, y, 0.0, EIS_EXPOSURE)).all()
    away = x + np.float32(1000)
    assert np.isfinite(find_linear_blur(flat, reference, away, y, 0.0, EIS_EXPOSURE)).all()


# Whole clips.


HAND = HandMotion(
    np.array([[15.0, 12.0, 0.004], [10.0, 13.0, 0.003], [8.0, 7.0, 0.001]]),
    np.array([[1.9, 2.3, 2.0], [3.7, 4.4, 3.0], [6.1, 5.2, 5.0]]),
    np.array([[0.3, 1.1, 0.2], [2.0, 4.0, 1.0], [5.0, 0.5, 3.0]]),
)


@dataclass(frozen=True)
class StabilisedMotion(HandMotion):
    """Hand motion within one frame whose position EIS has shifted: 95 % of the shift is removed."""

    frame_s: float = 0.0

    def at(self, time_s: float) -> NDArray[np.float64]:
        pose = super().at(time_s)
        pose[:2] -= 0.95 * super().at(self.frame_s)[:2]
        return pose


def filmed(lens: Lens, times: list[float], *, eis: bool) -> Pictures:
    wall = texture(640, 420, seed=6)
    hands = [StabilisedMotion(HAND.amplitude, HAND.frequency, HAND.phase, t) if eis else HAND for t in times]
    return np.concatenate([film(wall, h, lens, [t], SIZE) for h, t in zip(hands, times, strict=True)])


def synthetic(*, wide: bool, ultra: bool, frames: int = 14) -> tuple[list[FramePair], Pictures]:
    """Return pairs whose clips have EIS or not, and the sharp wide view."""
    times = [i / RATE for i in range(frames)]

    def rig(_: float) -> LensRig:
        return LensRig(RATIO, 0.4, (2.0, -1.0))

    lenses = Lens(SIZE, None, EXPOSURE_S), Lens(SIZE, rig, 0.05 * EXPOSURE_S), Lens(SIZE)
    wides, ultras, truth = (
        filmed(lens, times, eis=is_eis) for lens, is_eis in zip(lenses, (wide, ultra, wide), strict=True)
    )
    pairs = [
        FramePair(
            Frame(i, i, Fraction(i, RATE), to_16_bit(a), None),
            Frame(i, i, Fraction(i, RATE), to_16_bit(b), None),
        )
        for i, (a, b) in enumerate(zip(wides, ultras, strict=True))
    ]
    return pairs, truth


def swapped(aligned: AlignedFrame) -> NDArray[np.float64]:
    target = aligned.pair.target.rgb.astype(np.float64)
    assert aligned.reference is not None
    return np.asarray((target + swap_weight(aligned)[..., None] * (aligned.reference - target)) / 257)


def gains(pairs: list[FramePair], truth: Pictures, registration: Registration) -> NDArray[np.float64]:
    """(N,) dB by which the result without a network is nearer to the truth than the input."""
    result = [swapped(a) for a in render_references(pairs, registration)]
    inputs = [p.target.rgb / 257 for p in pairs]
    return np.array([psnr(r, t) - psnr(i, t) for r, i, t in zip(result, inputs, truth, strict=True)])


@pytest.fixture(scope="module")
def both() -> tuple[list[FramePair], Pictures, Registration]:
    pairs, truth = synthetic(wide=True, ultra=True)
    return pairs, truth, analyse([pairs], LensPrior())


def test_eis_is_detected_from_the_blur(both: tuple[list[FramePair], Pictures, Registration]) -> None:
    pairs, truth, found = both
    assert (
        found.accepted
        and isinstance(found.exposure, KernelBlur)
        and found.ois_path is None
        and found.correlation > 0.97
    )
    assert found.target_exposure is None and registration_info(found)["exposure_frames"] is None
    assert found.fov_ratio == pytest.approx(RATIO, rel=0.004)
    assert gains(pairs, truth, found).mean() > 4


@pytest.mark.slow
def test_eis_clips_gain_about_as_much_as_unstabilised_ones(
    both: tuple[list[FramePair], Pictures, Registration],
) -> None:
    pairs, truth = synthetic(wide=False, ultra=False)
    found = analyse([pairs], LensPrior())
    assert found.accepted and isinstance(found.exposure, MotionBlur)
    assert found.target_exposure == pytest.approx(EXPOSURE_S * RATE, rel=0.3)
    plain = gains(pairs, truth, found)[2:-2].mean()
    assert gains(*both)[2:-2].mean() > plain - 1.0


@pytest.mark.slow
def test_eis_of_the_wide_clip_alone_is_handled_as_an_ois_path() -> None:
    pairs, truth = synthetic(wide=True, ultra=False)
    found = follow_clip(pairs, analyse([pairs], LensPrior()))
    taken = 0.95 * np.array([HAND.at(float(p.target.time))[:2] for p in pairs])
    assert found.accepted and found.ois_path is not None
    assert found.ois_rms_px == pytest.approx(np.sqrt(taken.var(axis=0).sum()), rel=0.05)
    assert isinstance(found.exposure, KernelBlur) and isinstance(found.ois_path.exposure, KernelBlur)
    gained = gains(pairs, truth, found)[2:-2]
    assert gained.mean() > 10 and gained.min() > -0.2  # one frame is sharp


def test_smoothing_a_path_equals_a_gaussian_filter() -> None:
    draw = np.random.default_rng(4)
    path = Trajectory(
        draw.uniform(1, 5, (4, 5)), draw.uniform(0.02, 0.2, (4, 5)), draw.uniform(0, 6, (4, 5)), np.zeros(5)
    )
    times = np.arange(-100, 160, 0.05)
    waves = np.array([path.waves_at(t)[:2] for t in times])
    lost = waves - gaussian_filter1d(waves, 4 / 0.05, axis=0, truncate=6)
    middle = slice(2000, -2000, 97)
    np.testing.assert_allclose([path.smoothed_away(t, 4.0) for t in times[middle]], lost[middle], atol=0.02)
    assert not path.smoothed_away(3.0, 0.0).any()
