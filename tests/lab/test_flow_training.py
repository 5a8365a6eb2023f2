"""Synthetic pairs keep what they promise, the loss is what it says, and a run resumes where it stopped."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from asled_cli.errors import UsageError
from asled_cli.lab.synthesis.flow_pairs import FlowPair, degrade, make_pair
from asled_cli.lab.training.flow_pretraining import (
    FlowTrainConfig,
    dis_flow,
    end_point_error,
    pyramid_error,
    train_flow,
)
from asled_cli.nets.warp import warp

SMALL = FlowTrainConfig(steps=2, batch=1, size_px=32, motion_px=4, score_every=1, score_pairs=2)


def soft_picture(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 1, (300, 320, 3))
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4))
    return np.asarray(np.clip(128 + 40 * smooth / smooth.std(), 0, 255), dtype=np.uint8)


PICTURES = [soft_picture(seed) for seed in range(3)]


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, picture in enumerate(PICTURES):
        cv2.imwrite(str(folder / f"picture{number}.png"), np.repeat(np.repeat(picture, 2, 0), 2, 1))
    (folder / "held_out.txt").write_text("picture2\n")
    return folder


def test_first_frame_is_the_second_along_the_flow_where_nothing_hides_it() -> None:
    for seed in range(4):
        pair = make_pair(PICTURES, np.random.default_rng(seed), 96, 10)
        first, second, flow = (torch.from_numpy(part).permute(2, 0, 1).unsqueeze(0) for part in pair)
        wrong = (warp(second, flow) - first).abs().amax(dim=1)[0, 20:-20, 20:-20] > 0.02
        assert wrong.float().mean() < 0.1  # what is hidden, and the soft edges
        assert pair.flow.std() > 0


def test_degrading_changes_the_frames_and_not_the_flow() -> None:
    pair = make_pair(PICTURES, np.random.default_rng(0), 64, 6)
    worse = degrade(pair, np.random.default_rng(1))
    assert worse.flow is pair.flow
    assert worse.first.shape == pair.first.shape
    assert 0 <= worse.first.min() <= worse.first.max() <= 1
    assert not np.allclose(worse.second, pair.second)


def test_pyramid_error_is_zero_for_the_truth_and_in_pixels_of_the_full_size() -> None:
    truth = torch.tensor([6.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    true_flows = [truth[..., : 64 >> level, : 64 >> level] / (1 << level) for level in (3, 2, 1, 0)]
    assert pyramid_error(true_flows, truth) == pytest.approx(0, abs=1e-6)
    assert pyramid_error([torch.zeros_like(f) for f in true_flows], truth) == pytest.approx(10)


def test_dis_flow_finds_a_known_shift() -> None:
    picture = (PICTURES[0] / 255).astype(np.float32)
    flow = np.tile(np.array([3, -2], dtype=np.float32), (160, 160, 1))
    pair = FlowPair(picture[48:208, 53:213], picture[50:210, 50:210], flow)
    assert end_point_error(dis_flow, [pair]) < 0.3


def test_guided_levels_learn_alike_and_then_apart(photo_folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, steps=2, size_px=64, guided_steps=1, halved_steps=2, precision="bf16")
    train_flow(config, photo_folder, tmp_path / "run", stop_at=1)
    tied = load_file(tmp_path / "run" / "spynet.safetensors")
    train_flow(config, photo_folder, tmp_path / "run", resume=True)
    apart = load_file(tmp_path / "run" / "spynet.safetensors")
    name = "levels.{}.0.weight"
    assert torch.equal(tied[name.format(0)], tied[name.format(5)])
    assert not torch.equal(apart[name.format(0)], apart[name.format(5)])
    assert not torch.equal(tied[name.format(5)], apart[name.format(5)])


def test_a_resumed_run_equals_an_uninterrupted_one(photo_folder: Path, tmp_path: Path) -> None:
    whole = train_flow(SMALL, photo_folder, tmp_path / "whole")
    train_flow(SMALL, photo_folder, tmp_path / "parts", stop_at=1)
    with pytest.raises(UsageError, match="holds a checkpoint already"):
        train_flow(SMALL, photo_folder, tmp_path / "parts")
    assert train_flow(SMALL, photo_folder, tmp_path / "parts", resume=True) == whole
    scores = (tmp_path / "parts" / "scores.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in scores] == ["step", "1", "2"]
