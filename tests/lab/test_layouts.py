"""Data sets on disk: every layout is found, frames pair by name, and a wrong tree gives a clear error."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.textures import moving_video, write_video
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.imaging.light import linear_to_srgb, srgb_to_linear
from asled_cli.lab.datasets.image_sequence import (
    MeanPictures,
    PictureArray,
    PictureFiles,
    VideoPictures,
    mean_picture,
)
from asled_cli.lab.datasets.layouts import Averaging, Layout, read_layout

TREES: dict[Layout, tuple[str, ...]] = {
    "generic": ("blur/a", "gt/a", "ref/a"),
    "hsd": ("test/input/a", "test/target/a", "test/guide/a"),
    "gopro": ("test/blur/a", "test/GT/a"),
    "dvd": ("test_GT_blurred/a", "test_GT/a"),
    "bsd": ("test/a/Blur/RGB", "test/a/Sharp/RGB"),
}


def write_frames(folder: Path, frames: NDArray[np.generic], names: str = "{:04d}.png") -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / names.format(index)), np.ascontiguousarray(frame[..., ::-1]))


def pictures(seed: int, count: int = 3, size: tuple[int, int] = (16, 12)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", TREES)
def test_every_layout_is_read(layout: Layout, tmp_path: Path) -> None:
    for seed, place in enumerate(TREES[layout]):
        write_frames(tmp_path / place, pictures(seed))
    (clip,) = read_layout(layout, tmp_path)
    assert (clip.name, clip.frames, clip.target.size) == ("a", 3, (16, 12))
    views = [clip.target, clip.truth, clip.reference]
    assert (clip.reference is None) == (len(TREES[layout]) == 2)
    for seed, view in enumerate(views[: len(TREES[layout])]):
        assert view is not None
        np.testing.assert_array_equal(view[2], pictures(seed)[2])


def test_published_gopro_has_views_below_clips(tmp_path: Path) -> None:
    for clip in ("b", "a"):
        write_frames(tmp_path / "train" / clip / "blur", pictures(0))
        write_frames(tmp_path / "train" / clip / "sharp", pictures(1))
    assert [clip.name for clip in read_layout("gopro", tmp_path, "train")] == ["a", "b"]


def test_single_pictures_are_clips_of_one_frame(tmp_path: Path) -> None:
    for seed, view in enumerate(("input", "target", "guide")):
        write_frames(tmp_path / "test" / view, pictures(seed, 2))
    clips = read_layout("hsd", tmp_path)
    assert [(clip.name, clip.frames) for clip in clips] == [("0000", 1), ("0001", 1)]


def test_a_video_is_a_clip_and_goes_back(tmp_path: Path) -> None:
    frames = moving_video(7, 64, 48)
    for view in ("blur", "gt", "ref"):
        (tmp_path / view).mkdir()
        write_video(tmp_path / view / f"a{'.mp4'}", frames)
    (clip,) = read_layout("generic", tmp_path)
    assert isinstance(clip.target, VideoPictures) and clip.frames == 7
    fifth, second = clip.target[5], clip.target[2]
    np.testing.assert_array_equal(clip.target[5], fifth)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clip.target))[2], second)
    assert second.dtype == np.uint8 and np.abs(second.astype(int) - frames[2]).mean() < 12


def test_frames_sort_by_number_and_keep_16_bit(tmp_path: Path) -> None:
    frames = np.arange(12, dtype=np.uint16)[:, None, None, None] * np.full((4, 4, 3), 257, np.uint16)
    for view in ("blur", "gt"):
        write_frames(tmp_path / view / "a", frames, "{}.png")
    (clip,) = read_layout("generic", tmp_path)
    assert [int(clip.target[i][0, 0, 0]) // 257 for i in range(12)] == list(range(12))
    assert clip.target[0].dtype == np.uint16


@pytest.mark.parametrize("linear", [False, True])
def test_realmcvsr_blur_is_the_mean_of_its_window(linear: bool, tmp_path: Path) -> None:
    wide, ultra = pictures(0, 9), pictures(1, 9)
    write_frames(tmp_path / "test/HR/W/0002", wide)
    write_frames(tmp_path / "test/HR/UW/0002", ultra)
    (clip,) = read_layout("realmcvsr", tmp_path, "test", Averaging(linear=linear))
    assert clip.frames == 3 and clip.reference is not None
    values = wide / 255.0
    mean = linear_to_srgb(srgb_to_linear(values)[1:8].mean(0)) if linear else values[1:8].mean(0)
    assert np.abs(clip.target[1] - 255.0 * mean).max() <= 0.51
    np.testing.assert_array_equal(clip.truth[1], wide[4])
    np.testing.assert_array_equal(clip.reference[1], ultra[4])
    (both,) = read_layout("realmcvsr", tmp_path, "test", Averaging(reference=True, linear=linear))
    assert both.reference is not None
    np.testing.assert_array_equal(both.reference[0], mean_picture(list(ultra[:7]), linear=linear))


def test_a_mean_reads_each_picture_once() -> None:
    class Counted(PictureArray):
        reads = 0

        def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
            Counted.reads += 1
            return super().__getitem__(index)

    means = MeanPictures(Counted(pictures(3, 10)), 7)
    assert [means[i].shape for i in range(len(means))] == [(12, 16, 3)] * 4
    assert Counted.reads == 10


def test_sixteen_bit_means_keep_their_depth() -> None:
    frames = np.random.default_rng(0).integers(0, 65536, (3, 4, 5, 3), dtype=np.uint16)
    for linear in (False, True):
        assert mean_picture(list(frames), linear=linear).dtype == np.uint16
    assert np.abs(mean_picture(list(frames)).astype(int) - frames.mean(0)).max() <= 0.5


def test_an_even_mean_is_refused() -> None:
    with pytest.raises(InputError, match="6 frames has no centre"):
        MeanPictures(PictureArray(pictures(0)), 6)


def test_a_wrong_tree_says_what_was_found_and_expected(tmp_path: Path) -> None:
    write_frames(tmp_path / "images" / "a", pictures(0))
    with pytest.raises(InputError, match=r"holds images/, expected the hsd layout: test/input/\{clip\}"):
        read_layout("hsd", tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_layout("hsd", tmp_path / "no")


def test_a_missing_view_or_clip_is_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "blur/a", pictures(0))
    write_frames(tmp_path / "gt/b", pictures(0))
    with pytest.raises(InputError, match=r"Clip a lacks gt/a: .*gt holds b/"):
        read_layout("generic", tmp_path)
    write_frames(tmp_path / "real/test/HR/W/0001", pictures(0, 8))
    with pytest.raises(InputError, match="Clip 0001 has no UW view"):
        read_layout("realmcvsr", tmp_path / "real")


def test_unequal_counts_names_and_sizes_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "one/blur/a", pictures(0, 3))
    write_frames(tmp_path / "one/gt/a", pictures(0, 2))
    with pytest.raises(InputError, match="unequal numbers of frames: 3 in target, 2 in truth"):
        read_layout("generic", tmp_path / "one")
    write_frames(tmp_path / "two/blur/a", pictures(0, 3))
    write_frames(tmp_path / "two/gt/a", pictures(0, 3), "{:03d}.png")
    with pytest.raises(InputError, match="has 0000 in target where truth has 000"):
        read_layout("generic", tmp_path / "two")
    write_frames(tmp_path / "three", pictures(0, 1))
    write_frames(tmp_path / "four", pictures(0, 1, (8, 8)))
    mixed = PictureFiles((tmp_path / "three/0000.png", tmp_path / "four/0000.png"))
    with pytest.raises(InputError, match="has 8x8 pixels"):
        mixed[1]


def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "0000.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0000.png is no picture"):
        PictureFiles((broken,))[0]
    cv2.imwrite(str(broken), np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="expected RGB"):
        PictureFiles((broken,))[0]
