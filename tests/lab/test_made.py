"""The training distribution: same seed same clip, splits apart, draws within the stated bounds."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.textures import moving_video, texture, write_video

from asled_cli.errors import InputError
from asled_cli.lab.camera.degradation import SensorModel
from asled_cli.lab.datasets.sources import HELD_OUT_PHOTOS, HELD_OUT_VIDEOS, Sources, find_sources
from asled_cli.lab.eval_sets.builders import PhotoClip
from asled_cli.lab.eval_sets.validation import VALIDATION_CLIPS, validation_pairs
from asled_cli.lab.synthesis.random_clip import (
    STRONG_ODDS,
    USUAL_ODDS,
    Odds,
    at_phone_bit_rates,
    fit_size,
    in_good_light,
    random_faults,
    random_pair,
    random_rig,
    random_tone,
)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    for index, name in enumerate(("alley", "meadow", "half_dome_snow")):
        cv2.imwrite(str(folder / f"{name}.png"), texture(480, 400, seed=index))
    write_video(folder / "walk.mp4", moving_video(24))
    write_video(folder / "sam2_football_juggle.mp4", moving_video(24))
    return folder


def test_the_splits_share_nothing_and_make_up_the_whole(material: Path) -> None:
    train, held_out, everything = (find_sources(material, split) for split in ("train", "held-out", "all"))
    assert set(train.photos) == {"alley", "meadow"} and set(train.videos) == {"walk"}
    assert set(held_out.photos) == {"half_dome_snow"} and set(held_out.videos) == {"sam2_football_juggle"}
    assert {**train.photos, **held_out.photos} == everything.photos


def test_a_folder_can_name_its_own_held_out_files(material: Path, tmp_path: Path) -> None:
    for path in material.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "held_out.txt").write_text("alley\n")
    assert set(find_sources(tmp_path, "held-out").photos) == {"alley", "half_dome_snow"}


def test_no_material_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photo and no video of the train split"):
        find_sources(tmp_path, "train")
    with pytest.raises(InputError, match="is no folder"):
        find_sources(tmp_path / "absent", "train")


@pytest.mark.parametrize("average", [0.0, 1.0])
def test_a_seed_is_a_clip(material: Path, average: float) -> None:
    sources = find_sources(material, "train")
    settings = {"frames": 5, "size": (128, 96), "odds": Odds(average=average)}
    one, same = (random_pair(sources, 11, **settings) for _ in range(2))  # type: ignore[arg-type]
    for field in ("wide", "ultra", "truth", "true_reference"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert one.kind == ("average" if average else "shake")
    assert one.parameters == same.parameters
    assert len(one.wide) == len(one.ultra) == len(one.truth) == len(one.reference_valid) == 5


def test_odds_of_one_always_happen(material: Path) -> None:
    sources = find_sources(material, "train")
    odds = Odds(average=1.0, sharp_wide=1.0, missing_frames=1.0, lag=1.0, finger=1.0)
    pair = random_pair(sources, 3, frames=5, size=(96, 64), odds=odds)
    assert pair.exposure == 0.0 and not pair.reference_valid.all()
    assert pair.parameters["faults"]["lag_frames"] in (-1, 1) and pair.parameters["faults"]["finger"] > 0.0


def test_strong_odds_blur_every_clip(material: Path) -> None:
    sources = find_sources(material, "train")
    for seed, average in ((0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)):
        odds = replace(STRONG_ODDS, average=average)
        found = random_pair(sources, seed, frames=3, size=(96, 64), odds=odds).parameters
        assert found["count"] >= 5 if average else found["exposure"] > 0 and found["shake"]["blur_px"] >= 8


@pytest.mark.parametrize("odds", [USUAL_ODDS, STRONG_ODDS])
def test_clips_of_phone_bit_rates_are_all_compressed(material: Path, odds: Odds) -> None:
    sources = find_sources(material, "train")
    phone = at_phone_bit_rates(odds)
    for seed in range(6):
        usual = random_pair(sources, seed, frames=2, size=(96, 64), odds=odds).parameters
        found = random_pair(sources, seed, frames=2, size=(96, 64), odds=phone).parameters
        for lens, most in (("wide_sensor", 31), ("ultra_sensor", 33)):
            assert found[lens]["codec"] in ("hevc", "h264")
            assert 23 <= found[lens]["crf"] <= most
        assert found["rig"] == usual["rig"], "only the compression differs"


def test_draws_stay_within_the_stated_bounds() -> None:
    draw = np.random.default_rng(0)
    rigs = [random_rig(draw) for _ in range(300)]
    assert all(1.5 <= rig.ratio <= 2.2 and np.hypot(*rig.shift_px) <= 12.0 for rig in rigs)
    faults = [random_faults(14, draw) for _ in range(2000)]
    assert np.isclose(np.mean([bool(f.missing) for f in faults]), 0.08, atol=0.02)
    assert all(f.missing == tuple(sorted(set(f.missing))) and max(f.missing, default=0) < 14 for f in faults)
    gains = [random_tone(draw, big=1.0).gain[0] for _ in range(200)]
    assert np.std(gains) > 0.1


def test_fit_size_keeps_proportion_and_multiples() -> None:
    assert fit_size((448, 256), (1280, 720), 2.0) == (448, 256)
    assert fit_size((448, 256), (640, 480), 2.0) == (320, 176)


def test_no_source_of_the_asked_kind_is_one_sentence() -> None:
    with pytest.raises(InputError, match="No video to draw from"):
        random_pair(Sources({}, {}), 0, odds=Odds(average=1.0))


def test_validation_clips_use_held_out_material_only() -> None:
    assert len(VALIDATION_CLIPS) == 10
    names = {clip.name for clip in VALIDATION_CLIPS.values()}
    names |= {clip.near for clip in VALIDATION_CLIPS.values() if isinstance(clip, PhotoClip) and clip.near}
    assert names <= HELD_OUT_PHOTOS | HELD_OUT_VIDEOS
    with pytest.raises(InputError, match="validation clips need sam2_football_juggle"):
        next(validation_pairs(Sources({}, {})))


def test_good_light_leaves_little_noise_and_coding_in_both_views() -> None:
    sensor = SensorModel(noise=(0.01, 0.02), codec="h264", crf=24)
    never, always = Odds(good_light=0.0), Odds(good_light=1.0)
    seeds = range(400)
    assert all(in_good_light(sensor, seed, never) == sensor for seed in seeds)
    bright = [in_good_light(sensor, seed, always) for seed in seeds]
    assert all(new.noise == (0.0025, 0.005) and new.crf == 18 for new in bright)
    assert 0.4 < np.mean([new.codec is None for new in bright]) < 0.6
    # About as often as the odds say, and for both lenses of a clip or for neither.
    usual = [in_good_light(sensor, seed) != sensor for seed in seeds]
    assert 0.23 < np.mean(usual) < 0.37
    assert usual == [in_good_light(replace(sensor, crf=20), seed).crf == 14 for seed in seeds]
