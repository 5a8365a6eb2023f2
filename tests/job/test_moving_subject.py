"""Something moves in front of a still camera: it is deblurred, and the rest stays as it is."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.job.blur import stretches
from asled_cli.job.blur.stretches import PART_DB
from asled_cli.job.config import DeblurConfig
from asled_cli.lab.bench.clips import make_scene, write_clip
from asled_cli.pipeline import run_deblur
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader

WIDTH, HEIGHT, FRAMES = 960, 544, 24
SIDE = 200  # of the square that moves, pixels; a thirteenth of the picture
Picture = NDArray[np.uint8]
SCENE = make_scene(np.random.default_rng(0), (WIDTH, HEIGHT))
SQUARE = make_scene(np.random.default_rng(1), (WIDTH, HEIGHT))[:SIDE, :SIDE]


def corner(time_frames: float) -> tuple[float, float]:
    """Return where the square is: x and y of its upper left corner in the wide view."""
    return 380 + 220 * float(np.sin(time_frames / 9)), 150 + 40 * float(np.cos(time_frames / 11))


def view(time_frames: float, ratio: float) -> Picture:
    """Return what a still lens with `ratio` times the wide field of view sees."""
    middle = np.array([SCENE.shape[1] // 2, SCENE.shape[0] // 2])
    origin = middle - np.array([WIDTH, HEIGHT]) / 2
    seen = SCENE.copy()
    place = np.hstack([np.eye(2), (origin + corner(time_frames))[:, None]])
    size = (seen.shape[1], seen.shape[0])
    cv2.warpAffine(SQUARE, place, size, seen, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    left, top = (middle - ratio * np.array([WIDTH, HEIGHT]) / 2).astype(int)
    lens = seen[top : top + round(ratio * HEIGHT), left : left + round(ratio * WIDTH)]
    return np.asarray(cv2.resize(lens, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def exposed(index: int) -> Picture:
    """Return the wide view averaged over a whole frame interval."""
    shares = (np.arange(9) + 0.5) / 9 - 0.5
    return np.asarray(np.rint(np.mean([view(index + share, 1.0) for share in shares], axis=0)), np.uint8)


def errors(path: Path) -> tuple[float, float]:
    """Return the PSNR where the square is and of the rest, dB."""
    inside, outside = [], []
    with ClipReader(probe_clip(path)) as frames:
        for index, frame in enumerate(frames):
            difference = np.square(frame.rgb / 65535 - view(index, 1.0) / 255)
            left, top = (round(at) for at in corner(index))
            square = np.zeros((HEIGHT, WIDTH), np.bool_)
            square[max(0, top) : top + SIDE, left : left + SIDE] = True
            inside.append(difference[square].mean())
            outside.append(difference[~square].mean())
    return -10 * float(np.log10(np.mean(inside))), -10 * float(np.log10(np.mean(outside)))


@pytest.mark.slow
def test_a_subject_is_deblurred_and_the_still_background_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder softens the wide background a little: the whole picture is not to tell it."""
    monkeypatch.setattr(stretches, "USEFUL_DB", 2.0)
    wide, ultra, out = (tmp_path / name for name in ("wide.mp4", "ultra.mp4", "out.mp4"))
    write_clip(wide, FRAMES, (WIDTH, HEIGHT), exposed)
    write_clip(ultra, FRAMES, (WIDTH, HEIGHT), lambda index: view(float(index), 2.0))
    result = run_deblur(DeblurConfig(wide, ultra, out=out))
    assert result.frames_changed == FRAMES
    assert [segment.advantage_db > PART_DB for segment in result.segments] == [True]
    before, after = errors(wide), errors(out)
    assert after[0] > before[0] + 1
    assert after[1] > before[1] - 0.1
