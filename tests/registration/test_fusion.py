"""The averaged reference: gains where neighbours show the same, leaves alone what they do not."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asled_cli.guide import Guide
from asled_cli.job.method import network_restorer
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import FrameWindows, fuse_references, fuse_window
from asled_cli.restoration.base import FusingRestorer, restore
from asled_cli.video.frames import Frame, FramePair
from asled_cli.zoo import checkpoint as weights

HEIGHT, WIDTH = 64, 96
STEP = 4  # pixels to the right per frame: one cell of the guide, so that moved pictures are exact shifts
INSIDE = np.s_[12:-12, 16:-16]
Picture = NDArray[np.uint16]


def scene(seed: int, width: int = WIDTH + 64) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.2, 0.8, (HEIGHT // 4, width // 4, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 1).astype(np.float64)


def coded(picture: NDArray[np.float64]) -> Picture:
    return np.rint(picture.clip(0, 1) * 65535).astype(np.uint16)


def frame(i: int, reference: Picture | None, speed: float = 0.0) -> AlignedFrame:
    """A frame whose content moves `speed` guide cells to the right per frame."""
    cells = HEIGHT // 4, WIDTH // 4
    guide = np.zeros((*cells, 6), np.float16)
    guide[..., Guide.VALID] = reference is not None
    ahead = np.zeros((*cells, 2), np.float16)
    ahead[..., 0] = speed
    target = Frame(i, i, Fraction(i, 30), np.zeros((HEIGHT, WIDTH, 3), np.uint16), None)
    return AlignedFrame(FramePair(target, None), reference, guide, -ahead, ahead, 0 * ahead, False)


def panned(count: int, noise: float, seed: int = 1) -> tuple[list[AlignedFrame], list[NDArray[np.float64]]]:
    """A scene that moves STEP pixels per frame, under fresh noise in each; and the same without noise."""
    rng, wide = np.random.default_rng(seed), scene(seed)
    clean = [wide[:, 32 - STEP * i :][:, :WIDTH] for i in range(count)]
    noisy = [coded(view + rng.normal(0, noise, view.shape)) for view in clean]
    return [frame(i, view, speed=STEP / 4) for i, view in enumerate(noisy)], clean


def rms(picture: Picture | None, truth: NDArray[np.float64]) -> float:
    assert picture is not None
    return float(np.sqrt(np.mean(np.square(picture[INSIDE] / 65535 - truth[INSIDE]))))


def test_noise_of_a_moving_scene_falls_as_that_of_a_mean() -> None:
    frames, clean = panned(7, noise=0.01)
    fused = list(fuse_references(frames, 2))
    for i in (2, 3, 4):
        ratio = rms(fused[i].reference, clean[i]) / rms(frames[i].reference, clean[i])
        assert 1 / np.sqrt(5) - 0.02 < ratio < 0.55  # of five equal views at best 0.447
    ends = rms(fused[0].reference, clean[0]) / rms(frames[0].reference, clean[0])
    assert 1 / np.sqrt(3) - 0.02 < ends < 0.68  # of three


def test_result_is_the_weighted_mean_written_out() -> None:
    frames, _ = panned(3, noise=0.02, seed=3)
    views = [f.reference / 65535 for f in frames if f.reference is not None]
    # Neighbours warped onto the middle frame by exact shifts; cells are means of 4 x 4 pixels.
    moved = [np.roll(views[0], STEP, axis=1), np.roll(views[2], -STEP, axis=1)]

    def cells(view: NDArray[np.float64]) -> NDArray[np.float64]:
        return view.reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean(axis=(1, 3))

    differences = [np.abs(cells(view) - cells(views[1])).max(axis=-1) for view in moved]
    inner = [d[:, 2:-2] for d in differences]
    tolerance = np.clip(3 * min(np.median(d) for d in differences), 0.015, 0.03)
    weights = [np.exp(-((d / tolerance) ** 2)) for d in inner]
    grown = [cv2.resize(w, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)[..., None] for w in weights]
    own, shifted = views[1][:, 8:-8], [view[:, 8:-8] for view in moved]
    expected = own + sum(w * view for w, view in zip(grown, shifted, strict=True))
    expected /= 1 + sum(grown)
    found = list(fuse_references(frames, 1))[1].reference
    assert found is not None
    # Two cells from the border on, the borders of either computation no longer matter.
    difference = found[:, 16:-16] / 65535 - expected[:, 8:-8]
    assert np.abs(difference).max() < 2e-3


def test_neighbours_on_one_side_alone_count_half() -> None:
    """At the clip's ends, and where a frame has two on one side but one on the other."""
    frames = [frame(i, coded(np.full((HEIGHT, WIDTH, 3), 0.5 + 0.001 * i))) for i in range(5)]
    similarity = np.exp(-np.square(np.array([0.001, 0.002]) / 0.015))  # of the first and the second neighbour
    fused = list(fuse_references(frames, 2))

    def mean(own: int, around: dict[int, float]) -> float:
        weights = {j: share * similarity[abs(j - own) - 1] for j, share in around.items()} | {own: 1.0}
        return sum(w * (0.5 + 0.001 * j) for j, w in weights.items()) / sum(weights.values())

    expected = [
        mean(0, {1: 0.5, 2: 0.5}),
        mean(1, {0: 1.0, 2: 1.0, 3: 0.5}),
        mean(2, {0: 1.0, 1: 1.0, 3: 1.0, 4: 1.0}),
    ]
    for one, value in zip(fused[:3], expected, strict=True):
        assert one.reference is not None
        np.testing.assert_allclose(one.reference[INSIDE] / 65535, value, atol=2e-5)


def test_what_only_one_frame_shows_stays() -> None:
    frames, _ = panned(5, noise=0.003)
    middle = frames[2].reference
    assert middle is not None
    changed = middle.copy()
    changed[24:40, 40:56] = 60000
    frames[2] = replace(frames[2], reference=changed)
    fused = list(fuse_references(frames, 2))
    assert fused[2].reference is not None and fused[1].reference is not None
    inside = np.s_[28:36, 44:52]
    assert np.abs(fused[2].reference[inside].astype(int) - 60000).max() < 100
    # And the neighbours take nothing of it.
    assert np.abs(fused[1].reference[28:36, 40:48].astype(int) - 60000).min() > 3000


def test_nothing_crosses_a_cut_or_a_missing_reference() -> None:
    one, _ = panned(4, noise=0.01, seed=5)
    other, _ = panned(4, noise=0.01, seed=5)  # alike on purpose: only the marks keep them apart
    cut = [*one, *(replace(f, is_cut=i == 0) for i, f in enumerate(other))]
    apart = [*fuse_references(one, 2), *fuse_references(other, 2)]
    for a, b in zip(fuse_references(cut, 2), apart, strict=True):
        np.testing.assert_array_equal(a.reference, b.reference)
    gap = [*one, frame(4, None), *other]
    apart.insert(4, frame(4, None))
    for a, b in zip(fuse_references(gap, 2), apart, strict=True):
        assert (a.reference is None) == (b.reference is None)
        if a.reference is not None:
            np.testing.assert_array_equal(a.reference, b.reference)


def test_a_frame_without_a_reference_learns_the_blur_of_those_right_beside_it() -> None:
    """The larger one by place; nothing across a cut, nor from two frames away."""
    frames = [frame(i, None if i in (1, 3, 4, 5) else coded(scene(i, WIDTH))) for i in range(7)]
    rng = np.random.default_rng(2)
    blurs = rng.random((7, HEIGHT // 4, WIDTH // 4)).astype(np.float16)
    for one, blur in zip(frames, blurs, strict=True):
        one.guide[..., Guide.BLUR] = blur
    frames[2] = replace(frames[2], is_cut=True)
    around = [one.blur_around for one in fuse_references(frames, 2)]
    assert [blur is not None for blur in around] == [False, True, False, True, False, True, False]
    for i, beside in ((1, [0]), (3, [2]), (5, [6])):
        np.testing.assert_array_equal(around[i], blurs[beside].max(axis=0))
    frames[2] = replace(frames[2], is_cut=False)
    both = list(fuse_references(frames, 1))[1].blur_around
    np.testing.assert_array_equal(both, np.maximum(blurs[0], blurs[2]))


@pytest.mark.parametrize("reach", [0, 1, 2, 3])
def test_frames_come_in_order_and_know_only_their_neighbours(reach: int) -> None:
    frames, _ = panned(9, noise=0.01)
    windows, out = FrameWindows(reach), []
    for i, given in enumerate(frames):
        out += map(fuse_window, windows.push(given))
        assert len(out) == max(0, i + 1 - reach)
    out += map(fuse_window, windows.flush())
    assert [f.pair.target.index for f in out] == list(range(9))
    later = list(fuse_references(frames[4 - reach :], reach))[reach]
    np.testing.assert_array_equal(out[4].reference, later.reference)
    if reach == 0:
        for given, fused in zip(frames, out, strict=True):
            np.testing.assert_array_equal(fused.reference, given.reference)


def test_uncovered_places_keep_their_own() -> None:
    frames, _ = panned(3, noise=0.02)
    guide = frames[1].guide.copy()
    guide[:, :8, 5] = 0
    frames[1] = replace(frames[1], guide=guide)
    fused = list(fuse_references(frames, 1))[1].reference
    own = frames[1].reference
    assert fused is not None and own is not None
    np.testing.assert_array_equal(fused[:, :28], own[:, :28])
    assert np.any(fused[:, 40:] != own[:, 40:])


def test_odd_sizes() -> None:
    """Sizes that GUIDE_STRIDE does not divide are kept, and a static scene is unchanged."""
    picture = coded(scene(7)[:61, :90])
    guide = np.ones((16, 23, 6), np.float16)
    still = np.zeros((16, 23, 2), np.float16)
    target = Frame(0, 0, Fraction(0), picture, None)
    frames = [AlignedFrame(FramePair(target, None), picture, guide, still, still, still, False)] * 3
    for fused in fuse_references(frames, 1):
        np.testing.assert_allclose(fused.reference, picture, atol=1)  # type: ignore[arg-type]


def test_evaluation_gives_a_network_what_a_job_does(tmp_path: Path) -> None:
    """The restorer of `asled eval` averages the references; in a job a stage before the restorer does."""
    path = tmp_path / "tiny.safetensors"
    network = AsledFast(AsledFastConfig(fine_channels=4, coarse_channels=4, fusion_radius=0))
    weights.save(path, "asled-fast", network)
    frames, _ = panned(5, noise=0.02)
    for given in frames:
        given.guide[..., 3:5] = 0.5  # so much blur, and so much of the reference in an untrained result
    restorer = network_restorer(path, torch.device("cpu"), "fp32", (WIDTH, HEIGHT))
    assert isinstance(restorer, FusingRestorer) and restorer.restorer.network.info.reference_radius == 2
    found = [done for given in frames for done in restorer.push(given)] + restorer.flush()
    as_in_a_job = list(restore(fuse_references(frames, 2), restorer.restorer))
    frame_by_frame = list(restore(frames, restorer.restorer))
    assert [done.target.index for done in found] == list(range(5))
    for done, job, plain in zip(found, as_in_a_job, frame_by_frame, strict=True):
        assert done.change is not None and plain.change is not None
        np.testing.assert_array_equal(done.change, job.change)
        assert np.abs(done.change - plain.change).max() > 1e-3
