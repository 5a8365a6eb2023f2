"""One clip deblurred from its own frames, as a stream."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from factories.shaken_clip import make_shaken_clip

from asled_cli.deconvolution import single_lens
from asled_cli.deconvolution.free.free_views import FreeViews
from asled_cli.deconvolution.single_lens import SingleLensConfig, SingleLensRestorer, deblur_frames
from asled_cli.deconvolution.wiener import View

_EXPOSURE = 0.8


def test_shaken_clip_gains() -> None:
    clip = make_shaken_clip(frames=7)
    gains = clip.gains([r.change for r in deblur_frames(clip.wide, _EXPOSURE)])
    assert gains.mean() > 2.5
    assert gains.min() > -0.05


def test_an_end_that_the_path_hardly_explains_stays() -> None:
    clip = make_shaken_clip(frames=8, pace=3, shake_px=5, seed=2)  # shakes at up to 15 Hz
    gains = clip.gains([r.change for r in deblur_frames(clip.wide, _EXPOSURE)])
    assert gains[-1] > -0.05
    assert gains[:-1].min() > 2.0


def test_clipped_lights_do_not_ring() -> None:
    clip = make_shaken_clip(brightness=2.5, frames=7)
    gains = clip.gains([r.change for r in deblur_frames(clip.wide, _EXPOSURE)])
    assert gains.min() > -0.05


def test_exposure_of_nothing_changes_nothing() -> None:
    clip = make_shaken_clip(frames=3)
    assert [r.change for r in deblur_frames(clip.wide, 0.0)] == [None] * 3


def test_a_cut_separates_scenes() -> None:
    one, two = (make_shaken_clip(frames=5, size=(160, 96), seed=seed).wide for seed in (0, 5))
    joined = [r.change for r in deblur_frames([*one, *two], _EXPOSURE)]
    apart = [r.change for clip in (one, two) for r in deblur_frames(clip, _EXPOSURE)]
    assert len(joined) == 10
    for a, b in zip(joined, apart, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_memory_is_bounded_and_frames_come_in_order() -> None:
    clip = make_shaken_clip(frames=16, size=(160, 96))
    config = SingleLensConfig(rounds=1, around=2)
    restorer = SingleLensRestorer(_EXPOSURE, config)
    most, done = 0, []
    for frame in clip.wide:
        done += restorer.push(frame)
        most = max(most, restorer.waiting)
    done += restorer.flush()
    assert len(done) == 16
    assert most <= config.look_ahead + 2 * config.radius + 2


def test_blurs_without_a_path_are_found_from_seven_frames_at_the_ends_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip, seen = make_shaken_clip(frames=9, stabilised=True), []
    found = single_lens.free_views

    def counted(views: Sequence[View], times: Sequence[int], *rest: Any) -> FreeViews:
        seen.append(list(times))
        return found(views, times, *rest)

    monkeypatch.setattr(single_lens, "free_views", counted)
    gains = clip.gains([r.change for r in deblur_frames(clip.wide, _EXPOSURE)])
    assert [0, 1, 2, 3, 4, 5, 6] in seen and [-6, -5, -4, -3, -2, -1, 0] in seen
    assert all(len(times) == 7 and times == sorted(times) for times in seen)
    assert gains[[0, -1]].min() > 1.0


def test_stream_that_starts_later_gives_the_same_frames() -> None:
    clip = make_shaken_clip(frames=16, size=(160, 96))
    config = SingleLensConfig(rounds=1, around=2)
    whole = list(deblur_frames(clip.wide, _EXPOSURE, config))
    later = list(deblur_frames(clip.wide[4:], _EXPOSURE, config))
    for a, b in zip(whole[10:], later[6:], strict=True):
        assert a.change == pytest.approx(b.change, abs=1e-5)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_clips_of_few_frames_pass(frames: int) -> None:
    clip = make_shaken_clip(frames=max(frames, 1))
    assert len(list(deblur_frames(clip.wide[:frames], _EXPOSURE))) == frames
