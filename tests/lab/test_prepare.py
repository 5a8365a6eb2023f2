"""Whatever can be trained on becomes cached clips, without further steps; what cannot is one sentence."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.recipes import TINY
from factories.textures import moving_video, texture, write_video

from asled_cli.cli import app
from asled_cli.errors import InputError, UsageError
from asled_cli.guide import Guide
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.training_data.cached_clip import find_clips, read_clip
from asled_cli.lab.training_data.prepare import DataConfig, prepare
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.zoo import checkpoint as weights


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `asled synth-blur` makes of a video (two clips) and of photos."""
    folder = tmp_path_factory.mktemp("pairs")
    write_video(folder / "walk.mp4", moving_video(14, 256, 192))
    arguments = ["--frames", "4", "--window", "3", "--clips", "2", "-j", "1", "-q"]
    assert app.main(["synth-blur", str(folder / "walk.mp4"), "-o", str(folder / "average"), *arguments]) == 0
    (folder / "photos").mkdir()
    for seed in range(2):
        cv2.imwrite(str(folder / "photos" / f"p{seed}.png"), texture(420, 360, seed=seed, finest=2.0))
    arguments = ["--mode", "shake", "--frames", "4", "--size", "128x96", "-j", "1", "-q"]
    assert app.main(["synth-blur", str(folder / "photos"), "-o", str(folder / "shake"), *arguments]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["average", "shake"])
def test_pairs_of_synth_blur_train_without_further_steps(mode: str, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    arguments = [str(tmp_path / "tiny.toml"), "--data", str(pairs / mode), "-o", str(tmp_path / "run"), "-q"]
    assert app.main(["train", *arguments, "--device", "cpu"]) == 0
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_the_centre_is_the_papers_reference(pairs: Path, tmp_path: Path) -> None:
    folder = prepare(pairs / "average", tmp_path / "cache", DataConfig(reference="centre"))
    clips = find_clips(folder / "train") + find_clips(folder / "valid")
    assert len(clips) == 2 and len(find_clips(folder / "valid")) == 1
    clip = read_clip(folder / "valid" / "walk_000_00000.npz")
    ultra = cv2.imread(str(pairs / "average" / "ref" / "walk_000" / "0001.png"))
    assert ultra is not None
    expected = warp_homography(
        np.ascontiguousarray(ultra[..., ::-1]), centre_crop(2.0, (128, 96), (128, 96)), (128, 96)
    )
    np.testing.assert_array_equal(clip.reference[1], expected)
    assert (clip.guide[..., Guide.BLUR] > 0.05).all()  # as if all were blurred
    assert (clip.guide[..., 4:] == 1).all()  # taken at its word


def test_one_lens_gets_the_flow_of_its_sharp_frames(pairs: Path, tmp_path: Path) -> None:
    folder = prepare(pairs / "shake", tmp_path / "cache", DataConfig(reference="none"))
    clip = read_clip(find_clips(folder / "train")[0])
    np.testing.assert_array_equal(clip.reference, clip.target)
    assert (clip.guide == 0).all() and not clip.reset.any()
    assert (clip.flow_previous[0] == 0).all() and (clip.flow_next[-1] == 0).all()
    flow = clip.flow_next[0, 8:-8, 8:-8].numpy().astype(np.float64).mean((0, 1)) * 4
    first, second = (clip.truth[t].numpy().astype(np.float32)[..., 1] for t in (0, 1))
    moved = cv2.warpAffine(second, np.array([[1, 0, flow[0]], [0, 1, flow[1]]]), (128, 96),
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
    inner = np.s_[24:-24, 24:-24]
    assert np.abs(moved - first)[inner].mean() < 0.5 * np.abs(second - first)[inner].mean()


def test_clips_that_are_cached_are_not_made_again(pairs: Path, tmp_path: Path) -> None:
    config = DataConfig(reference="centre", run_frames=2)
    folder = prepare(pairs / "average", tmp_path, config)
    paths = find_clips(folder / "train") + find_clips(folder / "valid")
    times = [path.stat().st_mtime_ns for path in paths]
    assert len(paths) == 4
    prepare(pairs / "average", tmp_path, config)
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert prepare(folder, tmp_path / "other", config) == folder


def test_large_frames_are_cut_to_windows(pairs: Path, tmp_path: Path) -> None:
    config = DataConfig(reference="centre", window_px=64, windows=3)
    folder = prepare(pairs / "average", tmp_path, config)
    clips = [read_clip(path) for path in find_clips(folder / "train")]
    assert len(clips) == 3 and all(clip.target.shape[1:3] == (64, 64) for clip in clips)
    assert any((clips[0].truth != clip.truth).any() for clip in clips[1:])


def test_a_single_lens_set_gets_a_made_reference(tmp_path: Path) -> None:
    for view, frames in (("blur", moving_video(4, 96, 64)), ("sharp", moving_video(4, 96, 64))):
        for name in ("a", "b"):
            folder = tmp_path / "set" / "train" / name / view
            folder.mkdir(parents=True)
            for t, frame in enumerate(frames):
                cv2.imwrite(str(folder / f"{t:04d}.png"), frame)
    folder = prepare(tmp_path / "set", tmp_path / "cache", DataConfig(reference="centre"))
    clip = read_clip(find_clips(folder / "train")[0])
    error = (clip.reference.int() - clip.truth.int()).abs()[:, 8:-8, 8:-8].double().mean()
    assert 0.5 < error < 12  # the truth at half the detail


def test_sharp_sources_become_made_clips(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    write_video(sources / "walk.mp4", moving_video(36, 256, 192))
    cv2.imwrite(str(sources / "alley.png"), texture(420, 360, finest=2.0))
    config = DataConfig(
        reference="centre", blur="strong", synthetic_clips=2, synthetic_frames=3, synthetic_size=(96, 64)
    )
    clips = find_clips(prepare(sources, tmp_path / "cache", config) / "train")
    assert [tuple(read_clip(clip).truth.shape) for clip in clips] == [(3, 64, 96, 3)] * 2


@pytest.mark.slow
def test_photos_become_clips_out_of_focus_and_maps(tmp_path: Path) -> None:
    """From the same photo: the sharp truth for IFAN, the map of its blur for DMENet, which trains on it."""
    sources = tmp_path / "sources"
    sources.mkdir()
    cv2.imwrite(str(sources / "alley.png"), texture(620, 560, finest=2.0))
    clips = []
    for truth in ("sharp", "defocus"):
        config = DataConfig(reference="none", blur="defocus", truth=truth, synthetic_clips=1)  # type: ignore[arg-type]
        folder = prepare(sources, tmp_path / truth, config)
        clips.append(read_clip(find_clips(folder / "train")[0]))
    np.testing.assert_array_equal(clips[0].target, clips[1].target)
    assert clips[1].truth.max() > 0 and (clips[1].truth[..., 0] == clips[1].truth[..., 2]).all()
    assert (clips[0].truth[..., 0] != clips[0].truth[..., 2]).any()
    recipe = tmp_path / "tiny.toml"
    options = "channels = 2\nauxiliary = true\n[samples]\nframes = [1, 1]\ncrop_px = 32\nbatch = 1\n"
    head, _, _ = TINY.replace("asled-fast", "dmenet").partition("[options]")
    recipe.write_text(f"{head}[options]\n{options}[losses.extra]\nheads = 1.0\n")
    arguments = ["--data", str(tmp_path / "defocus"), "-o", str(tmp_path / "run"), "-q", "--device", "cpu"]
    assert app.main(["train", str(recipe), *arguments]) == 0
    assert weights.load(tmp_path / "run" / "weights.safetensors").config.channels == 2


def test_what_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photo and no video"):
        prepare(tmp_path, tmp_path / "cache", DataConfig())
    (tmp_path / "set" / "train" / "HR" / "W").mkdir(parents=True)
    with pytest.raises(InputError, match="expected the realmcvsr layout"):
        prepare(tmp_path / "set", tmp_path / "cache", DataConfig())
    with pytest.raises(UsageError, match=r"data\.window_px is 66, expected a multiple of 4"):
        DataConfig(window_px=66)
    with pytest.raises(UsageError, match="synthetic_frames is 1, expected 0, or 2 or more"):
        DataConfig(synthetic_frames=1)
    with pytest.raises(UsageError, match="expected multiples of 16, 32 or more, or zeros"):
        DataConfig(synthetic_size=(100, 64))
