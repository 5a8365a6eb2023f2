"""Counts of a plan and of its progress add up; clips of one or two frames get a result or a sentence."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from factories.clips import make_clip
from factories.small_pair import make_pair, make_scene, view, write_clip

from asled_cli.cli.app import main
from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.plan import _window
from asled_cli.job.sampling import count_frames
from asled_cli.pipeline import run_deblur
from asled_cli.progress import Progress
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader


@pytest.mark.parametrize("start_s", [None, 0.1, 0.25, 0.31])
@pytest.mark.parametrize("end_s", [None, 0.33, 0.4, 0.5, 0.517, 9.0])
def test_planned_frames_are_those_in_the_range(
    tmp_path_factory: pytest.TempPathFactory, start_s: float | None, end_s: float | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "even.mp4"
    if not path.exists():
        make_clip(path, ticks=[20 * number for number in range(16)])
    clip = probe_clip(path)
    start, end = _window(DeblurConfig(path, path, start_s=start_s, end_s=end_s), clip)
    with ClipReader(clip, start_s=start, end_s=end) as frames:
        read = max(1, len(list(frames)))
    assert count_frames(clip, start, end) == read
    assert count_frames(replace(clip, duration_s=None), start, end) == read


def test_progress_never_passes_its_total() -> None:
    assert Progress("deblur", 25, 24).total == 25
    assert Progress("deblur", 3, 24).total == 24


def test_threads_of_opencv_are_the_callers_again(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, frames=2)
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        run_deblur(DeblurConfig(wide=pair.wide, ultra=pair.ultra, offset_s=0.0, dry_run=True))
        assert cv2.getNumThreads() == 3
        with pytest.raises(InputError):
            run_deblur(DeblurConfig(wide=pair.wide, ultra=tmp_path / "missing.mp4"))
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("given", [[], ["--offset", "0"]])
def test_single_frame_is_refused_without_advice_that_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    scene = make_scene()
    for name, ratio in (("wide", 1.0), ("ultra", 2.0)):
        write_clip(tmp_path / f"{name}.mp4", [view(scene, 0, ratio)])
    command = [str(tmp_path / "wide.mp4"), str(tmp_path / "ultra.mp4"), *given]
    for verb in ("probe", "deblur"):
        assert main([verb, *command]) == 3
        said = capsys.readouterr().err
        assert "single frame" in said and "--offset" not in said


def test_two_frames_are_enough(tmp_path: Path) -> None:
    scene = make_scene()
    for name, ratio in (("wide", 1.0), ("ultra", 2.0)):
        write_clip(tmp_path / f"{name}.mp4", [view(scene, number, ratio) for number in range(2)])
    out = tmp_path / "out.mp4"
    command = ["deblur", str(tmp_path / "wide.mp4"), str(tmp_path / "ultra.mp4"), "--method", "swap"]
    assert main([*command, "--offset", "0", "--out", str(out), "-q"]) == 0
    with ClipReader(probe_clip(out)) as frames:
        assert len(list(frames)) == 2


def test_advice_leaves_out_what_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = make_pair(tmp_path, frames=4)
    assert main(["deblur", str(pair.wide), str(pair.ultra), "--offset", "9"]) == 3
    said = capsys.readouterr().err
    assert "share no time" in said and "pass --offset" not in said
