"""Exposures found from frames that moved unlike each other."""

from dataclasses import asdict

import cv2
import pytest
from factories.shaken_clip import make_shaken_clip

from asled_cli.deconvolution.clip_exposure import clip_exposure
from asled_cli.deconvolution.exposure import ExposureFit, kept_fit


def test_exposure_of_a_shaken_clip() -> None:
    found = clip_exposure([list(make_shaken_clip(exposure=0.4, frames=7).wide)])
    assert found.exposure == pytest.approx(0.4, rel=0.1)
    assert found.explained > 0.5
    assert found.along_path


def test_no_path_tells_the_blur_of_a_stabilised_clip() -> None:
    found = clip_exposure([list(make_shaken_clip(frames=9, stabilised=True).wide)])
    assert found.exposure > 0
    assert not found.along_path
    assert kept_fit(asdict(found)) == found
    assert kept_fit({"exposure": 0.5, "explained": 0.6, "motion": "camera"}) == ExposureFit(0.5, 0.6)


def test_sharp_frames_have_none() -> None:
    assert clip_exposure([list(make_shaken_clip(exposure=0.0, frames=7).wide)]).exposure == 0.0


def test_short_stretches_do_not_tell() -> None:
    assert clip_exposure([list(make_shaken_clip(frames=3).wide)]).exposure == 0.0
    assert clip_exposure([]).exposure == 0.0


def test_blur_that_is_not_of_the_camera_is_not_believed() -> None:
    frames = []
    for t, frame in enumerate(make_shaken_clip(exposure=0.0, frames=7).truth):
        length = (3, 9)[t % 2]
        frames.append(cv2.blur(frame, (length, 1) if t % 3 else (1, length)))
    assert clip_exposure([frames]).exposure == 0.0


def test_search_leaves_a_start_that_is_far_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "asled_cli.deconvolution.clip_exposure.find_exposure", lambda runs: ExposureFit(0.35, 0.1)
    )
    found = clip_exposure([list(make_shaken_clip(exposure=0.8, frames=7).wide)])
    assert found.exposure == pytest.approx(0.8, rel=0.1)
