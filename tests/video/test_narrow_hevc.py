"""x265 corrupts memory in pictures up to 48 pixels wide, unless its tree of coding units is off."""

from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip

from asled_cli.lab.camera.degradation import _encoder_options, encode_and_decode
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.encoder import EncodeConfig, choose_encoder


def params(path: Path, config: EncodeConfig) -> list[str]:
    return choose_encoder(probe_clip(path), config).options["x265-params"].split(":")


@pytest.mark.parametrize("size", [(16, 16), (48, 32), (48, 96)])
def test_narrow_pictures_are_encoded_without_the_tree(size: tuple[int, int], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size=size, ticks=(0, 20))
    assert params(clip, EncodeConfig("hevc"))[-1] == "cutree=0"
    wanted = EncodeConfig("hevc", options={"x265-params": "cutree=1"})
    assert params(clip, wanted)[-2:] == ["cutree=1", "cutree=0"]  # the last one counts


def test_others_with_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size=(64, 48), ticks=(0, 20))
    assert "cutree=0" not in params(clip, EncodeConfig("hevc"))


def test_narrow_training_clips() -> None:
    assert "cutree=0" in _encoder_options("hevc", 20, width=32)["x265-params"]
    assert "cutree=0" not in _encoder_options("hevc", 20, width=64)["x265-params"]
    for _ in range(5):
        assert encode_and_decode(np.zeros((3, 32, 32, 3), np.uint8), "hevc", 20).shape == (3, 32, 32, 3)
