"""References from the frames beside: only where they agree and are sharper."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.shaken_clip import make_scene
from numpy.typing import NDArray

from asled_cli.guide import GUIDE_CHANNELS, Guide
from asled_cli.imaging.light import linear_to_srgb
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.registration.rendering.temporal_fusion import FrameWindow
from asled_cli.restoration.neighbour_references import with_reference
from asled_cli.video.frames import Frame, FramePair

SIZE = (128, 96)
SHIFT = 8  # pixels from frame to frame, to the right


def sharp(at: int) -> NDArray[np.uint16]:
    scene = linear_to_srgb(make_scene((SIZE[0] + 40, SIZE[1])))
    return np.asarray(scene[:, 20 - at : 20 - at + SIZE[0]] * 65535, np.uint16)


def window(middle: NDArray[np.uint16], *, cut: bool = False) -> FrameWindow:
    """Return three frames that move to the right; the outer ones have references, the middle one none."""
    frames = []
    for i, at in enumerate((-SHIFT, 0, SHIFT)):
        picture = middle if i == 1 else sharp(at)
        frame = without_reference(FramePair(Frame(i, i, Fraction(i, 30), picture, None), None))
        grid = frame.guide.shape[:2]
        moves = np.zeros((*grid, 2), np.float16)
        moves[..., 0] = SHIFT / 4
        guide = np.ones((*grid, GUIDE_CHANNELS), np.float16)
        frames.append(
            AlignedFrame(
                frame.pair, None if i == 1 else sharp(at), frame.guide if i == 1 else guide,
                -moves, moves, np.zeros_like(moves), cut and i > 0,
            )
        )  # fmt: skip
    return FrameWindow(tuple(frames), 1)


def test_blurred_frame_takes_the_sharp_picture() -> None:
    blurred = cv2.blur(sharp(0), (9, 1))
    found = with_reference(window(blurred))
    assert found.reference is not None
    inner = np.s_[8:-8, 16:-16]
    assert np.abs(found.reference.astype(float) - sharp(0))[inner].mean() < 0.01 * 65535
    assert found.guide[2:-2, 4:-4, Guide.CONFIDENCE].mean() > 0.8
    assert found.guide[..., Guide.BLUR].mean() > 0.005


def test_sharp_frame_is_left_alone() -> None:
    found = with_reference(window(sharp(0)))
    assert found.guide[..., Guide.CONFIDENCE].max() < 0.05
    assert found.guide[..., Guide.BLUR].max() < 0.01


def test_another_object_is_left_alone() -> None:
    blurred = cv2.blur(sharp(0), (9, 1))
    blurred[32:64, 40:80] = 60000
    confidence = with_reference(window(blurred)).guide[..., Guide.CONFIDENCE]
    assert confidence[10:14, 13:17].max() < 0.05


@pytest.mark.parametrize("cut", [True, False])
def test_nothing_is_taken_across_a_cut(cut: bool) -> None:
    found = with_reference(window(cv2.blur(sharp(0), (9, 1)), cut=cut))
    assert (found.reference is None) == cut


def test_a_reference_of_its_own_stays() -> None:
    frames = window(sharp(0)).frames
    assert with_reference(FrameWindow(frames, 0)) is frames[0]
