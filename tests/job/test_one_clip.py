"""One clip deblurred alone, from file to file: on a plane under hand shake."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from factories.clips import make_clip, phone_ticks
from factories.panned_clip import make_panned_clip
from factories.shaken_clip import make_shaken_clip

from asled_cli.cli.app import main
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.errors import InterruptedRunError, UsageError
from asled_cli.job import plan as planning
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult, Event
from asled_cli.metrics.clip_psnr import measure_psnr
from asled_cli.pipeline import Steps, run_deblur
from asled_cli.progress import Progress
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.preserve.verify import verify

ROOT = Path(__file__).resolve().parents[2]
FRAMES, SIZE = 22, (160, 96)
STEPS = Steps(segment_length=lambda clip: 4)
LOSSLESS = EncodeConfig(codec="h264", crf=1, preset="ultrafast")


@dataclass(frozen=True)
class Shaken:
    wide: Path
    truth: Path


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> Shaken:
    folder = tmp_path_factory.mktemp("shaken")
    made = make_shaken_clip(frames=FRAMES, size=SIZE)
    return Shaken(write(folder / "clip.mp4", made.wide, audio=1), write(folder / "truth.mp4", made.truth))


def write(path: Path, pictures: Any, *, audio: int = 0, pix_fmt: str = "yuv420p") -> Path:
    def shown(index: int) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(pictures[index], format="rgb48le")
        return picture.reformat(format=pix_fmt, dst_colorspace="ITU709")

    codec = "libx264" if pix_fmt == "yuv420p" else "libx265"
    return make_clip(
        path,
        codec=codec,
        pix_fmt=pix_fmt,
        size=(pictures.shape[2], pictures.shape[1]),
        ticks=phone_ticks(len(pictures)),
        audio=audio,
        options={"crf": "2", "preset": "ultrafast"},
        shown=shown,
    )


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exposure as it was made, without the search for it."""
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(0.8, 0.7))


def deblur(clip: Path, out: Path, report: Any = lambda event: None, **changes: Any) -> DeblurResult:
    job = DeblurConfig(clip, **{"out": out, "encode": LOSSLESS, **changes})
    return run_deblur(job, report, steps=STEPS)


def test_fast_gains_without_a_network(shaken: Shaken, known: None, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = deblur(shaken.wide, out, truth=shaken.truth, fast=True)
    assert result.plan.choice.weights is None and result.plan.inversion_px == 960
    assert result.plan.as_dict()["fast"] is True
    assert result.psnr_input_db is not None and result.psnr_result_db is not None
    assert result.psnr_result_db > result.psnr_input_db + 1.0


def test_a_fast_job_is_not_continued_as_a_slow_one(shaken: Shaken, known: None, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done >= 8:
            raise Stop

    out = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        deblur(shaken.wide, out, stop, fast=True)
    with pytest.raises(UsageError, match="--fast"):
        deblur(shaken.wide, out, resume=True)
    assert deblur(shaken.wide, out, fast=True, resume=True).frames_written == FRAMES


def test_alone_it_gains_and_keeps_times_and_sound(shaken: Shaken, tmp_path: Path) -> None:
    events: list[Event] = []
    out = tmp_path / "out.mp4"
    result = deblur(shaken.wide, out, events.append, truth=shaken.truth)
    assert result.plan.choice.method == "single" and result.plan.ultra is None
    assert result.plan.own_exposure == pytest.approx(0.8, abs=0.15)
    assert result.psnr_input_db is not None and result.psnr_result_db is not None
    assert result.psnr_result_db > result.psnr_input_db + 1.5
    assert result.frames_written == FRAMES == result.frames_changed + result.frames_unchanged
    assert all(check.same for check in verify(shaken.wide, out))
    steps = {event.step for event in events if isinstance(event, Progress)}
    assert {"measure exposure", "deblur", "measure"} <= steps
    json.dumps([result.as_dict(), result.plan.as_dict()])


@pytest.mark.usefixtures("known")
def test_a_resumed_run_writes_the_same_bytes(shaken: Shaken, tmp_path: Path) -> None:
    check_resume(shaken.wide, tmp_path, 18)


def test_blended_frames_are_merged_by_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(3.0, 0.7, "scene"))
    clip = write(tmp_path / "blended.mp4", make_panned_clip(count=3, frames=FRAMES, size=(128, 80)).wide)
    result = check_resume(clip, tmp_path, 18)
    assert result.plan.choice.model == "asled-single" and "a blend of 3 frames" in result.plan.expectation
    assert result.frames_changed == FRAMES


def check_resume(clip: Path, folder: Path, frame: int) -> DeblurResult:
    """Check that a job stopped after a frame and resumed writes what it writes at once; return its result."""
    whole, cut = folder / "whole.mp4", folder / "cut.mp4"
    expected = deblur(clip, whole)

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == frame:
            raise InterruptedRunError("Stopped.", "")

    with pytest.raises(InterruptedRunError, match=r"asled deblur .*mp4 --out"):
        deblur(clip, cut, stop)
    result = deblur(clip, cut, resume=True)
    assert cut.read_bytes() == whole.read_bytes()
    assert result.frames_changed == expected.frames_changed
    return result


@pytest.mark.usefixtures("known")
def test_a_stretch_is_cut_out(shaken: Shaken, tmp_path: Path) -> None:
    result = deblur(shaken.wide, tmp_path / "part.mp4", start_s=0.2, end_s=0.5)
    assert 0 < result.frames_written < FRAMES
    after = measure_psnr(tmp_path / "part.mp4", shaken.truth, offset_s=-result.first_time_s)
    assert after > measure_psnr(shaken.wide, shaken.truth, start_s=Fraction(1, 5), end_s=Fraction(1, 2))


@pytest.mark.usefixtures("known")
def test_a_share_of_the_change_in_ten_bits(tmp_path: Path) -> None:
    made = make_shaken_clip(frames=9, size=SIZE)
    clip = write(tmp_path / "deep.mp4", made.wide, pix_fmt="yuv420p10le")
    truth = write(tmp_path / "truth.mp4", made.truth, pix_fmt="yuv420p10le")
    encode = EncodeConfig(crf=1, preset="ultrafast")
    scores = [
        deblur(clip, tmp_path / f"{share}.mp4", truth=truth, strength=share, encode=encode)
        for share in (0.5, 1.0)
    ]
    before, half, full = (scores[0].psnr_input_db, *(found.psnr_result_db for found in scores))
    assert before and half and full and before < half < full
    assert scores[0].plan.encoder.pix_fmt == "yuv420p10le"


@pytest.mark.parametrize("why", ["sharp", "strength", "no blur in any frame"])
def test_where_nothing_changes_the_clip_is_copied(
    shaken: Shaken, tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    clip, out = shaken.wide, tmp_path / "out.mp4"
    changes: dict[str, Any] = {"encode": EncodeConfig(), "strict": True}
    if why == "strength":
        changes["strength"] = 0.0
    else:
        still = np.repeat(make_shaken_clip(frames=1, size=SIZE, exposure=0).wide, 9, axis=0)
        clip = write(tmp_path / "sharp.mp4", still)
    if why == "no blur in any frame":
        monkeypatch.setattr(planning, "measure_exposure", lambda *_: ExposureFit(0.8, 0.7))
    result = deblur(clip, out, **changes)
    assert result.copied and result.frames_changed == 0
    assert result.frames_unchanged == result.frames_written > 0
    assert out.read_bytes() == clip.read_bytes()
    assert ("nothing will be changed" in caplog.text) == (why != "no blur in any frame")


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("offset_s", 0.5, "--offset"),
        ("fov_ratio", 2.0, "--fov-ratio"),
        ("target", "ultra", "--target"),
        ("lens_order", "given", "--lens-order"),
        ("skip_sharp", False, "--no-skip-sharp"),
        ("model", "asled-fast", "--model"),
        ("weights", ROOT / "weights" / "asled_fast.safetensors", "--weights"),
        ("chunk", 3, "--chunk"),
    ],
)
def test_options_of_a_pair_are_refused(shaken: Shaken, option: str, value: object, name: str) -> None:
    for method in ("auto", "single"):
        with pytest.raises(UsageError, match=f"^{name} concerns"):
            run_deblur(DeblurConfig(shaken.wide, method=method, dry_run=True, **{option: value}))  # type: ignore[arg-type]


@pytest.mark.usefixtures("known")
def test_a_second_clip_is_not_read_where_one_is_asked_for(
    shaken: Shaken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["deblur", str(shaken.wide), str(tmp_path / "missing.mp4"), "--method", "single", "--dry-run"]
    assert main([*words, "-o", str(tmp_path / "out.mp4")]) == 0
    said = capsys.readouterr().out
    assert "single (one clip; blur measured from its own frames)" in said
    assert "0.80 of a frame interval" in said and "ultra" not in said and "offset" not in said


def test_a_network_still_needs_the_second_clip(shaken: Shaken, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deblur", str(shaken.wide), "--method", "swap", "--dry-run"]) == 3
    assert "--method single" in capsys.readouterr().err
