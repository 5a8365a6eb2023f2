"""Clips of blended frames: the instants in them against another solver, and the stream of frames."""

import numpy as np
import pytest
import torch
from factories.panned_clip import make_panned_clip
from factories.shaken_clip import ShakenClip
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import linalg

from asled_cli.deconvolution.blended import blended_lens, sharp_frame
from asled_cli.deconvolution.blended.blended_lens import BLOCK, BlendedLensRestorer
from asled_cli.deconvolution.blended.instants import make_blend, nearest_frames
from asled_cli.deconvolution.blended.sharp_frame import travel
from asled_cli.deconvolution.blended.unblend import AROUND, first_flows, next_flows
from asled_cli.deconvolution.exposure import ExposureFit
from asled_cli.deconvolution.scene.evidence import coded_luma
from asled_cli.deconvolution.scene.soft_flow import REDUCTION, soft_picture
from asled_cli.deconvolution.single_lens import Deblurred, SingleLensConfig

COUNT, FRAMES, SIZE = 3, 4, (9, 7)  # of the small system
FLOW, STILL, SMOOTH = 0.15, 0.3, 1e-4


@pytest.fixture(scope="module")
def clip() -> ShakenClip:
    return make_panned_clip(count=5, size=(256, 160))


@pytest.fixture(scope="module")
def small_clip() -> ShakenClip:
    return make_panned_clip(count=3, frames=2 * BLOCK + 5, size=(128, 80), speeds=((2.0, 0.5), (-1.5, 1.0)))


def _restored(clip: ShakenClip, count: int, start: int = 0) -> list[Deblurred]:
    restorer = BlendedLensRestorer(count, SingleLensConfig(describe=True))
    numbers = range(start, len(clip.wide))
    found = [one for k in numbers for one in restorer.push(clip.wide[k], k)]
    return found + restorer.flush()


def _bilinear(flow: NDArray[np.float32]) -> sparse.csr_matrix:
    """Return the warp along a flow (h, w, 2) as a matrix, from SciPy's interpolation of unit pictures."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width]
    places = [np.clip(y + flow[..., 1], 0, height - 1), np.clip(x + flow[..., 0], 0, width - 1)]
    units = np.eye(height * width).reshape(-1, height, width)
    columns = [ndimage.map_coordinates(unit, places, order=1).ravel() for unit in units]
    return sparse.csr_matrix(np.stack(columns, 1))


def _differences(size: tuple[int, int]) -> sparse.csr_matrix:
    width, height = size
    across, down = (sparse.csr_matrix(np.diff(np.eye(n), axis=0)) for n in (width, height))
    return sparse.vstack([sparse.kron(sparse.eye(height), across), sparse.kron(down, sparse.eye(width))])


def test_instants_against_a_sparse_solver() -> None:
    rng = np.random.default_rng(0)
    instants, pixels = FRAMES + COUNT - 1, SIZE[0] * SIZE[1]
    frames = [rng.random(SIZE[::-1]).astype(np.float32) for _ in range(FRAMES)]
    frames[1] = frames[0] + np.float32(0.001)  # hardly moved
    flows = [rng.uniform(-1.5, 1.5, (*SIZE[::-1], 2)).astype(np.float32) for _ in range(instants - 1)]
    blend = make_blend(frames, flows)
    blend = blend.judged(nearest_frames(blend.frames, COUNT))
    assert 0 < blend.trust.min() < blend.trust.max() < 1 and blend.still.max() > 0
    found = blend.solved(nearest_frames(blend.frames, COUNT), 400)[:, 0].numpy()

    each = sparse.eye(pixels)
    means = sparse.kron(sparse.diags([1 / COUNT] * COUNT, range(COUNT), shape=(FRAMES, instants)), each)
    middle = sparse.kron(sparse.eye(FRAMES, instants, k=COUNT // 2), each)
    jumps = sparse.lil_matrix(((instants - 1) * pixels, instants * pixels))
    for j, flow in enumerate(flows):
        rows = slice(j * pixels, (j + 1) * pixels)
        jumps[rows, rows] = each
        jumps[rows, (j + 1) * pixels : (j + 2) * pixels] = -_bilinear(flow)
    trust, still = (sparse.diags(w.numpy().ravel()) for w in (blend.trust, blend.still))
    slopes = sparse.kron(sparse.eye(instants), _differences(SIZE))
    normal = means.T @ means + FLOW * jumps.T @ trust @ jumps + middle.T @ still @ middle
    normal = normal + SMOOTH * slopes.T @ slopes
    seen = np.concatenate([frame.ravel() for frame in frames])
    expected = linalg.spsolve(normal.tocsc(), means.T @ seen + middle.T @ (still @ seen))
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-4)


def test_equal_instants_do_not_jump() -> None:
    flows = [np.full((5, 6, 2), 1.5, np.float32)] * 6
    blend = make_blend([np.zeros((5, 6, 2), np.float32)] * 3, flows)
    jumps = blend.jumps(torch.ones(7, 2, 5, 6))
    np.testing.assert_allclose(jumps.numpy(), 0, atol=1e-6)


@pytest.mark.slow
def test_halves_that_move_unlike_each_other_are_both_deblurred(clip: ShakenClip) -> None:
    gains = clip.gains([one.change for one in _restored(clip, 5)])
    assert gains.mean() > 5.0
    assert gains.min() > 2.0


def test_a_frame_does_not_depend_on_where_the_stream_began(small_clip: ShakenClip) -> None:
    begins = 5
    whole, later = _restored(small_clip, 3), _restored(small_clip, 3, start=begins)
    first = -(-(begins + AROUND) // BLOCK) * BLOCK  # of the first block whose frames were all seen
    assert len(whole) == len(later) + begins and first < len(whole)
    for one, other in zip(whole[first:], later[first - begins :], strict=True):
        assert one.change is not None and other.change is not None
        np.testing.assert_array_equal(one.change, other.change)
        assert one.reference is not None and other.reference is not None
        np.testing.assert_array_equal(one.reference.guide, other.reference.guide)
    gains = small_clip.gains([one.change for one in whole])
    assert gains.mean() > 2.0 and gains.min() > 0


def test_a_cut_separates_and_few_frames_stay(small_clip: ShakenClip) -> None:
    other = make_panned_clip(seed=7, frames=2, size=(128, 80))
    restorer = BlendedLensRestorer(3, SingleLensConfig(describe=True))
    frames = [*small_clip.wide[:4], *other.wide]
    found = [one for k, frame in enumerate(frames) for one in restorer.push(frame, k, wanted=k != 1)]
    assert [one.change is not None for one in found] == [True, False, True, True]
    found += restorer.flush()
    assert [one.change is not None for one in found[4:]] == [False, False]  # two frames do not tell
    follows = [one.reference is not None and one.reference.follows for one in found]
    assert follows == [False, True, True, True, False, False]


def test_what_stands_still_stays(small_clip: ShakenClip) -> None:
    rng = np.random.default_rng(2)
    still = np.clip(small_clip.truth[0] + rng.normal(0, 100, (6, *small_clip.truth[0].shape)), 0, 65535)
    for one in _restored(ShakenClip(still.astype(np.uint16), still.astype(np.uint16), small_clip.maps), 5):
        assert one.change is not None and np.abs(one.change).max() < 1e-6


def test_detail_of_large_frames_comes_from_reduced_ones(
    small_clip: ShakenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharp_frame, "_LONG_SIDE", 120)
    some = ShakenClip(small_clip.wide[:7], small_clip.truth[:7], small_clip.maps)
    assert blended_lens.memory_bytes(1000, 500) < blended_lens.BYTES_PER_PIXEL * 500_000
    found = _restored(some, 3)
    gains = some.gains([one.change for one in found])
    assert gains.mean() > 1.0 and gains.min() > -0.05


def test_ways_along_a_steady_flow() -> None:
    flow = np.broadcast_to(np.array([1.5, -0.5], np.float32), (12, 16, 2))
    ways = travel([np.ascontiguousarray(flow)] * 4)
    for k, way in enumerate(ways):
        np.testing.assert_allclose(way, (k - 2) * flow, atol=1e-5)


def test_flows_are_those_of_the_scene() -> None:
    """From blended frames roughly, from sharp ones well; the speeds are those of the maker."""
    clip = make_panned_clip(count=5)
    soft = [soft_picture(coded_luma(frame)) for frame in clip.wide]
    first = first_flows(soft, 5)
    assert len(first) == len(clip.wide) + 3
    sharp = np.stack([coded_luma(frame) for frame in clip.truth[5:7]])
    (fine,) = next_flows(sharp, first[7:8])
    wave = 1 + 0.6 * (np.sin(6) - np.sin(5))
    for flow, scale, off in ((first[7], REDUCTION, 1.5), (fine, 1, 0.3)):
        rows = flow.shape[0]
        for row, speed in ((rows // 4, (4.0, 0.5)), (3 * rows // 4, (-2.5, 2.0))):
            middle = scale * flow[row, flow.shape[1] // 3 : -flow.shape[1] // 3].mean(0)
            np.testing.assert_allclose(middle, np.array(speed) * wave, atol=off)


def test_blended_frames_are_told_by_their_exposure() -> None:
    assert ExposureFit(5.0, 0.5, "scene").blended == 5
    for other in (ExposureFit(5.0, 0.5), ExposureFit(0.8, 0.5, "scene"), ExposureFit(2.0, 0.5, "scene")):
        assert other.blended == 0
