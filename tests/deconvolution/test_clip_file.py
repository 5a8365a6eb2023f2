"""Clips in files, and frames whose times are uneven."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip
from factories.shaken_clip import make_shaken_clip

from asled_cli.deconvolution.clip_file import deblur_clip, measure_exposure
from asled_cli.deconvolution.single_lens import SingleLensConfig
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.frames import Frame

_STEP = Fraction(1, 30)
_CONFIG = SingleLensConfig(rounds=1, around=2)


def _frames(pictures: np.ndarray, times: list[int]) -> list[Frame]:
    return [
        Frame(i, time, time * _STEP, rgb, None)
        for i, (time, rgb) in enumerate(zip(times, pictures, strict=True))
    ]


def test_sharp_clip_in_a_file_has_no_exposure(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "clip.mp4", size=(192, 128), smooth=True))
    assert measure_exposure(clip).exposure == 0.0
    assert measure_exposure(clip, clip.start_s + 1, clip.start_s + 2).exposure == 0.0


def test_every_frame_comes_back_in_order() -> None:
    pictures = make_shaken_clip(frames=7, size=(160, 96)).wide
    frames = _frames(pictures, list(range(7)))
    found = list(deblur_clip(frames, 0.8, _STEP, _CONFIG))
    assert [frame.index for frame, _ in found] == list(range(7))
    assert found[3][1].change is not None


@pytest.mark.parametrize("exposure", [0.0, 0.8])
def test_a_missing_frame_separates(exposure: float) -> None:
    pictures = make_shaken_clip(frames=8, size=(160, 96)).wide
    whole = list(deblur_clip(_frames(pictures, [0, 1, 2, 3, 5, 6, 7, 8]), exposure, _STEP, _CONFIG))
    apart = [
        *deblur_clip(_frames(pictures[:4], [0, 1, 2, 3]), exposure, _STEP, _CONFIG),
        *deblur_clip(_frames(pictures[4:], [5, 6, 7, 8]), exposure, _STEP, _CONFIG),
    ]
    assert len(whole) == 8
    for (_, one), (_, other) in zip(whole, apart, strict=True):
        if one.change is None or other.change is None:
            assert one.change is other.change
        else:
            assert one.change == pytest.approx(other.change, abs=1e-5)
