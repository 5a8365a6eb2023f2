"""Lenses out of focus: point spreads against SciPy, photos filmed through them against the formula."""

import numpy as np
import pytest
from factories.textures import psnr, texture
from scipy import ndimage

from asled_cli.imaging.light import bytes_to_linear, linear_to_srgb, to_bytes
from asled_cli.lab.camera.aperture import Aperture, Half, aperture_kernel, spread
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.focus import Focus, boost_highlights, far_out_of_focus, near_out_of_focus
from asled_cli.lab.camera.hand_shake import Shake
from asled_cli.lab.synthesis.shake_blur import Depth, ShakeConfig, shake_pair
from asled_cli.lab.synthesis.synthetic_pair import SyntheticPair

LIGHT = np.random.default_rng(0).random((33, 41, 3)).astype(np.float32)
PHOTO = texture(520, 420, seed=1, finest=2.0)


def disc_by_points(diameter: float, points: int = 400) -> np.ndarray:
    """The disc's share of each pixel, from a fine grid over the whole kernel."""
    reach = int(np.ceil(diameter / 2 - 0.5))
    line = np.linspace(-reach - 0.5, reach + 0.5, points * (2 * reach + 1), endpoint=False) + 0.5 / points
    inside = (line[:, None] ** 2 + line**2) <= diameter**2 / 4
    return inside.reshape(2 * reach + 1, points, 2 * reach + 1, points).mean((1, 3))


@pytest.mark.parametrize("circle", [-6.3, 2.4, 5.0, 12.7])
@pytest.mark.parametrize("aperture", ["disc", "gaussian"])
@pytest.mark.parametrize("half", ["whole", "left", "right"])
def test_spread_is_scipys_convolution(circle: float, aperture: Aperture, half: Half) -> None:
    kernel = aperture_kernel(circle, aperture, half)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    found = spread(LIGHT, circle, aperture, half)
    for c in range(3):
        expected = ndimage.convolve(LIGHT[..., c].astype(np.float64), kernel, mode="reflect")
        np.testing.assert_allclose(found[..., c], expected, atol=2e-5)


@pytest.mark.parametrize("diameter", [1.7, 4.0, 9.3])
def test_a_disc_covers_its_area(diameter: float) -> None:
    expected = disc_by_points(diameter)
    np.testing.assert_allclose(aperture_kernel(diameter), expected / expected.sum(), atol=3e-3)


def test_halves_add_up_and_move_with_the_sign() -> None:
    def shift(circle: float, half: Half) -> float:
        kernel = aperture_kernel(circle, "disc", half)
        return float((kernel.sum(0) * (np.arange(kernel.shape[1]) - kernel.shape[1] // 2)).sum())

    whole = [aperture_kernel(8, "disc", half) for half in ("left", "right")]
    np.testing.assert_allclose((whole[0] + whole[1]) / 2, aperture_kernel(8), atol=1e-6)
    assert shift(8, "left") == pytest.approx(-shift(8, "right")) and shift(8, "left") < -1
    assert shift(-8, "left") == pytest.approx(shift(8, "right"))
    assert shift(16, "left") == pytest.approx(2 * shift(8, "left"), rel=0.05)  # proportional to the circle


def test_no_circle_is_bit_equal() -> None:
    for aperture in ("disc", "gaussian"):
        assert spread(LIGHT, 0.0, aperture) is LIGHT  # type: ignore[arg-type]


def test_a_slope_has_the_circle_of_each_row() -> None:
    """A point of light in a row spreads as the nearness of that row says; the row in focus stays."""
    focus = Focus(circle_px=12.0, nearness=0.6, slope=0.6, levels=7)
    light = np.zeros((121, 61, 3), np.float32)
    light[20, 30] = 1.0  # a sixth of the slope: nearness 0.1, circle 6
    found = far_out_of_focus(light, focus, 1.0)
    kernel = aperture_kernel(6.0)
    reach = kernel.shape[0] // 2
    np.testing.assert_allclose(
        found[20, 30 - reach : 31 + reach, 0], kernel[reach], atol=1e-6, err_msg="the row itself"
    )
    light = np.zeros_like(light)
    light[120, 30] = 1.0
    assert np.array_equal(far_out_of_focus(light, focus, 1.0)[120], light[120])


def test_a_near_layer_spreads_past_its_edge() -> None:
    sheet = np.ones((11, 11, 4), np.float32)
    found = near_out_of_focus(sheet, 1.0, Focus(circle_px=6.0, nearness=0.0), 1.0, 7)
    assert found.shape == (25, 25, 4)
    assert found.sum() == pytest.approx(sheet.sum(), rel=1e-5)
    assert 0.1 < found[12, 5, 3] < 0.9  # two pixels outside of the edge


def test_highlights_shine_in_linear_light() -> None:
    """A clipped point out of focus becomes a disc that keeps its brightness; the truth stays as it was."""
    light = np.full((21, 21, 3), 0.1, np.float32)
    light[10, 10] = 1.0
    boosted = boost_highlights(light, 8.0)
    assert boosted[10, 10, 0] == pytest.approx(8.0) and boosted[0, 0, 0] == light[0, 0, 0]
    np.testing.assert_array_equal(np.clip(boosted, 0, 1), light)
    assert spread(boosted, 5.0)[10, 8, 0] > 2.5 * spread(light, 5.0)[10, 8, 0]


def filmed(**settings: object) -> SyntheticPair:
    given: dict[str, object] = {
        "seed": 3, "size": (128, 96), "frames": 2, "scale": 1.0, "shake": Shake(2.0), "exposure": 0.0,
        "ultra_exposure": 0.0, "rig": LensRig(ratio=1.0), "focus": Focus(circle_px=6.0),
    }  # fmt: skip
    return shake_pair(PHOTO, ShakeConfig(**{**given, **settings}))  # type: ignore[arg-type]


def test_a_wall_out_of_focus_is_one_convolution_of_the_truth() -> None:
    pair = filmed()
    light = bytes_to_linear(pair.truth[0])
    kernel = aperture_kernel(6.0)
    expected = np.stack([ndimage.convolve(light[..., c], kernel, mode="reflect") for c in range(3)], axis=-1)
    inner = np.s_[6:-6, 6:-6]
    assert psnr(pair.wide[0][inner], to_bytes(linear_to_srgb(expected))[inner]) > 45
    assert pair.kind == "defocus" and psnr(pair.wide[0], pair.truth[0]) < 35


def test_the_plane_in_focus_is_the_truth() -> None:
    pair = filmed(focus=Focus(circle_px=9.0, nearness=0.0))
    np.testing.assert_array_equal(pair.wide, pair.truth)


def test_the_ultra_lens_has_the_deeper_depth_of_field() -> None:
    """With equal fields of view both lenses show the same pixels, the ultra one through a smaller circle."""
    share = 0.5
    pair, same = filmed(focus=Focus(circle_px=8.0, ultra_share=share)), filmed(focus=Focus(circle_px=4.0))
    assert psnr(pair.ultra[0], same.wide[0]) > 40
    assert psnr(pair.ultra[0], pair.truth[0]) > psnr(pair.wide[0], pair.truth[0]) + 1


def test_the_map_is_the_circle_of_each_pixel() -> None:
    """Far pixels by their row of the photo, near ones by their layer; 255 is a Gaussian of 7 px."""
    focus = Focus(circle_px=14.0, nearness=1.0, slope=0.5)
    pair = filmed(depths=(Depth(extent=0.5, nearness=0.5),), focus=focus)
    assert pair.defocus is not None and pair.defocus.shape == pair.truth.shape[:3]
    near, far = pair.layer_masks[0, 0] == 255, pair.layer_masks[0, 0] == 0
    assert (pair.defocus[0][near] == round(255 * 14 * 0.5 / 4 / 7)).all()
    steps = np.diff(pair.defocus[0].astype(int), axis=0)[far[1:] & far[:-1]]
    assert steps.max() <= 0 and steps.min() < 0  # nearer, and so sharper, towards the lower border
    high = 255 * 14 / 4 / 7
    assert high / 2 < pair.defocus[0][far].min() < pair.defocus[0][far].max() < high
    assert filmed(focus=None).defocus is None


def test_only_the_layer_out_of_focus_is_blurred() -> None:
    near = Depth(extent=0.5)
    sharp_near = filmed(depths=(near,), focus=Focus(circle_px=8.0, nearness=1.0))
    sharp_far = filmed(depths=(near,), focus=Focus(circle_px=8.0, nearness=0.0))
    inside = ndimage.binary_erosion(sharp_near.layer_masks[0, 0] == 255, iterations=6)
    outside = ndimage.binary_erosion(sharp_near.layer_masks[0, 0] == 0, iterations=6)
    assert inside.sum() > 200 and outside.sum() > 200
    np.testing.assert_array_equal(sharp_near.truth, sharp_far.truth)
    for pair, kept, blurred in ((sharp_near, inside, outside), (sharp_far, outside, inside)):
        np.testing.assert_array_equal(pair.wide[0][kept], pair.truth[0][kept])
        assert np.abs(pair.wide[0][blurred].astype(int) - pair.truth[0][blurred]).mean() > 2
