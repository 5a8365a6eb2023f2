"""One clip alone: inversions as references, for those that merge them."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.panned_clip import make_panned_clip
from factories.shaken_clip import ShakenClip, make_shaken_clip
from numpy.typing import NDArray

from asled_cli.deconvolution.blended.blended_lens import AROUND, BLOCK
from asled_cli.deconvolution.exposure import NOT_BLURRED, ExposureFit
from asled_cli.guide import Guide
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.one_clip import REACH, FrameInverter, frames_before, inverted_frames
from asled_cli.restoration.pictures.changes import swap_change
from asled_cli.video.frames import Frame

_STEP = Fraction(1, 30)
_BLUR = ExposureFit(0.8, 1.0)


@pytest.fixture(scope="module")
def clip() -> ShakenClip:
    return make_shaken_clip(frames=8, size=(160, 96))


@pytest.fixture(scope="module")
def inverted(clip: ShakenClip) -> list[AlignedFrame]:
    return list(inverted_frames(_frames(clip.wide), _BLUR, _STEP))


def _frames(pictures: NDArray[np.uint16], times: list[int] | None = None) -> list[Frame]:
    at = times or list(range(len(pictures)))
    return [Frame(i, t, t * _STEP, rgb, None) for i, (t, rgb) in enumerate(zip(at, pictures, strict=True))]


def test_every_frame_comes_back_in_order_with_its_inversion(
    clip: ShakenClip, inverted: list[AlignedFrame]
) -> None:
    assert [frame.pair.target.index for frame in inverted] == list(range(8))
    assert all(frame.pair.reference is None and frame.reference is not None for frame in inverted)
    assert not any(frame.is_cut for frame in inverted)
    gains = clip.gains([swap_change(frame, 1.0) for frame in inverted])
    assert gains.mean() > 2.5 and gains.min() > -0.05


def test_flow_follows_the_camera(clip: ShakenClip, inverted: list[AlignedFrame]) -> None:
    """Against the true maps between mean poses: the flow is between the middles of exposures."""
    for k in range(2, 5):
        middle = np.array([80.0, 48.0, 1.0])
        true = clip.maps[k] @ middle
        true = true[:2] / true[2] - middle[:2]
        found = inverted[k].flow_next.astype(float)[12, 20] * 4
        assert np.abs(found - true).max() < 1.5
    assert not inverted[-1].flow_next.any() and not inverted[0].flow_previous.any()


def test_residual_is_what_the_inversion_does_not_explain(inverted: list[AlignedFrame]) -> None:
    frame = inverted[4]
    assert frame.reference is not None
    small = cv2.resize(frame.reference.astype(np.float32) / 65535, (40, 24), interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(
        frame.pair.target.rgb.astype(np.float32) / 65535, (40, 24), interpolation=cv2.INTER_AREA
    )
    left = frame.guide[..., : Guide.ERROR_BLUE + 1].astype(np.float32)
    assert np.square(left).mean() < 0.5 * np.square(blurred - small).mean()
    assert 0 < frame.guide[..., Guide.BLUR].mean() < 1
    assert frame.guide[..., Guide.VALID].all()


@pytest.mark.parametrize("exposure", [0.0, 0.8])
def test_a_missing_frame_separates(clip: ShakenClip, exposure: float) -> None:
    times = [0, 1, 2, 3, 5, 6, 7, 8]
    whole = list(inverted_frames(_frames(clip.wide, times), ExposureFit(exposure, 1.0), _STEP))
    apart = [
        *inverted_frames(_frames(clip.wide[:4]), ExposureFit(exposure, 1.0), _STEP),
        *inverted_frames(_frames(clip.wide[4:], times[4:]), ExposureFit(exposure, 1.0), _STEP),
    ]
    assert len(whole) == 8
    for one, other in zip(whole, apart, strict=True):
        assert (one.reference is None) == (other.reference is None)
        if one.reference is not None and other.reference is not None:
            np.testing.assert_array_equal(one.reference, other.reference)
        np.testing.assert_array_equal(one.flow_next, other.flow_next)
    assert whole[4].is_cut and not whole[5].is_cut if exposure else True


def test_a_frame_that_is_not_wanted_takes_its_neighbours_reference(clip: ShakenClip) -> None:
    inverter = FrameInverter(_BLUR, _STEP)
    found: list[AlignedFrame] = []
    for i, frame in enumerate(_frames(clip.wide)):
        found += inverter.push(frame, wanted=i != 4)
    found += inverter.flush()
    filled = found[4]
    assert filled.reference is not None
    truth = clip.truth[4].astype(np.float32)
    away = [
        np.square(p.astype(np.float32) - truth)[8:-8, 8:-8].mean() for p in (filled.reference, clip.wide[4])
    ]
    assert away[0] < 0.5 * away[1]
    assert filled.guide[..., Guide.CONFIDENCE].mean() > 0.3


def test_motion_is_found_without_an_exposure_if_asked(clip: ShakenClip) -> None:
    plain = list(inverted_frames(_frames(clip.wide), NOT_BLURRED, _STEP))
    moving = list(inverted_frames(_frames(clip.wide), NOT_BLURRED, _STEP, motion=True))
    assert all(frame.reference is None for frame in (*plain, *moving))
    assert not plain[3].flow_next.any() and moving[3].flow_next.any()


def test_blended_frames_are_the_same_from_as_far_before_as_they_depend_on() -> None:
    """The last frame of a block depends on most: on the whole block and the frames around it."""
    blur = ExposureFit(3.0, 0.9, "scene")
    last = 2 * BLOCK - 1
    frames = _frames(make_panned_clip(count=3, frames=last + AROUND + REACH + 1, size=(96, 64)).wide)
    whole = list(inverted_frames(frames, blur, _STEP))
    later = list(inverted_frames(frames[last - frames_before(blur) :], blur, _STEP))
    assert frames_before(blur) < last and frames_before(blur) > frames_before(_BLUR) == frames_before(None)
    one, other = (next(f for f in found if f.pair.target.index == last) for found in (whole, later))
    assert one.reference is not None and other.reference is not None
    np.testing.assert_array_equal(one.reference, other.reference)
    np.testing.assert_array_equal(one.guide, other.guide)
