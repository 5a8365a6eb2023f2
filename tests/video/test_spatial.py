"""Spatial clips (MV-HEVC): the main view is processed like any clip, the second one is named as not used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip
from factories.spatial import make_spatial_clip

from asled_cli.__main__ import main
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader


def test_frames_with_newer_kinds_of_side_data_are_read(tmp_path: Path) -> None:
    clip = probe_clip(make_spatial_clip(tmp_path / "spatial.mov"))
    assert clip.spatial and clip.views == 2
    with ClipReader(clip) as frames, ClipReader(replace(clip, view=1)) as others:
        for one, two in zip(frames, others, strict=True):
            assert one.rgb.shape == two.rgb.shape == (48, 64, 3) and one.pts == two.pts
            assert np.abs(one.rgb.astype(int) - two.rgb).mean() > 1000
    plain = probe_clip(make_clip(tmp_path / "plain.mov", codec="libx265"))
    assert not plain.spatial


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_main_view_goes_through_the_whole_job(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = str(make_spatial_clip(tmp_path / "wide.mov"))
    ultra = str(make_clip(tmp_path / "ultra.mov"))
    out = tmp_path / f"out{suffix}"
    assert main(["probe", wide, ultra, "--offset", "0"]) == 0
    command = ["deblur", wide, ultra, "--offset", "0", "--method", "swap", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    assert main(command) == 0
    said = capsys.readouterr()
    assert "only its main view is used" in " ".join((said.out + said.err).split())
    assert probe_clip(out).width == 64
