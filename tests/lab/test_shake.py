"""Shaken photos: exact geometry, blur and occlusion, equal bytes for equal seeds."""

import cv2
import numpy as np
import pytest
from factories.textures import psnr, texture
from numpy.typing import NDArray

from asled_cli.errors import InputError, UsageError
from asled_cli.imaging.homography import pixel_grid
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.camera.layered_scene import OIS_REACH
from asled_cli.lab.synthesis.ground_truth_flow import front_layer, hidden, lens_flow, true_flow
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

SIZE = (128, 96)
PHOTO = texture(520, 420, seed=1, finest=2.0)
RIG = LensRig(ratio=1.9, rotation_deg=0.3, shift_px=(4.0, -2.5), perspective=(0.002, -0.001))


def small_pair(**settings: object) -> SyntheticPair:
    given: dict[str, object] = {
        "seed": 3,
        "size": SIZE,
        "frames": 4,
        "scale": 1.0,
        "shake": Shake(8.0),
        "rig": RIG,
    }
    return shake_pair(PHOTO, ShakeConfig(**{**given, **settings}))  # type: ignore[arg-type]


def sample(picture: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    x, y = pixel_grid((flow.shape[1], flow.shape[0]))
    return np.asarray(cv2.remap(picture, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC), np.uint8)


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    one, same, other = small_pair(), small_pair(), small_pair(seed=4)
    for field in ("wide", "ultra", "truth", "true_reference"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert (one.truth != other.truth).any()
    assert one.parameters == same.parameters


def test_no_exposure_gives_the_truth() -> None:
    pair = small_pair(exposure=0.0)
    np.testing.assert_array_equal(pair.wide, pair.truth)


def test_more_blur_is_farther_from_the_truth() -> None:
    scores = [psnr(p.wide, p.truth) for p in (small_pair(shake=Shake(b)) for b in (2.0, 8.0, 25.0))]
    assert scores[0] > scores[1] + 2 > scores[2] + 4


def test_the_homography_takes_wide_to_ultra() -> None:
    # With equal fields of view both lenses have equal detail, so the sampled ultra must be the truth.
    rig = LensRig(ratio=1.0, rotation_deg=0.4, shift_px=(3.3, -2.2), perspective=(0.003, 0.002))
    pair = small_pair(rig=rig, ultra_exposure=0.0)
    inner = np.s_[:, 8:-8, 8:-8]
    assert psnr(pair.true_reference[inner], pair.truth[inner]) > 35.0
    off = cv2.warpPerspective(
        pair.ultra[0], pair.homography, SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    assert psnr(off[8:-8, 8:-8], pair.truth[0, 8:-8, 8:-8]) > 35.0


def test_ultra_has_half_the_detail() -> None:
    pair = shake_pair(
        texture(520, 420, finest=0.7), ShakeConfig(seed=3, size=SIZE, frames=1, scale=1.0, ultra_exposure=0.0)
    )
    down = cv2.resize(pair.truth[0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    corner = SIZE[0] // 4, SIZE[1] // 4
    view = pair.ultra[0][corner[1] : corner[1] + down.shape[0], corner[0] : corner[0] + down.shape[1]]
    assert psnr(view, down) > 25.0
    fine = [float(np.abs(cv2.Laplacian(p[0], cv2.CV_64F)).mean()) for p in (pair.truth, pair.true_reference)]
    assert fine[1] < 0.8 * fine[0]


@pytest.mark.parametrize("readout", [0.0, 0.4])
def test_flow_takes_one_truth_to_the_next(readout: float) -> None:
    pair = small_pair(readout=readout, shake=Shake(20.0))
    flow = true_flow(pair, 1, 2)
    assert np.abs(flow).max() > 2.0
    seen = ~hidden(pair, 1, 2)
    there = sample(pair.truth[2], flow)
    assert psnr(there[seen], pair.truth[1][seen]) > 33.0
    assert psnr(pair.truth[2][seen], pair.truth[1][seen]) < 27.0


@pytest.mark.parametrize("readout", [0.0, 0.4])
def test_lens_flow_is_the_true_reference(readout: float) -> None:
    pair = small_pair(readout=readout, ultra_exposure=0.0)
    assert psnr(sample(pair.ultra_clean[1], lens_flow(pair, 1)), pair.true_reference[1]) > 45.0


def test_two_layers_move_apart_and_cover_each_other() -> None:
    near = Depth(texture(300, 300, seed=9) // 2, extent=0.6)
    pair = small_pair(depths=(near,), baseline_px=(6.0, 2.0), shake=Shake(8.0, travel_px=6.0))
    cover = front_layer(pair, 1) == 1
    assert 0.05 < cover.mean() < 0.6
    shift = lens_flow(pair, 1)[cover].mean(0) - _far_lens_flow(pair)[cover].mean(0)
    np.testing.assert_allclose(shift * RIG.ratio, (6.0, 2.0), atol=0.2)
    gone = hidden(pair, 0, 3)
    assert 0.0 < gone.mean() < 0.5
    seen = cv2.erode((~gone).astype(np.uint8), np.ones((5, 5))) > 0
    rim = cv2.morphologyEx(front_layer(pair, 0), cv2.MORPH_GRADIENT, np.ones((7, 7))) > 0
    kept = seen & ~rim
    assert psnr(sample(pair.truth[3], true_flow(pair, 0, 3))[kept], pair.truth[0][kept]) > 31.0


def _far_lens_flow(pair: SyntheticPair) -> NDArray[np.float32]:
    x, y = pixel_grid(pair.size)
    points = np.stack([x, y], -1).reshape(1, -1, 2).astype(np.float64)
    there = cv2.perspectiveTransform(points, pair.homography).reshape(*x.shape, 2)
    return (there - np.stack([x, y], -1)).astype(np.float32)


def test_a_floating_lens_sees_what_the_ultra_sees_elsewhere_in_each_frame() -> None:
    pair, still = (small_pair(shake=Shake(12.0), ois=share) for share in (0.6, 0.0))
    off = [np.median(lens_flow(pair, t) - _far_lens_flow(pair), axis=(0, 1)) for t in range(len(pair.truth))]
    assert np.ptp(off, axis=0).max() > 1.0
    assert np.abs(np.array(off) * RIG.ratio).max() < 1.2 * OIS_REACH * pair.size[0]
    # Blurred less than without; what the ultra lens sees along its true geometry is as near to the truth.
    assert psnr(pair.wide, pair.truth) > psnr(still.wide, still.truth) + 1
    nearness = [psnr(one.true_reference, one.truth) for one in (pair, still)]
    assert nearness[0] == pytest.approx(nearness[1], abs=1)
    np.testing.assert_array_equal(still.ultra_clean, pair.ultra_clean)
    one = true_flow(pair, 0, 1)
    assert psnr(sample(pair.truth[1], one)[12:-12, 12:-12], pair.truth[0][12:-12, 12:-12]) > 31.0


def test_eis_frames_stand_still_and_keep_their_blur() -> None:
    pair, still = (small_pair(frames=9, shake=Shake(12.0, roll_share=0.0), eis_window=s) for s in (6.0, 0.0))
    moves = [
        np.mean([np.abs(np.median(true_flow(one, t, t + 1), axis=(0, 1))).max() for t in range(8)])
        for one in (pair, still)
    ]
    assert moves[0] < 0.25 * moves[1]
    # Each frame is moved as a whole: as blurred as before, and the lenses see it as they did.
    assert psnr(pair.wide, pair.truth) == pytest.approx(psnr(still.wide, still.truth), abs=1)
    for t in (0, 4, 8):
        np.testing.assert_allclose(lens_flow(pair, t), _far_lens_flow(pair), atol=1e-3)
    one = true_flow(pair, 0, 8)
    assert psnr(sample(pair.truth[8], one)[12:-12, 12:-12], pair.truth[0][12:-12, 12:-12]) > 31.0


def test_nothing_is_black_at_the_rim() -> None:
    pair = small_pair(shake=Shake(40.0))
    for clip in (pair.wide, pair.ultra, pair.truth, pair.true_reference):
        rims = [clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1]]
        assert min(float(rim.mean()) for rim in rims) > 60.0


def test_useless_photos_and_questions_are_refused() -> None:
    with pytest.raises(InputError, match="too small for a 512x512 clip"):
        small_pair(size=(512, 512))
    pair = small_pair(frames=2)
    object.__setattr__(pair, "motion", None)
    with pytest.raises(UsageError, match="no exact flow"):
        true_flow(pair, 0, 1)
