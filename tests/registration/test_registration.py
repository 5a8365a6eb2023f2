"""Registration against synthetic clips whose geometry, exposure and colour are known."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.textures import psnr
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.guide import Guide
from asled_cli.imaging.homography import apply, pixel_grid
from asled_cli.lab.camera.degradation import SensorModel, ToneCurve
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.average_blur import AverageConfig, average_pair
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair
from asled_cli.lab.training_data.register import frame_pairs, register
from asled_cli.registration.analyse import analyse
from asled_cli.registration.blur.reblur import from_light, to_light
from asled_cli.registration.estimate.colours import _correlation
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import ReferenceRenderer, render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.video.frames import Frame, FramePair

SIZE = (192, 128)
RIG = LensRig(ratio=1.9, rotation_deg=0.3, shift_px=(3.0, -2.0))
LOOK = SensorModel(tone=ToneCurve(gain=(1.05, 0.95, 0.85), gamma=(0.9, 0.9, 0.9)))


def photo(seed: int, size: tuple[int, int] = (900, 640)) -> NDArray[np.uint8]:
    """A picture with structure at all scales, like a scene: blobs, edges and fine texture."""
    generator = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cell, gain in ((120, 0.5), (40, 0.35), (14, 0.25), (5, 0.18)):
        small = generator.random((size[1] // cell + 2, size[0] // cell + 2, 3), np.float32) - 0.5
        total += gain * cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        corner = generator.integers(0, (size[0], size[1]))
        other = corner + generator.integers(8, 120, 2)
        color = (generator.random(3) - 0.5) * 0.5
        total[corner[1] : other[1], corner[0] : other[0]] += color.astype(np.float32)
    return np.asarray(np.clip(total + 0.5, 0.03, 0.97) * 255, dtype=np.uint8)


def still_video(seed: int, frames: int = 24) -> NDArray[np.uint8]:
    return np.repeat(photo(seed)[None], frames, axis=0)


def with_intra_frame_shake(seed: int, **changes: object) -> SyntheticPair:
    given: dict[str, object] = {
        "size": SIZE, "frames": 9, "exposure": 0.8, "ultra_exposure": 0.1, "scale": 1.0,
        "shake": Shake(blur_px=8.0), "rig": RIG, "ultra_sensor": LOOK,
    }  # fmt: skip
    return shake_pair(photo(seed), ShakeConfig(seed=seed, **{**given, **changes}))  # type: ignore[arg-type]


def median_error_px(made: SyntheticPair, found: Registration) -> float:
    """Median distance over the frame between found and true geometry, in target pixels."""
    return float(np.median(distance_px(made, found)))


def worst_error_px(made: SyntheticPair, found: Registration) -> float:
    """The largest of those distances."""
    return float(distance_px(made, found).max())


def distance_px(made: SyntheticPair, found: Registration) -> NDArray[np.float32]:
    knot = found.middle
    x, y = pixel_grid(made.size)
    u, v = apply(knot.homography, x + knot.field[..., 0], y + knot.field[..., 1])
    true_u, true_v = apply(made.homography, x, y)
    return np.asarray(np.hypot(u - true_u, v - true_v) * RIG.ratio, np.float32)


def open_road(seed: int, frames: int) -> NDArray[np.uint8]:
    """(frames, H, W, 3): an empty sky, and below it a ground that comes nearer, as seen from a car."""
    picture = photo(seed).astype(np.float32)
    height, width = picture.shape[:2]
    x, y = pixel_grid((width, height))
    ground = np.clip((y / height - 0.5) * 40, 0, 1)[..., None]
    sky = np.array([150, 180, 220], np.float32) + 30 * y[..., None] / height
    picture = ground * picture + (1 - ground) * sky
    below = np.maximum(y - height / 2, 0)
    shown = []
    for t in range(frames):
        near = -0.012 * t
        source_x = x + (x - width / 2) * near * np.minimum(below / (height / 4), 1)
        shown.append(cv2.remap(picture, source_x, y + near * below, cv2.INTER_CUBIC))
    return np.clip(np.stack(shown), 0, 255).astype(np.uint8)


def swapped(frames: list[AlignedFrame]) -> NDArray[np.float32]:
    """(T, H, W, 3) 0..255: what `--method swap` gives."""
    result = []
    for frame in frames:
        assert frame.reference is not None
        target = frame.pair.target.rgb.astype(np.float32)
        result.append((target + swap_weight(frame)[..., None] * (frame.reference - target)) / 257)
    return np.stack(result)


def references(frames: list[AlignedFrame]) -> NDArray[np.float32]:
    return np.stack([f.reference for f in frames if f.reference is not None]).astype(np.float32) / 257


def rendered(pairs: list[FramePair], registration: Registration) -> list[AlignedFrame]:
    return list(render_references(pairs, registration))


@pytest.mark.slow
@pytest.mark.parametrize(("count", "pan"), [(3, (9.0, 2.0)), (7, (5.0, -2.0))])
def test_averaged_pans_are_found_and_swapped_as_with_true_geometry(
    count: int, pan: tuple[float, float]
) -> None:
    made = average_pair(
        still_video(count),
        AverageConfig(
            seed=count,
            size=SIZE,
            frames=12,
            count=count,
            pan_px=pan,
            rig=RIG,
            ultra_sensor=LOOK,
        ),
    )
    found, frames = register(frame_pairs(made), LensPrior())
    assert found.accepted
    assert median_error_px(made, found) < 0.1
    assert found.exposure.length == pytest.approx(count, abs=0.3)
    assert found.fov_ratio == pytest.approx(RIG.ratio, rel=2e-3)
    assert psnr(swapped(frames), made.truth) > psnr(made.true_reference, made.truth) - 0.5


@pytest.mark.slow
def test_hand_shake_is_found_and_swapped_as_with_true_geometry() -> None:
    made = with_intra_frame_shake(5)
    found, frames = register(frame_pairs(made), LensPrior())
    assert found.accepted
    assert median_error_px(made, found) < 0.1
    assert found.exposure.length == pytest.approx(0.8, rel=0.3)
    assert psnr(swapped(frames), made.truth) > psnr(made.true_reference, made.truth) - 0.5


@pytest.mark.parametrize("linear", [True, False])
def test_light_just_below_black_has_a_coded_value(linear: bool) -> None:
    """Means of exposures are differences of running sums, which round."""
    coded = from_light(np.array([[-1e-8, 0.0, 0.5]], np.float32), linear)
    assert np.isfinite(coded).all() and coded[0, 2] > coded[0, 0]
    assert from_light(to_light(coded, linear), linear) == pytest.approx(coded, abs=1e-6)


@pytest.mark.slow
def test_known_exposures_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runs: object) -> float:
        raise AssertionError("nothing is to be searched")

    monkeypatch.setattr("asled_cli.registration.analyse.find_reference_exposure", fail)
    monkeypatch.setattr("asled_cli.registration.analyse.choose_length", fail)
    made = with_intra_frame_shake(1)
    prior = LensPrior(exposures_s=(0.8 / 30, 0.1 / 30))
    found, _ = register(frame_pairs(made), prior)
    assert found.reference_exposure == pytest.approx(0.1) and found.target_exposure == pytest.approx(0.8)
    assert found.accepted and median_error_px(made, found) < 0.35


@pytest.mark.slow
def test_keystone_is_found_where_there_is_some() -> None:
    made = with_intra_frame_shake(5, rig=replace(RIG, perspective=(0.002, -0.001)))
    found, _ = register(frame_pairs(made), LensPrior())
    assert worst_error_px(made, found) < 0.1


@pytest.mark.slow
def test_keystone_is_not_made_up_above_an_empty_sky() -> None:
    made = average_pair(
        open_road(3, 14),
        AverageConfig(
            seed=3,
            size=SIZE,
            frames=12,
            count=3,
            pan_px=(10.0, 0.0),
            rig=RIG,
            ultra_sensor=LOOK,
        ),
    )
    found, _ = register(frame_pairs(made), LensPrior())
    assert median_error_px(made, found) < 0.1
    assert worst_error_px(made, found) < 0.2


def test_two_layers_are_not_below_the_far_layers_true_geometry() -> None:
    made = with_intra_frame_shake(6, depths=(Depth(extent=0.5, nearness=1.0),), baseline_px=(3.0, 2.0))
    found, frames = register(frame_pairs(made), LensPrior())
    far_only = np.stack(
        [
            cv2.warpPerspective(u, made.homography, made.size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
            for u in made.ultra_clean
        ]
    )
    assert psnr(swapped(frames), made.truth) > psnr(far_only, made.truth)
    # The parallax direction of the near layer is found. Warping along it aligns the reference to the truth.
    assert found.baseline is not None
    assert found.baseline_deg == pytest.approx(np.degrees(np.arctan2(2.0, 3.0)), abs=12)
    along = np.dot(found.baseline, (3.0, 2.0)) / np.hypot(3.0, 2.0)
    assert abs(along) > np.cos(np.radians(12))
    common = rendered(frame_pairs(made), replace(found, baseline=None))
    assert psnr(references(frames), made.truth) > psnr(references(common), made.truth) + 1.5
    assert psnr(swapped(frames), made.truth) > psnr(swapped(common), made.truth) + 0.3


@pytest.mark.slow
def test_a_sharp_target_is_left_alone() -> None:
    made = with_intra_frame_shake(7, exposure=0.0, ultra_exposure=0.0)
    _, frames = register(frame_pairs(made), LensPrior())
    assert psnr(swapped(frames), made.wide) > 45


@pytest.mark.slow
def test_unrelated_clips_are_rejected_and_give_no_reference() -> None:
    one, other = frame_pairs(with_intra_frame_shake(8)), frame_pairs(with_intra_frame_shake(9))
    mixed = [FramePair(a.target, b.reference) for a, b in zip(one, other, strict=True)]
    found, frames = register(mixed, LensPrior())
    assert not found.accepted
    assert all(frame.reference is None for frame in frames)


def test_an_offset_by_part_of_a_frame_is_made_up_for() -> None:
    made = with_intra_frame_shake(10)
    pairs = frame_pairs(made)
    lagging = [FramePair(p.target, p.reference, lag_s=0.25 / 30) for p in pairs]
    found, _ = register(lagging, LensPrior())
    assert found.exposure.shift == pytest.approx(0.25, abs=0.1)


def test_analysis_needs_two_neighbouring_pairs() -> None:
    target = Frame(0, 0, Fraction(0), np.zeros((64, 96, 3), np.uint16), None)
    with pytest.raises(InputError, match="Fewer than two frames"):
        analyse([[FramePair(target, None)], [FramePair(target, target)]], LensPrior())
    with pytest.raises(InputError, match="same moment"):
        analyse([[FramePair(target, None), FramePair(target, target)]], LensPrior())


def test_every_pair_comes_out_once_in_order_whatever_is_missing() -> None:
    made = with_intra_frame_shake(11)
    pairs = [p if i not in (3, 7) else FramePair(p.target, None) for i, p in enumerate(frame_pairs(made))]
    found = analyse([frame_pairs(made)], LensPrior())
    frames = rendered(pairs, found)
    assert [frame.pair.target.index for frame in frames] == list(range(len(pairs)))
    assert all(frame.guide.shape == (32, 48, 6) for frame in frames)
    assert all(
        frame.guide[..., Guide.CONFIDENCE].min() >= 0 and frame.guide[..., Guide.CONFIDENCE].max() <= 1
        for frame in frames
    )


@pytest.mark.slow
def test_flows_point_to_the_same_content_in_the_neighbours() -> None:
    made = average_pair(
        still_video(12), AverageConfig(seed=12, size=SIZE, frames=9, count=3, pan_px=(4.0, -2.0), rig=RIG)
    )
    _, frames = register(frame_pairs(made), LensPrior())
    inner = frames[4]
    before = np.median(inner.flow_previous.astype(np.float32), axis=(0, 1))
    after = np.median(inner.flow_next.astype(np.float32), axis=(0, 1))
    # The window pans by (4, -2) per frame, so content moves by (-4, 2) to the next: a quarter on the guide.
    assert np.abs(after) == pytest.approx([1.0, 0.5], abs=0.05)
    assert after == pytest.approx(-before, abs=0.05)
    assert not frames[0].flow_previous.any()
    assert not frames[-1].flow_next.any()


@pytest.mark.slow
def test_a_scene_cut_is_marked_and_stops_the_flow() -> None:
    one = with_intra_frame_shake(13)
    found = analyse([frame_pairs(one)], LensPrior())
    renderer = ReferenceRenderer(found)
    joined = frame_pairs(one)[:5] + frame_pairs(with_intra_frame_shake(14))[:5]
    frames: list[AlignedFrame] = []
    for i, pair in enumerate(joined):
        target = Frame(i, i, Fraction(i, 30), pair.target.rgb, None)
        frames += renderer.push(FramePair(target, pair.reference))
    frames += renderer.flush()
    assert [frame.is_cut for frame in frames] == [i == 5 for i in range(10)]
    assert not frames[4].flow_next.any()
    assert not frames[5].flow_previous.any()


@pytest.mark.slow
def test_the_reference_counts_as_much_at_the_ends_of_a_long_exposure_as_in_the_middle() -> None:
    # A pan that turns round after the last frame: nobody can guess the motion past the clip's ends.
    size = (900, 640)
    moves = [np.array([[1.0, 0, 30 * np.sin(t / 3)], [0, 1, 0]]) for t in range(40)]
    scene = photo(31, size)
    moving = np.stack([cv2.warpAffine(scene, m, size, borderMode=cv2.BORDER_REFLECT) for m in moves])
    made = average_pair(
        moving, AverageConfig(seed=31, size=SIZE, frames=13, count=9, pan_px=(0.0, 2.0), rig=RIG)
    )
    _, aligned = register(frame_pairs(made), LensPrior())
    inner = (slice(16, -16), slice(16, -16))
    weights = np.array([swap_weight(frame)[inner].mean() for frame in aligned])
    middle = weights[5:8].mean()
    assert middle > 0.8
    assert np.abs(weights - middle).max() < 0.1
    unexplained = np.array([np.abs(frame.guide[4:-4, 4:-4, :3]).mean(dtype=float) for frame in aligned])
    assert unexplained.max() < 1.5 * unexplained[5:8].mean()


def test_a_view_without_detail_correlates_with_nothing() -> None:
    rng = np.random.default_rng(0)
    detail, flat = rng.random(100, np.float32), np.full(100, 0.5, np.float32)
    with np.errstate(all="raise"):
        assert _correlation(detail, flat) == _correlation(flat, detail) == 0.0
        assert _correlation(detail, 2 * detail) == pytest.approx(1.0)
