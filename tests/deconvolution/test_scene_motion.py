"""Blur whose motion differs from place to place: flow, exposure and inversion."""

import numpy as np
import pytest
from factories.panned_clip import make_panned_clip
from factories.shaken_clip import ShakenClip, make_shaken_clip
from scipy import ndimage

from asled_cli.deconvolution.clip_exposure import clip_exposure
from asled_cli.deconvolution.scene.evidence import coded_luma, scene_exposure, split_scenes
from asled_cli.deconvolution.scene.scene_lens import SceneLensRestorer
from asled_cli.deconvolution.scene.scene_motion import SceneMotion, find_motion
from asled_cli.deconvolution.scene.scene_views import SceneBlur, scene_views
from asled_cli.deconvolution.scene.soft_flow import REDUCTION, alike, soft_flows, soft_picture
from asled_cli.deconvolution.single_lens import Deblurred, SingleLensConfig
from asled_cli.deconvolution.views import Planes


@pytest.fixture(scope="module")
def clip() -> ShakenClip:
    return make_panned_clip()


def _restored(clip: ShakenClip, exposure: float, start: int = 0) -> list[Deblurred]:
    restorer = SceneLensRestorer(exposure, SingleLensConfig(describe=True))
    found = [one for frame in clip.wide[start:] for one in restorer.push(frame)]
    return found + restorer.flush()


@pytest.mark.slow
def test_exposure_of_averaged_frames() -> None:
    found = clip_exposure([list(make_panned_clip(count=5, frames=11, size=(256, 160)).wide)])
    assert (found.exposure, found.motion, found.blended) == (5, "scene", 5)
    assert found.explained > 0.2


def test_exposure_of_a_steady_pan() -> None:
    clip = make_shaken_clip(exposure=0.8, shake_px=0.0, pan_px=8.0, frames=11)
    found = clip_exposure([list(clip.wide)])
    assert found.motion == "scene"
    assert found.exposure == pytest.approx(0.8, abs=0.26)


def test_sharp_frames_that_move_in_parts_have_none() -> None:
    frames = make_panned_clip(count=1, frames=11).wide
    assert scene_exposure(split_scenes([[coded_luma(frame) for frame in frames]])).exposure == 0.0


def test_flow_of_means_is_that_of_the_scene(clip: ShakenClip) -> None:
    """In the middle of each half; the speeds are those of the maker."""
    pictures = [soft_picture(coded_luma(frame)) for frame in clip.wide]
    flow = REDUCTION * soft_flows(pictures, 6)[10]
    rows = flow.shape[0]
    waves = [np.mean([t + 0.6 * np.sin(t) for t in range(k - 2, k + 3)]) for k in (6, 10)]
    for row, speed in ((rows // 4, (4.0, 0.5)), (3 * rows // 4, (-2.5, 2.0))):
        middle = flow[row, flow.shape[1] // 3 : -flow.shape[1] // 3].mean(0)
        np.testing.assert_allclose(middle, np.array(speed) * (waves[1] - waves[0]), atol=1.5)


def test_a_frame_does_not_depend_on_where_the_stream_began(clip: ShakenClip) -> None:
    some = ShakenClip(clip.wide[:8], clip.truth[:8], clip.maps)
    whole, later = _restored(some, 2.0), _restored(some, 2.0, start=2)
    for one, other in zip(whole[4:], later[2:], strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)


def test_a_cut_separates(clip: ShakenClip) -> None:
    other = make_panned_clip(seed=7, frames=3)
    restorer = SceneLensRestorer(3.0, SingleLensConfig(describe=True))
    frames = [*clip.wide[:4], *other.wide]
    found = [one for frame in frames for one in restorer.push(frame)] + restorer.flush()
    assert len(found) == len(frames)
    assert not alike(*(soft_picture(coded_luma(frame)) for frame in (clip.wide[3], other.wide[0])))
    follows = [one.reference.follows for one in found if one.reference is not None]
    assert [k for k, one in enumerate(follows) if not one] == [0, 4]
    alone = _restored(ShakenClip(clip.wide[:4], clip.truth[:4], clip.maps), 3.0)
    for one, two in zip(found, alone, strict=False):
        assert one.change is not None and two.change is not None
        np.testing.assert_array_equal(one.change, two.change)


def test_paths_have_the_flows_as_their_means() -> None:
    rng = np.random.default_rng(0)
    steady = np.arange(-4, 5)[:, None, None, None] * np.array([3.0, -1.0]) + np.zeros((9, 6, 8, 2))
    motion = find_motion(list(steady.astype(np.float32)), 4, 3.0)
    for time in (-2, 0.5, 3):
        np.testing.assert_allclose(
            motion.at(time), np.broadcast_to([3.0 * time, -time], (6, 8, 2)), atol=1e-2
        )
    np.testing.assert_allclose(motion.blur_px, 3 * np.hypot(3, 1), rtol=1e-2)
    assert motion.trust(REDUCTION).min() == 1
    jumping = steady + rng.normal(0, 2.0, steady.shape)
    assert find_motion(list(jumping.astype(np.float32)), 4, 3.0).trust(REDUCTION).max() == 0


def test_blur_against_scipy() -> None:
    """A picture blurred along a field, and the same moves at points, by another interpolation."""
    rng = np.random.default_rng(1)
    picture = ndimage.gaussian_filter(rng.random((48, 64, 3)), (2, 2, 0)).astype(np.float32)
    travel = np.cumsum(np.full((5, 12, 16, 2), (0.8, -0.5), np.float32), 0)
    travel += np.linspace(0, 1, 16, dtype=np.float32)[:, None]
    blur = SceneBlur(travel, (64, 48))
    fine = [ndimage.zoom(f, (4, 4, 1), order=1, mode="nearest", grid_mode=True) for f in travel]
    y, x = np.mgrid[:48, :64]
    expected = np.mean(
        [
            ndimage.map_coordinates(picture[..., 0], [y - f[..., 1], x - f[..., 0]], order=1, mode="nearest")
            for f in fine
        ],
        axis=0,
    )
    inner = np.s_[6:-6, 6:-6]
    np.testing.assert_allclose(blur.applied(picture)[..., 0][inner], expected[inner], atol=2e-3)
    points = np.array([[20.0, 24.0], [40.0, 20.0]])
    moves = blur.moves(points, 4)
    assert moves.shape == (2, 5, 2)
    for i, (px, py) in enumerate(points.astype(int)):
        np.testing.assert_allclose(moves[i], [-f[py, px] for f in fine], atol=1e-2)


def test_views_of_a_still_scene_are_the_frames(clip: ShakenClip) -> None:
    luma = coded_luma(clip.wide[0])
    still = SceneMotion(np.zeros((12, 10, 16, 2), np.float32), -5, 1.0, np.zeros((10, 16), np.float32))
    for view in scene_views({-1: Planes(luma), 0: Planes(luma), 1: Planes(luma)}, still):
        np.testing.assert_allclose(view.luma, luma, atol=1e-6)
        assert view.cover.min() == 1
        assert not view.blur.moves(np.array([[3.0, 4.0]]), 64).any()
