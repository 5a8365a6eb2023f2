"""Pairs as phones record them: different frame rates, lost frames, swapped order; probed and deblurred."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from factories.textures import texture

from asled_cli.cli.app import main
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import SOUND_RATE, Lens, Sound, draw_hand_motion, film, write_film

SIZE = (160, 90)
OFFSET_S = 0.5
RIG = LensRig(ratio=1.85, rotation_deg=0.8, shift_px=(2.0, -1.5))
NO_SHAKE = [i / 30 for i in range(80)]


@dataclass(frozen=True)
class Files:
    """A pair, and what the wide lens would have seen with a short exposure."""

    wide: Path
    ultra: Path
    truth: Path


def record(
    folder: Path,
    wide_s: Sequence[float],
    ultra_s: Sequence[float],
    blur_s: float = 0.03,
    *,
    sound: bool = False,
) -> Files:
    """A textured wall filmed by hand; times on each clip's own clock, the ultra one starts OFFSET_S later.

    sound: with the noise of the place, by which the offset is found sooner than by pictures.
    """
    wall, hand = texture(500, 320, seed=4, finest=1.5), draw_hand_motion(4, speed_px_s=220.0)
    heard = np.random.default_rng(2).normal(0, 0.1, 5 * SOUND_RATE).astype(np.float32)
    files = Files(folder / "wide.mp4", folder / "ultra.mp4", folder / "truth.mp4")
    ultra_lens = Lens((240, 134), lambda _: RIG, 0.003)
    for path, lens, times, start in (
        (files.wide, Lens(SIZE, None, blur_s), wide_s, 1.0),
        (files.truth, Lens(SIZE), wide_s, 1.0),
        (files.ultra, ultra_lens, ultra_s, 1.0 + OFFSET_S),
    ):
        views = film(wall, hand, lens, [start + t for t in times], SIZE)
        part = heard[round(start * SOUND_RATE) :][: round((times[-1] + 1 / 30) * SOUND_RATE)]
        write_film(path, views, times, Sound(part) if sound else None)
    return files


def phone_times(lost: Sequence[int]) -> list[float]:
    """30 frames a second with the jitter of a phone's clock and frames lost."""
    jitter = np.random.default_rng(1).integers(-1, 2, len(NO_SHAKE)) / 600
    return [max(0.0, t + j) for i, (t, j) in enumerate(zip(NO_SHAKE, jitter, strict=True)) if i not in lost]


def last_line(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    record: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return record


def check(files: Files, capsys: pytest.CaptureFixture[str], *, swap: bool = False) -> dict[str, object]:
    """Probe and deblur a pair, check offset, order and view ratio, and return the result."""
    names = [str(files.wide), str(files.ultra)][:: -1 if swap else 1]
    seen = last_line(["probe", *names], capsys)
    assert seen["swapped"] is swap
    assert any("named the other way round" in n for n in seen["notes"]) is swap  # type: ignore[attr-defined]
    assert seen["offset_s"] == pytest.approx(OFFSET_S, abs=1 / 60)
    assert seen["registration"]["fov_ratio"] == pytest.approx(RIG.ratio, rel=0.01)  # type: ignore[index]
    assert {segment["action"] for segment in seen["plan"]} == {"deblur"}  # type: ignore[attr-defined]
    out = files.wide.with_name("out.mp4")
    arguments = ["deblur", *names, "-o", str(out), "--truth", str(files.truth), "--method", "swap"]
    done = last_line([*arguments, "--preset", "ultrafast"], capsys)
    assert done["segments"] == seen["plan"]
    assert done["psnr_result_db"] > done["psnr_input_db"] + 1  # type: ignore[operator]
    return done


@pytest.mark.slow
def test_clips_of_24_and_30_fps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = record(tmp_path, [i / 24 for i in range(64)], NO_SHAKE)
    done = check(files, capsys)
    # The last frame before the ultra clip starts still has one near enough.
    assert (done["frames_written"], done["frames_without_reference"]) == (64, round(OFFSET_S * 24) - 1)


@pytest.mark.slow
def test_variable_frame_rate_with_lost_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = record(tmp_path, phone_times(lost=(30, 55)), phone_times(lost=(20, 21, 22, 40)))
    done = check(files, capsys)
    # A neighbour stands in for one lost frame, moved along; of three in a row the middle one is missing.
    assert (done["frames_written"], done["frames_without_reference"]) == (78, round(OFFSET_S * 30) - 1 + 1)


@pytest.mark.slow
def test_clips_in_swapped_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = record(tmp_path, NO_SHAKE[:36], NO_SHAKE[:36], sound=True)
    done = check(files, capsys, swap=True)
    assert done["frames_written"] == 36


def test_a_sharp_wide_clip_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = record(tmp_path, NO_SHAKE[:36], NO_SHAKE[:36], blur_s=0.0, sound=True)
    names = [str(files.wide), str(files.ultra)]
    seen = last_line(["probe", *names], capsys)
    assert {segment["action"] for segment in seen["plan"]} == {"pass"}  # type: ignore[attr-defined]
    out = tmp_path / "out.mp4"
    done = last_line(["deblur", *names, "-o", str(out), "--method", "swap"], capsys)
    assert (done["copied"], done["frames_changed"], done["frames_unchanged"]) == (True, 0, 36)
    assert out.read_bytes() == files.wide.read_bytes()
    arguments = ["deblur", *names, "-o", str(out), "--overwrite", "--method", "swap", "--crf", "18"]
    done = last_line(arguments, capsys)
    assert (done["copied"], done["frames_changed"]) == (False, 0)
    assert done["frames_unchanged"] == 37 - round(OFFSET_S * 30)  # those that might have been changed
