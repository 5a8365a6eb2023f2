import av
import numpy as np
import pytest
from factories.clips import BT709, HLG, UNTAGGED, picture, planes, samples

from asled_cli.video.encode.yuv import LUMA_WEIGHTS, apply_change, rgb_to_yuv
from asled_cli.video.frames import ColorTags

FORMATS = [f"yuv{kind}p{depth}" for kind in (420, 422, 444) for depth in ("", "10le", "12le")] + [
    "yuvj420p",
    "yuv411p",
    "yuv440p",
    "yuva444p10le",
]
SIZES = [(32, 16), (33, 17), (2, 2), (5, 3)]
FULL = ColorTags(1, 1, 1, 2)


def random_change(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (size[1], size[0], 3)).astype(np.float32)


def oracle(frame: av.VideoFrame, change: np.ndarray, tags: ColorTags) -> list[np.ndarray]:
    """Exact code values before rounding, float64, plane by plane (Y, Cb, Cr)."""
    bits = max(c.bits for c in frame.format.components)
    red, blue = LUMA_WEIGHTS[tags.matrix]
    r, g, b = np.moveaxis(change.astype(np.float64), -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))]
    luma_scale = 2**bits - 1 if tags.range == 2 else 219 * 2 ** (bits - 8)
    chroma_scale = 2**bits - 1 if tags.range == 2 else 224 * 2 ** (bits - 8)
    deltas = [y * luma_scale] + [
        reduce(delta * chroma_scale, (plane.height, plane.width))
        for delta, plane in zip(chroma, frame.planes[1:3], strict=True)
    ]
    return [plane + delta for plane, delta in zip(planes(frame), deltas, strict=False)]


def reduce(full: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Left-sited chroma: means of rows; 1 2 1 around even columns, means where four share a sample."""
    rows, columns = -(-full.shape[0] // shape[0]), -(-full.shape[1] // shape[1])
    full = np.pad(full, ((0, shape[0] * rows - full.shape[0]), (0, 0)), mode="edge")
    full = full.reshape(shape[0], rows, -1).mean(1)
    if columns == 2:
        wide = np.pad(full, ((0, 0), (1, 1)), mode="edge")
        full = ((wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4)[:, ::2]
    elif columns > 2:
        full = np.pad(full, ((0, 0), (0, shape[1] * columns - full.shape[1])), mode="edge")
        full = full.reshape(shape[0], shape[1], columns).mean(2)
    return full


def assert_rounded(found: np.ndarray, exact: np.ndarray, bits: int) -> None:
    exact = exact.clip(0, 2**bits - 1)
    # Half a code for rounding once, and float32 next to a tie.
    assert np.abs(found.astype(np.float64) - exact).max() <= 0.5 + 2e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_change_equals_the_equations(pix_fmt: str, size: tuple[int, int]) -> None:
    source, change = picture(pix_fmt, size, 1), random_change(size)
    tags = FULL if pix_fmt.startswith("yuvj") else HLG if "10" in pix_fmt else BT709
    bits = max(c.bits for c in source.format.components)
    before = planes(source)
    out = apply_change(source, change, tags)
    assert out.format.name == pix_fmt
    for found, exact in zip(planes(out), oracle(source, change, tags), strict=False):
        assert_rounded(found, exact, bits)
    assert all(np.array_equal(a, b) for a, b in zip(before, planes(source), strict=True))
    if len(before) == 4:
        assert np.array_equal(planes(out)[3], before[3])  # alpha


@pytest.mark.parametrize(("packed", "planar"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le")])
@pytest.mark.parametrize("size", SIZES)
def test_interleaved_chroma_equals_planar(packed: str, planar: str, size: tuple[int, int]) -> None:
    source, change = picture(planar, size, 2), random_change(size)
    y, cb, cr = planes(source)
    shift = 6 if packed == "p010le" else 0
    twin = av.VideoFrame(*size, packed)
    samples(twin.planes[0], 8 + shift)[...] = y << shift
    rows = np.frombuffer(twin.planes[1], y.dtype).reshape(twin.planes[1].height, -1)
    rows[:, 0 : 2 * cb.shape[1] : 2], rows[:, 1 : 2 * cb.shape[1] : 2] = cb << shift, cr << shift
    expected = planes(apply_change(source, change, BT709))
    out = apply_change(twin, change, BT709)
    rows = np.frombuffer(out.planes[1], y.dtype).reshape(out.planes[1].height, -1)
    assert np.array_equal(samples(out.planes[0], 8 + shift) >> shift, expected[0])
    assert np.array_equal(rows[:, 0 : 2 * cb.shape[1] : 2] >> shift, expected[1])
    assert np.array_equal(rows[:, 1 : 2 * cb.shape[1] : 2] >> shift, expected[2])


@pytest.mark.parametrize("pix_fmt", [*FORMATS, "gbrp", "gbrp10le", "gray", "gray10le"])
def test_zero_change_is_bit_identical(pix_fmt: str) -> None:
    source = picture(pix_fmt, (33, 17), 3)
    assert apply_change(source, None, BT709) is source
    out = apply_change(source, np.zeros((17, 33, 3), np.float32), BT709)
    assert all(np.array_equal(a, b) for a, b in zip(planes(source), planes(out), strict=True))


def test_untouched_area_keeps_super_whites() -> None:
    source = picture("yuv420p", (32, 32), 4)
    samples(source.planes[0], 8)[...] = 254
    change = np.zeros((32, 32, 3), np.float32)
    change[:16] = 0.2
    out = planes(apply_change(source, change, BT709))
    assert (out[0][16:] == 254).all() and (out[0][:16] == 255).all()
    assert np.array_equal(out[1][8:], planes(source)[1][8:])


def test_gray_change_moves_luma_only() -> None:
    source = picture("yuv420p10le", (32, 16), 5, smooth=True)
    change = np.full((16, 32, 3), 0.1, np.float32)
    out, before = planes(apply_change(source, change, BT709)), planes(source)
    assert np.array_equal(out[0], before[0] + round(0.1 * 219 * 4))
    assert np.array_equal(out[1], before[1]) and np.array_equal(out[2], before[2])


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le", "gbrp16le", "gray", "gray10le"])
def test_rgb_and_gray_pictures(pix_fmt: str) -> None:
    source, change = picture(pix_fmt, (33, 17), 6), random_change((33, 17))
    bits = max(c.bits for c in source.format.components)
    out = planes(apply_change(source, change, FULL))
    if pix_fmt.startswith("gray"):
        deltas = [change @ np.array([0.2126, 0.7152, 0.0722])]
    else:
        deltas = [change[..., channel] for channel in (1, 2, 0)]
    for found, old, delta in zip(out, planes(source), deltas, strict=True):
        exact = (old + delta.astype(np.float64) * (2**bits - 1)).clip(0, 2**bits - 1)
        assert np.abs(found - exact).max() <= 0.51


@pytest.mark.parametrize(
    ("pix_fmt", "planar"), [("rgb24", "gbrp"), ("rgb48le", "gbrp16le"), ("yuyv422", "yuv422p")]
)
def test_packed_pictures_become_planar(pix_fmt: str, planar: str) -> None:
    source = av.VideoFrame(32, 16, pix_fmt)
    out = apply_change(source, np.zeros((16, 32, 3), np.float32), BT709)
    assert out.format.name == planar


def test_time_and_tags_are_kept() -> None:
    source = picture("yuv420p", (32, 16), 7)
    source.pts, source.colorspace, source.color_range, source.color_trc = 41, 9, 1, 18
    out = apply_change(source, random_change((32, 16)), HLG)
    assert (out.pts, out.colorspace, out.color_range, out.color_trc) == (41, 9, 1, 18)


def test_matrices_against_the_standard() -> None:
    white = np.ones(3)
    for tags in (BT709, HLG, ColorTags(6, 6, 6, 1)):
        assert rgb_to_yuv(tags, 8) @ white == pytest.approx([219, 0, 0], abs=1e-9)
        assert rgb_to_yuv(tags, 10) @ np.eye(3)[2] == pytest.approx(
            [LUMA_WEIGHTS[tags.matrix][1] * 876, 448, rgb_to_yuv(tags, 10)[2, 2]]
        )
    assert rgb_to_yuv(FULL, 8) @ white == pytest.approx([255, 0, 0], abs=1e-9)
    with pytest.raises(KeyError):
        rgb_to_yuv(UNTAGGED, 8)


def test_bad_changes_are_refused() -> None:
    source = picture("yuv420p", (32, 16), 8)
    with pytest.raises(ValueError, match="expected float32"):
        apply_change(source, np.zeros((16, 32, 3)), BT709)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(16, 32, 3\)"):
        apply_change(source, np.zeros((8, 32, 3), np.float32), BT709)
    with pytest.raises(ValueError, match="NaN"):
        apply_change(source, np.full((16, 32, 3), np.nan, np.float32), BT709)
