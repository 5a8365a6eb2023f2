"""The map of defocus of a clip: files, scale, and what is said without weights."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from factories.clips import make_clip
from factories.networks import random_weights
from torch import nn

from asled_cli.cli.app import main
from asled_cli.job.show.defocus import LONG_SIDE, estimate, with_scale
from asled_cli.nets.dmenet import DefocusEstimator, DmenetConfig
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.frames import Frame
from asled_cli.zoo import checkpoint as weights

SIZE = (96, 64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return make_clip(path, codec="libx264", pix_fmt="yuv420p", size=SIZE, ticks=[0, 3000, 6000])


@pytest.fixture(scope="module")
def dmenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("dmenet") / "dmenet.safetensors"
    weights.save(path, "dmenet", DefocusEstimator(DmenetConfig(channels=2)))
    return path


def probe(clip: Path, out: Path, *more: str) -> int:
    return main(["probe", str(clip), "--defocus", str(out), *more])


def test_without_weights_it_says_how_to_train(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(clip, tmp_path / "map.png") == 2
    said = capsys.readouterr().err
    assert "needs weights of dmenet" in said and "asled train examples/recipes/dmenet_cpu.toml" in said
    assert (Path(__file__).parents[3] / "examples" / "recipes" / "dmenet_cpu.toml").is_file()
    assert not (tmp_path / "map.png").exists()


def test_a_picture_and_a_clip_are_written(
    clip: Path, dmenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(clip, tmp_path / "map.png", "--defocus-weights", str(dmenet), "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    values = {key: value for row in found for key, value in row.items()}
    assert 0 < values["defocus_median_px"] <= values["defocus_p90_px"] <= 7 and values["defocus_frames"] == 1
    picture = cv2.imread(str(tmp_path / "map.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None and picture.shape == (SIZE[1] + 24, SIZE[0])
    assert probe(clip, tmp_path / "map.mp4", "--defocus-weights", str(dmenet), "-q") == 0
    made = probe_clip(tmp_path / "map.mp4")
    assert (made.width, made.height) == (SIZE[0], SIZE[1] + 24) and made.frame_estimate == 3
    assert probe(clip, tmp_path / "map.png", "--defocus-weights", str(dmenet)) == 2  # it exists already


@pytest.mark.parametrize(
    ("out", "more", "code", "said"),
    [
        ("map.jpg", (), 2, "expected a name that ends in .png or .mp4"),
        ("none/map.png", (), 2, "does not exist"),
        ("map.png", ("--defocus-weights", "no.safetensors"), 4, "do not exist"),
    ],
)
def test_bad_use_is_one_sentence(
    clip: Path, tmp_path: Path, out: str, more: tuple[str, ...], code: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert probe(clip, tmp_path / out, *more) == code
    assert said in capsys.readouterr().err


def test_weights_of_others_and_uses_of_others_are_refused(
    clip: Path, dmenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = random_weights(tmp_path)
    assert probe(clip, tmp_path / "map.png", "--defocus-weights", str(other)) == 4
    assert "expected dmenet" in capsys.readouterr().err
    assert main(["deblur", str(clip), "--weights", str(dmenet), "-o", str(tmp_path / "out.mp4")]) == 2
    assert "restores nothing" in capsys.readouterr().err
    assert main(["probe", str(clip), "--defocus-weights", str(dmenet)]) == 2
    assert "goes with --defocus" in capsys.readouterr().err


def test_large_frames_are_reduced_and_sigma_grows_by_it() -> None:
    class Half(nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return torch.full((1, 1, *picture.shape[-2:]), 0.5)

    frame = Frame(0, 0, 0, np.zeros((100, 2 * LONG_SIDE, 3), np.uint16), None)  # type: ignore[arg-type]
    found, reduction = estimate(Half(), frame)
    assert found.shape == (50, LONG_SIDE) and reduction == 2
    shown = with_scale(found, 14.0)
    assert (shown[:50] == 128).all() and shown[50:, 0].max() < 10 < shown[50:, -1].min()
