"""The exposure of clips in files."""

from pathlib import Path

from factories.clips import make_clip

from asled_cli.deconvolution.clip_file import measure_exposure
from asled_cli.video.decode.probe import probe_clip


def test_sharp_clip_in_a_file_has_no_exposure(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "clip.mp4", size=(192, 128), smooth=True))
    assert measure_exposure(clip).exposure == 0.0
    assert measure_exposure(clip, clip.start_s + 1, clip.start_s + 2).exposure == 0.0
