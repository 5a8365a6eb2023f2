"""Inversion of own frames around what another restorer gives."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from factories.shaken_clip import ShakenClip, make_shaken_clip
from numpy.typing import NDArray

from asled_cli.deconvolution.exposure import NOT_BLURRED, ExposureFit
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, without_reference
from asled_cli.restoration.base import FrameByFrame, FusingRestorer, RestoredFrame, restore
from asled_cli.restoration.one_clip import FRAMES_BEFORE, FUSED, FrameInverter, OneClipRestorer
from asled_cli.restoration.own_frames import OwnFramesRestorer
from asled_cli.restoration.swap import SwapRestorer
from asled_cli.video.frames import Frame, FramePair

FRAME_S = Fraction(1, 30)
_BLUR = ExposureFit(0.8, 1.0)


@pytest.fixture(scope="module")
def clip() -> ShakenClip:
    return make_shaken_clip(frames=9, size=(160, 96))


def aligned(pictures: NDArray[np.uint16]) -> list[AlignedFrame]:
    frames = [Frame(i, i, i * FRAME_S, picture, None) for i, picture in enumerate(pictures)]
    return [without_reference(FramePair(frame, None)) for frame in frames]


def half_way(clip: ShakenClip, frame: AlignedFrame) -> NDArray[np.float32]:
    index = frame.pair.target.index
    away = (clip.truth[index].astype(np.float32) - clip.wide[index]) / np.float32(65535)
    return away * np.float32(0.3)


def changes(frames: list[RestoredFrame]) -> list[NDArray[np.float32] | None]:
    return [frame.change for frame in frames]


def test_without_a_change_before_it_is_the_clip_alone(clip: ShakenClip) -> None:
    merged = FusingRestorer(SwapRestorer(1.0), FUSED)
    alone = list(restore(aligned(clip.wide), OneClipRestorer(_BLUR, merged)))
    nothing = OwnFramesRestorer(FrameByFrame(lambda frame: None), _BLUR, FRAME_S)
    found = list(restore(aligned(clip.wide), nothing))
    assert [f.target.index for f in found] == list(range(9))
    for one, other in zip(alone, found, strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_allclose(one.change, other.change, atol=1e-6)


def test_what_is_restored_in_part_gains_more(clip: ShakenClip) -> None:
    before = FrameByFrame(lambda frame: half_way(clip, frame))
    around = list(restore(aligned(clip.wide), OwnFramesRestorer(before, _BLUR, FRAME_S)))
    part = clip.gains([half_way(clip, frame) for frame in aligned(clip.wide)])
    assert clip.gains(changes(around)).mean() > part.mean() + 0.5


@pytest.mark.parametrize("exposure", [0.8, 0.0])
def test_a_share_of_nothing_keeps_the_change_to_the_bit(clip: ShakenClip, exposure: float) -> None:
    before = FrameByFrame(lambda frame: half_way(clip, frame))
    restorer = OwnFramesRestorer(before, ExposureFit(exposure, 1.0), FRAME_S, share=lambda time_s: 0.0)
    for frame, item in zip(restore(aligned(clip.wide), restorer), aligned(clip.wide), strict=True):
        assert frame.change is not None
        np.testing.assert_array_equal(frame.change, half_way(clip, item))


def test_beside_a_helpless_stretch_the_change_is_kept_to_the_bit(clip: ShakenClip) -> None:
    """The inversions of the stretch reach into it, but none of them is wanted there."""
    before = FrameByFrame(lambda frame: None if frame.pair.target.index == 5 else half_way(clip, frame))
    restorer = OwnFramesRestorer(
        before,
        _BLUR,
        FRAME_S,
        share=lambda time_s: float(time_s < 4.5 / 30),
        limit=lambda time_s, change: change,
    )
    found = list(restore(aligned(clip.wide), restorer))
    assert found[5].change is None
    for frame, item in zip(found[6:], aligned(clip.wide)[6:], strict=True):
        assert frame.change is not None
        np.testing.assert_array_equal(frame.change, half_way(clip, item))


def test_frames_held_back_by_the_plan_count_as_kept(clip: ShakenClip) -> None:
    before = FrameByFrame(lambda frame: half_way(clip, frame))
    restorer = OwnFramesRestorer(before, NOT_BLURRED, FRAME_S, limit=lambda time_s, change: None)
    found = list(restore(aligned(clip.wide), restorer))
    assert all(frame.is_kept and frame.change is None for frame in found)


@pytest.mark.slow
def test_from_any_place_the_frames_are_the_same() -> None:
    clip = make_shaken_clip(frames=FRAMES_BEFORE + 5, size=(128, 80))
    frames = aligned(clip.wide)
    whole = list(restore(frames, OwnFramesRestorer(FrameByFrame(lambda f: None), _BLUR, FRAME_S)))
    later = OwnFramesRestorer(FrameByFrame(lambda f: None), _BLUR, FRAME_S)
    for frame in frames[2 : FRAMES_BEFORE + 2]:
        later.see_pair(frame)
    rest = list(restore(frames[FRAMES_BEFORE + 2 :], later))
    assert len(rest) == 3
    for one, other in zip(whole[-3:], rest, strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)


def test_a_missing_frame_separates(clip: ShakenClip) -> None:
    frames = aligned(clip.wide)
    restorer = OwnFramesRestorer(FrameByFrame(lambda f: None), _BLUR, FRAME_S)
    found = list(restore(frames[:4] + frames[5:], restorer))
    first = list(restore(frames[:4], OwnFramesRestorer(FrameByFrame(lambda f: None), _BLUR, FRAME_S)))
    assert [f.target.index for f in found] == [0, 1, 2, 3, 5, 6, 7, 8]
    for one, other in zip(first, found, strict=False):
        assert (one.change is None) == (other.change is None)
        if one.change is not None and other.change is not None:
            np.testing.assert_array_equal(one.change, other.change)


def test_in_a_gap_the_inversion_is_the_reference_to_the_bit(clip: ShakenClip) -> None:
    """Whatever restores merges it, as in the clip alone; outside the gap nothing changes."""
    alone = list(
        restore(aligned(clip.wide), OneClipRestorer(_BLUR, FusingRestorer(SwapRestorer(1.0), FUSED)))
    )
    restorer = OwnFramesRestorer(
        SwapRestorer(1.0),
        _BLUR,
        FRAME_S,
        share=lambda time_s: 0.0,
        lends=lambda time_s: time_s > 1.5 / 30,
        limit=lambda time_s, change: (
            pytest.fail("the plan knows nothing of a gap") if change is not None else None
        ),
    )
    found = list(restore(aligned(clip.wide), restorer))
    assert all(frame.change is None for frame in found[:2])
    assert all(frame.change is not None for frame in found[2:])
    inner = 2 + FUSED  # the first frame that is averaged with frames of the gap alone
    for one, other in zip(alone[inner:], found[inner:], strict=True):
        assert one.change is not None and other.change is not None and not other.has_reference
        np.testing.assert_array_equal(one.change, other.change)


def test_a_reference_that_is_as_blurred_gives_way_but_counts_as_there(clip: ShakenClip) -> None:
    """What restores sees the inversion alone, and the frame still had another view."""
    alone = [replace(frame, pair=FramePair(frame.pair.target, None)) for frame in aligned(clip.wide)]
    wrong = np.zeros_like(clip.wide[0])
    both = [
        replace(frame, pair=FramePair(frame.pair.target, frame.pair.target), reference=wrong)
        for frame in aligned(clip.wide)
    ]
    found = []
    for frames in (alone, both):
        restorer = OwnFramesRestorer(
            SwapRestorer(1.0), _BLUR, FRAME_S, share=lambda time_s: 0.0, lends=lambda time_s: True
        )
        found.append(list(restore(frames, restorer)))
    for one, other in zip(*found, strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)
        assert other.has_reference and not one.has_reference


@pytest.mark.slow
def test_frames_far_from_a_gap_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """That changes nothing in the gap, nor does a start of the stream behind those frames."""
    count, gap = FRAMES_BEFORE + 8, 4
    clip = make_shaken_clip(frames=count, size=(128, 80))
    seen: list[int] = []
    push = FrameInverter.push

    def counted(self: FrameInverter, frame: Frame, **wanted: bool) -> list[AlignedFrame]:
        seen.append(frame.index)
        return push(self, frame, **wanted)

    def gaps(shared: float) -> OwnFramesRestorer:
        return OwnFramesRestorer(
            SwapRestorer(1.0),
            _BLUR,
            FRAME_S,
            share=lambda time_s: shared,
            lends=lambda time_s: time_s > (count - gap - 0.5) / 30,
        )

    monkeypatch.setattr(FrameInverter, "push", counted)
    frames = aligned(clip.wide)
    part = list(restore(frames, gaps(0.0)))
    assert seen == list(range(count - gap - FRAMES_BEFORE, count))
    assert [frame.target.index for frame in part] == list(range(count))
    later = gaps(0.0)
    for frame in frames[:-gap]:
        later.see_pair(frame)
    resumed = list(restore(frames[-gap:], later))
    for one, other in zip(part[-gap:], resumed, strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)
    whole = list(restore(frames, gaps(1.0)))
    for one, other in zip(part[FUSED - gap :], whole[FUSED - gap :], strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)
