"""Samples: flows follow every flip and turn, files that grow or break, one seed one series."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from factories.moving_textures import clip_in_memory, make_clip, write_clip

from asled_cli.errors import InputError, UsageError
from asled_cli.lab.training_data import augment
from asled_cli.lab.training_data import cached_clip as cached
from asled_cli.lab.training_data.cached_clip import CachedClip
from asled_cli.lab.training_data.crops import CropDataset, SampleConfig
from asled_cli.nets.warp import scale_flow, warp

SMALL = SampleConfig(frames=(3, 4), crop_px=32, batch=2)


def misfit(clip: CachedClip) -> float:
    """How badly both flows explain the truth: mean error of neighbours warped onto each frame, 0..255."""
    tensors = cached.to_tensors(clip)
    truth = tensors["truth"].float()
    size = truth.shape[-2:]
    from_previous = warp(truth[:-1], scale_flow(tensors["flow_previous"][1:].float(), *size))
    from_next = warp(truth[1:], scale_flow(tensors["flow_next"][:-1].float(), *size))
    inside = (..., slice(12, -12), slice(12, -12))
    errors = (from_previous - truth[1:])[inside], (from_next - truth[:-1])[inside]
    return float(torch.cat(errors).abs().mean())


def quarter_turn(clip: CachedClip) -> CachedClip:
    return augment.flip_x(augment.transpose(clip))


@pytest.mark.parametrize(
    "change",
    [augment.flip_x, augment.flip_y, augment.transpose, quarter_turn, augment.reverse_time],
)
def test_flows_follow(change: Callable[[CachedClip], CachedClip]) -> None:
    """After each change the flows still explain the moving texture; without turning them they do not."""
    clip = clip_in_memory(frames=4, height=48, width=64)
    changed = change(clip)
    assert misfit(clip) < 1 and misfit(changed) < 1
    wrong = dataclasses.replace(changed, flow_previous=-changed.flow_previous, flow_next=-changed.flow_next)
    assert misfit(wrong) > 5


@pytest.mark.parametrize("change", [augment.flip_x, augment.flip_y, augment.transpose, augment.reverse_time])
def test_twice_is_nothing(change: Callable[[CachedClip], CachedClip]) -> None:
    clip = clip_in_memory(frames=3, height=16, width=24)
    clip.guide.copy_(torch.from_numpy(np.random.default_rng(0).random(clip.guide.shape)))
    clip.reset[2] = True
    twice = change(change(clip))
    for name in CachedClip.__slots__:
        np.testing.assert_array_equal(getattr(twice, name), getattr(clip, name))


def test_a_cut_stays_between_the_same_frames() -> None:
    clip = clip_in_memory(frames=5)
    clip.reset[1] = True  # between frames 0 and 1, so between 3 and 4 when played backwards
    assert augment.reverse_time(clip).reset.tolist() == [False, False, False, False, True]


def test_guide_stays_under_its_pixels() -> None:
    clip = clip_in_memory(frames=2, height=48, width=64)
    brightness = clip.truth.reshape(2, 12, 4, 16, 4, 3).double().mean(dim=(2, 4, 5)) / 255
    clip.guide[..., 0] = brightness
    for changed in (augment.crop(clip, 1, 1, 8, 20, 32), augment.flip_y(clip), quarter_turn(clip)):
        frames, height, width = changed.truth.shape[:3]
        blocks = changed.truth.reshape(frames, height // 4, 4, width // 4, 4, 3)
        means = blocks.double().mean(dim=(2, 4, 5)) / 255
        np.testing.assert_allclose(changed.guide[..., 0].double(), means, atol=1e-3)


def test_dropped_references_look_like_missing_ones() -> None:
    clip = clip_in_memory(frames=4)
    dropped = augment.drop_references(clip, np.array([False, False, True, False]))
    np.testing.assert_array_equal(dropped.reference[2], clip.target[2])
    np.testing.assert_array_equal(dropped.reference[3], clip.reference[3])
    assert not dropped.guide[2].any() and dropped.guide[1].any()
    moving = [bool(flow.any()) for flow in (*dropped.flow_previous, *dropped.flow_next)]
    assert moving == [False, True, False, False, True, False, False, False]


def test_a_jittered_reference_moves_and_nothing_else_does() -> None:
    clip = clip_in_memory(frames=3, height=32, width=40)
    for seed in range(6):
        moved = augment.jitter_reference(clip, np.random.default_rng(seed), 0.0, 4)
        assert moved.truth is clip.truth and moved.reference.shape == clip.reference.shape
        inner = moved.reference[:, 8:-8, 8:-8]
        shifts = [
            (y, x)
            for y in range(-4, 5)
            for x in range(-4, 5)
            if np.array_equal(inner, clip.reference[:, 8 + y : 24 + y, 8 + x : 32 + x])
        ]
        assert len(shifts) == 1
    recoloured = augment.jitter_reference(clip, np.random.default_rng(0), 0.1, 0)
    assert (recoloured.reference != clip.reference).double().mean() > 0.5
    for value in (40, 90, 200):  # a curve per channel: equal values stay equal
        for channel in range(3):
            assert (
                len(np.unique(recoloured.reference[..., channel][clip.reference[..., channel] == value])) <= 1
            )


def test_sample_depends_on_its_index_alone(tmp_path: Path) -> None:
    for seed in range(3):
        write_clip(tmp_path / f"{seed}.npz", seed=seed, frames=6, height=44, width=50)
    forward, backward = CropDataset(tmp_path, SMALL), CropDataset(tmp_path, SMALL)
    series = [forward[i] for i in range(8)]
    for i in reversed(range(8)):
        sample = backward[i]
        assert sample["target"].shape[1:] == (3, 32, 32) and sample["guide"].shape[1:] == (6, 8, 8)
        assert all(torch.equal(sample[name], series[i][name]) for name in sample)
    assert series[0]["target"].shape == series[1]["target"].shape  # one batch, one length


def test_resident_clips_give_the_same_samples(tmp_path: Path) -> None:
    for seed in range(5):
        write_clip(tmp_path / f"{seed}.npz", seed=seed, frames=6, height=44, width=50)
    config = dataclasses.replace(SMALL, batch=1, photometric=0.05, misalign_px=2, reference_dropout=0.5)
    usual = CropDataset(tmp_path, config)
    resident = CropDataset(tmp_path, dataclasses.replace(config, cache_on_device=True))
    for i in range(20):
        assert all(torch.equal(value, resident[i][name]) for name, value in usual[i].items())
    assert len(usual._cache) == 2 and len(resident._cache) == 5
    (tmp_path / "0.npz").unlink()
    resident[config.rescan_every]
    assert (tmp_path / "0.npz") not in resident._cache and len(resident._cache) == 4


def test_new_files_are_found_and_broken_ones_left_out(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, rescan_every=4)
    write_clip(tmp_path / "a.npz", frames=4, height=32, width=32)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not quite")
    (tmp_path / ".b.npz.part").write_bytes(b"")
    write_clip(tmp_path / "short.npz", frames=3, height=32, width=32)
    samples = CropDataset(tmp_path, config)
    first = [samples[i]["truth"] for i in range(4)]
    write_clip(tmp_path / "c.npz", seed=9, frames=4, height=64, width=64)
    later = [samples[i]["truth"] for i in range(4, 24)]
    assert len(first) == 4 and len(samples._cache) == 2
    assert {path.name for path in samples._unusable} == {"broken.npz", "short.npz"}
    assert len(later) == 20


def test_folder_without_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable training clip"):
        CropDataset(tmp_path, SMALL)[0]


def test_mixed_sizes_are_named(tmp_path: Path) -> None:
    arrays = make_clip(frames=3, height=32, width=32)
    np.savez(tmp_path / "a.npz", allow_pickle=False, **{**arrays, "guide": arrays["guide"][:, :4]})
    with pytest.raises(InputError, match="mixes sizes"):
        cached.read_clip(tmp_path / "a.npz")


def test_impossible_settings_are_named() -> None:
    with pytest.raises(UsageError, match="crop_px is 30"):
        SampleConfig(crop_px=30)
    with pytest.raises(UsageError, match="frames is"):
        SampleConfig(frames=(5, 4))
