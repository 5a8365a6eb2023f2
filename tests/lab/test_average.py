"""Averaged video: the blur is exactly the mean of decoded frames, the geometry exactly the one asked for."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.textures import moving_video, psnr, write_video

from asled_cli.errors import InputError
from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb, to_bytes
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair, read_frames

SIZE = (96, 64)


@pytest.fixture(scope="module")
def video_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "moving.mp4", moving_video(20))


def test_reading_from_any_frame_gives_the_frames_of_a_full_decode(video_file: Path) -> None:
    everything = read_frames(video_file, 0, 20)
    for start in (1, 4, 5, 6, 13):
        np.testing.assert_array_equal(read_frames(video_file, start, 3), everything[start : start + 3])


def test_a_video_that_ends_too_early_is_named(video_file: Path) -> None:
    with pytest.raises(InputError, match=r"moving\.mp4 has 2 frames after frame 18, need 5"):
        read_frames(video_file, 18, 5)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_wide_is_the_mean_of_the_decoded_frames(video_file: Path, count: int) -> None:
    pair = average_pair(video_file, AverageConfig(seed=4, size=SIZE, frames=5, count=count))
    sharp = average_pair(video_file, AverageConfig(seed=4, size=SIZE, frames=5 + count - 1, count=1,
                         start=pair.parameters["start"]))  # fmt: skip
    if count > 1:
        for t in range(5):
            mean = sharp.truth[t : t + count].astype(np.float64).mean(0)
            np.testing.assert_array_equal(pair.wide[t], np.rint(mean))
    np.testing.assert_array_equal(pair.truth, sharp.truth[count // 2 :][:5])


def test_the_truth_is_cut_from_the_decoded_video_unchanged(video_file: Path) -> None:
    pair = average_pair(video_file, AverageConfig(seed=1, size=SIZE, frames=4, count=3, start=6))
    middle = read_frames(video_file, 7, 1)[0]
    misfit = cv2.matchTemplate(middle, pair.truth[0], cv2.TM_SQDIFF)
    y, x = np.unravel_index(int(misfit.argmin()), misfit.shape)
    np.testing.assert_array_equal(middle[y : y + SIZE[1], x : x + SIZE[0]], pair.truth[0])


def test_linear_mode_averages_light() -> None:
    pair = average_pair(
        moving_video(12), AverageConfig(seed=2, size=SIZE, frames=3, count=5, linear=True, start=0)
    )
    sharp = average_pair(moving_video(12), AverageConfig(seed=2, size=SIZE, frames=7, count=1, start=0))
    light = bytes_to_linear(sharp.truth[:5]).mean(0)
    np.testing.assert_array_equal(pair.wide[0], to_bytes(linear_to_srgb(light)))


def test_a_count_of_one_leaves_wide_sharp() -> None:
    pair = average_pair(moving_video(9), AverageConfig(seed=2, size=SIZE, frames=9, count=1))
    np.testing.assert_array_equal(pair.wide, pair.truth)
    assert pair.exposure == 0.0


def test_a_pan_moves_the_truth_by_what_was_asked() -> None:
    still = np.repeat(moving_video(1, 640, 480), 8, axis=0)
    pair = average_pair(still, AverageConfig(seed=5, size=SIZE, frames=8, count=1, pan_px=(3.0, -2.0)))
    for t in range(7):
        np.testing.assert_array_equal(pair.truth[t + 1][2:, :-3], pair.truth[t][:-2, 3:])


def test_with_one_field_of_view_the_true_reference_is_the_truth() -> None:
    rig = LensRig(ratio=1.0, rotation_deg=0.3, shift_px=(2.5, -1.25))
    pair = average_pair(moving_video(8), AverageConfig(seed=6, size=SIZE, frames=4, count=3, rig=rig))
    inner = np.s_[:, 8:-8, 8:-8]  # the ultra sees no more than the wide here, so the rim is mirrored
    assert psnr(pair.true_reference[inner], pair.truth[inner]) > 35.0  # sampled twice instead of once


def test_even_counts_and_small_videos_are_refused() -> None:
    with pytest.raises(InputError, match="no centre frame"):
        average_pair(moving_video(8), AverageConfig(seed=0, size=SIZE, frames=2, count=4))
    with pytest.raises(InputError, match="has 8 frames, need 10"):
        average_pair(moving_video(8), AverageConfig(seed=0, size=SIZE, frames=4, count=7))
    with pytest.raises(InputError, match="need more than 640x480"):
        average_pair(moving_video(8), AverageConfig(seed=0, size=(640, 480), frames=2, count=3))
