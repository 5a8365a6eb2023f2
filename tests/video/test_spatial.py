"""Spatial clips (MV-HEVC): the main view is processed like any clip, the second one is named as not used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip
from factories.spatial import FULL, make_spatial_clip

from asled_cli.__main__ import main
from asled_cli.job.inspect import clip_info
from asled_cli.job.show.probe_rows import clip_rows
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


@pytest.mark.parametrize("eyes", [("right", "left"), ("left", "right")], ids=str)
@pytest.mark.parametrize("depth", [8, 10])
def test_what_a_clip_says_about_its_views_is_shown(tmp_path: Path, eyes: tuple[str, str], depth: int) -> None:
    views = replace(FULL, eyes=eyes, depth=depth)
    info = clip_info(probe_clip(make_spatial_clip(tmp_path / "in.mov", frames=3, views=views)))
    assert info["spatial"] and info["bit_depth"] == depth
    assert info["stereo"] == {
        "views": 2, "eyes": list(eyes), "baseline_mm": 19.24, "fov_deg": 63.4, "disparity_shift": 0.02,
    }  # fmt: skip
    shown = " ".join(text for row in clip_rows(info) for text in row)
    assert "19.24 mm" in shown and "63.4" in shown and eyes[0] in shown
    second = clip_rows(clip_info(replace(probe_clip(tmp_path / "in.mov"), view=1)))
    assert dict(second)["views"] == f"view 2 of 2: {eyes[1]} eye"
    plain = clip_info(probe_clip(make_spatial_clip(tmp_path / "plain.mov", frames=3)))
    assert plain["stereo"]["views"] == 2 and plain["stereo"]["baseline_mm"] is None
