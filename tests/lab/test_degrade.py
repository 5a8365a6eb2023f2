"""Looks and faults: what a codec, a tone curve and a missing frame do, and that nothing happens unasked."""

from dataclasses import replace

import numpy as np
import pytest
from factories.textures import moving_video, psnr, texture

from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb, to_bytes
from asled_cli.lab.camera.degradation import (
    Codec,
    SensorModel,
    ToneCurve,
    add_noise,
    encode_and_decode,
)
from asled_cli.lab.datasets.sources import Sources
from asled_cli.lab.eval_sets.builders import VideoClip
from asled_cli.lab.eval_sets.catalogue import EVAL_SETS, EvalClip, EvalSet
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair
from asled_cli.lab.synthesis.synthetic_pair import Faults

VIDEO = moving_video(14)
SIZE = (96, 64)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_codec_keeps_frames_and_loses_detail_with_crf(codec: Codec) -> None:
    good, poor = (encode_and_decode(VIDEO[:7, :96, :160], codec, crf) for crf in (14, 36))
    assert good.shape == (7, 96, 160, 3)
    assert psnr(good, VIDEO[:7, :96, :160]) > psnr(poor, VIDEO[:7, :96, :160]) + 4.0
    np.testing.assert_array_equal(good, encode_and_decode(VIDEO[:7, :96, :160], codec, 14))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_codec_shifts_neither_brightness_nor_colour(codec: Codec) -> None:
    """A shift by part of a level is invisible, but a network learns it and shifts all its results."""
    x, y = np.meshgrid(np.linspace(0.2, 0.8, 160), np.linspace(0.0, 1.0, 96))
    ramps = to_bytes(np.dstack((x, 0.25 + 0.5 * y, 0.8 - 0.3 * (x + y))).clip(0.1, 0.9))
    coded = encode_and_decode(np.stack([ramps] * 3), codec, 10).astype(np.float64)
    error = coded - ramps
    np.testing.assert_allclose(error.mean(axis=(0, 1, 2)), 0.0, atol=0.5)
    assert error.std() < 1.0


def test_light_and_bytes_are_inverse() -> None:
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_bytes(linear_to_srgb(bytes_to_linear(values))), values)


def test_a_plain_look_changes_nothing() -> None:
    frames = VIDEO[:2].astype(np.float32) / 255.0
    np.testing.assert_array_equal(SensorModel().apply(frames, np.random.default_rng(0)), VIDEO[:2])


def test_a_set_may_leave_coding_out_and_nothing_else() -> None:
    sources = Sources({}, {"video": VIDEO})  # type: ignore[dict-item]
    noisy = SensorModel(noise=(0.01, 0.02), codec="h264", crf=24)

    def make(sensor: SensorModel) -> EvalClip:
        settings = {"size": SIZE, "frames": 6, "count": 3, "wide_sensor": sensor, "ultra_sensor": sensor}
        return EvalClip("average", False, 2, VideoClip("video", 0, settings))

    clips = {"clip": make(noisy), "never coded": make(replace(noisy, codec=None))}
    coded, uncompressed = (EvalSet("", 1, clips, on) for on in (True, False))
    plain = uncompressed.make(sources, "clip")
    wanted, other = (coded.make(sources, name) for name in ("never coded", "clip"))
    for view in ("wide", "ultra", "truth"):
        np.testing.assert_array_equal(getattr(plain, view), getattr(wanted, view))
    assert psnr(other.wide, plain.wide) < 45 and psnr(other.ultra, plain.ultra) < 45
    for split in ("valid", "test", "strong", "defocus"):
        assert EVAL_SETS[split].clips == EVAL_SETS[f"{split}-uncompressed"].clips
        assert EVAL_SETS[split].name != EVAL_SETS[f"{split}-uncompressed"].name  # scores are kept by it


def test_tone_is_gain_gamma_bias_per_channel() -> None:
    tone = ToneCurve(gain=(1.1, 1.0, 0.9), gamma=(1.2, 1.0, 0.8), bias=(0.02, 0.0, -0.02))
    grey = np.full((1, 1, 3), 0.5, np.float32)
    expected = [1.1 * 0.5**1.2 + 0.02, 0.5, 0.9 * 0.5**0.8 - 0.02]
    np.testing.assert_allclose(tone.apply(grey)[0, 0], expected, rtol=1e-5)


def test_noise_grows_with_brightness() -> None:
    generator = np.random.default_rng(0)
    spreads = [float(add_noise(np.full((128, 128, 3), v, np.float32), (0.01, 0.05), 0.0, generator).std())
               for v in (0.0, 1.0)]  # fmt: skip
    np.testing.assert_allclose(spreads, [0.01, np.hypot(0.01, 0.05)], rtol=0.03)


def test_a_lag_shows_the_next_moment() -> None:
    settings = {"seed": 2, "size": SIZE, "frames": 6, "count": 3}
    late = average_pair(VIDEO, AverageConfig(start=2, faults=Faults(lag_frames=1), **settings))  # type: ignore[arg-type]
    plain = average_pair(VIDEO, AverageConfig(start=3, **settings))  # type: ignore[arg-type]
    np.testing.assert_array_equal(late.ultra_clean, plain.ultra_clean)
    np.testing.assert_array_equal(late.ultra[:-1], plain.ultra_clean[1:])


def test_missing_frames_are_black_and_marked() -> None:
    pair = average_pair(
        VIDEO, AverageConfig(seed=2, size=SIZE, frames=6, count=3, faults=Faults(missing=(1, 4)))
    )
    assert pair.reference_valid.tolist() == [True, False, True, True, False, True]
    assert not pair.ultra[[1, 4]].any()
    assert pair.ultra[[0, 2, 3, 5]].any(axis=(1, 2, 3)).all()


def test_a_finger_covers_its_share() -> None:
    video = np.repeat(np.full_like(texture(320, 240)[None], 200), 8, axis=0)
    pair = average_pair(video, AverageConfig(seed=2, size=SIZE, frames=4, count=1, faults=Faults(finger=0.4)))
    assert 0.3 < float((pair.ultra < 180).mean()) < 0.5
    assert (pair.ultra_clean == 200).all()
