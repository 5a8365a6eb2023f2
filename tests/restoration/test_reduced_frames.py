"""Inversion at a smaller size: what it adds to reduced frames is added to the whole ones."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.shaken_clip import make_shaken_clip

from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.own_reference import OwnReference
from asled_cli.guide import GUIDE_CHANNELS
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.one_clip import inverted_frames
from asled_cli.restoration.pictures.changes import swap_change
from asled_cli.restoration.reduced_frames import enlarged, reduced
from asled_cli.video.frames import Frame

STEP, BLUR = Fraction(1, 30), ExposureFit(0.8, 1.0)


def inverted(pictures: np.ndarray, long_side: int | None) -> list[AlignedFrame]:
    frames = [Frame(i, i, i * STEP, rgb, None) for i, rgb in enumerate(pictures)]
    return list(inverted_frames(frames, BLUR, STEP, long_side=long_side))


@pytest.mark.parametrize(
    ("shape", "expected"), [((54, 96, 3), (27, 48)), ((96, 54, 3), (48, 27)), ((30, 48, 3), (30, 48))]
)
def test_the_longer_side_is_bounded(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert reduced(np.zeros(shape, np.uint16), 48).shape == (*expected, 3)


def test_enlarging_adds_the_detail_and_scales_the_motion() -> None:
    whole = np.full((64, 96, 3), 30000, np.uint16)
    whole[::2] += 100  # structure that the reduced frame does not show is kept
    small = reduced(whole, 48)
    grid = (8, 12)
    guide = np.full((*grid, GUIDE_CHANNELS), 0.25, np.float16)
    step = np.broadcast_to(np.array([1.5, -0.5], np.float16), (*grid, 2))
    found = OwnReference(small + np.uint16(500), guide, step, -step, True)
    large = enlarged(found, small, whole)
    assert large.sharp is not None
    np.testing.assert_array_equal(large.sharp, whole + 500)
    assert large.guide.shape == (16, 24, GUIDE_CHANNELS) and (large.guide == 0.25).all()
    np.testing.assert_array_equal(large.flow_previous, np.broadcast_to([3.0, -1.0], (16, 24, 2)))
    np.testing.assert_array_equal(large.flow_next, np.broadcast_to([-3.0, 1.0], (16, 24, 2)))


def test_full_scale_is_kept() -> None:
    whole = np.full((64, 96, 3), 65000, np.uint16)
    small = reduced(whole, 48)
    still = np.zeros((8, 12, 2), np.float16)
    found = OwnReference(np.full_like(small, 65535), np.zeros((8, 12, 6), np.float16), still, still, True)
    large = enlarged(found, small, whole)
    assert large.sharp is not None and (large.sharp == 65535).all()


def test_small_frames_are_inverted_as_without_it() -> None:
    clip = make_shaken_clip(frames=5, size=(96, 64))
    for one, other in zip(inverted(clip.wide, None), inverted(clip.wide, 96), strict=True):
        assert one.reference is not None and other.reference is not None
        np.testing.assert_array_equal(one.reference, other.reference)
        np.testing.assert_array_equal(one.guide, other.guide)


def test_large_frames_gain() -> None:
    clip = make_shaken_clip(frames=7, size=(160, 96))

    def twice(pictures: np.ndarray) -> np.ndarray:
        return np.stack([cv2.resize(one, (320, 192), interpolation=cv2.INTER_LINEAR) for one in pictures])

    wide, truth = twice(clip.wide), twice(clip.truth) / 65535
    gains = []
    for frame, true in zip(inverted(wide, 160), truth, strict=True):
        change = swap_change(frame, 1.0)
        assert change is not None and frame.reference is not None
        assert frame.reference.shape == frame.pair.target.rgb.shape
        before = frame.pair.target.rgb / 65535
        errors = [np.square(one - true).mean() for one in (before, np.clip(before + change, 0, 1))]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 2.0
