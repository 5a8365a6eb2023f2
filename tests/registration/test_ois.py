"""OIS: the wide lens is shifted against hand shake, so the two views move against each other."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.imaging.homography import apply, pixel_grid
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import Event
from asled_cli.job.resume.serialization import load_record, save_record
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import HandMotion, Lens, film, write_film
from asled_cli.pipeline import run_deblur
from asled_cli.progress import Progress
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.ois_path import OisPath
from asled_cli.registration.model.registration import Registration
from asled_cli.registration.render import render_references
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.stabilisation.ois_tracking import follow_clip
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.frames import Frame, FramePair

SIZE, RATIO, RATE = (192, 108), 1.6, 30
EXPOSURE_S = 0.8 / RATE
INNER = slice(3, -3)  # motion past the ends of a clip is unknown
Pictures = NDArray[np.uint8]


def waves(amplitudes: list[float], frequencies: list[float], seed: int) -> HandMotion:
    """Sines of shift x and y; no roll."""
    amplitude = np.array([[a, 0.8 * a, 0] for a in amplitudes])
    frequency = np.array([[f, 1.1 * f, 1] for f in frequencies])
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, amplitude.shape)
    return HandMotion(amplitude, frequency, phase)


HAND = waves([14.0, 12.0, 6.0], [1.7, 3.1, 5.0], seed=1)  # motion left in the wide view
LENS = waves([3.0, 2.0, 1.0], [1.3, 2.7, 4.3], seed=2)  # the OIS shift


def ois_rig(time_s: float) -> LensRig:
    x, y, _ = LENS.at(time_s)
    return LensRig(RATIO, 0.4, (2 + x, y - 1))


def fixed_rig(time_s: float) -> LensRig:
    return LensRig(RATIO, 0.4, (2.0, -1.0))


def views(times: list[float], rig=ois_rig) -> tuple[Pictures, Pictures, Pictures]:  # type: ignore[no-untyped-def]
    """Wide, ultra and truth."""
    wall = texture(640, 420, seed=6)
    lenses = Lens(SIZE, None, EXPOSURE_S), Lens(SIZE, rig, 0.05 * EXPOSURE_S), Lens(SIZE)
    wide, ultra, truth = (film(wall, HAND, lens, times, SIZE) for lens in lenses)
    return wide, ultra, truth


def pairs_of(wide: Pictures, ultra: Pictures, first: int = 0) -> list[FramePair]:
    stamps = [Fraction(first + i, RATE) for i in range(len(wide))]
    return [
        FramePair(Frame(i, i, stamp, to_16_bit(a), None), Frame(i, i, stamp, to_16_bit(b), None))
        for i, (stamp, a, b) in enumerate(zip(stamps, wide, ultra, strict=True))
    ]


@pytest.fixture(scope="module")
def clip() -> tuple[list[FramePair], Pictures]:
    """Two and a half stretches of frames, and the truth."""
    wide, ultra, truth = views([i / RATE for i in range(60)])
    return pairs_of(wide, ultra), truth


@pytest.fixture(scope="module")
def found(clip: tuple[list[FramePair], Pictures]) -> Registration:
    """What the analysis finds in some runs of the clip."""
    return analyse([clip[0][:16], clip[0][40:56]], LensPrior())


@pytest.fixture(scope="module")
def followed(clip: tuple[list[FramePair], Pictures], found: Registration) -> Registration:
    return follow_clip(clip[0], found)


def misplaced(found: Registration, pairs: list[FramePair]) -> NDArray[np.float64]:
    """(N,): by how far the geometry is off the true one, wide pixels, median over each frame."""
    x, y = pixel_grid(SIZE)
    off = []
    for pair in pairs:
        time = float(pair.target.time)
        knot = found.at(time)
        u, v = apply(knot.homography, x + knot.field[..., 0], y + knot.field[..., 1])
        true_u, true_v = apply(Lens(SIZE, ois_rig).from_wide(time, SIZE), x, y)
        off.append(float(np.median(np.hypot(u - true_u, v - true_v))) * RATIO)
    return np.array(off)


def test_the_synthetic_shift_is_realistic() -> None:
    shifts = np.array([ois_rig(i / RATE).shift_px for i in range(60)])
    assert 2 < np.sqrt(shifts.var(axis=0).sum()) < 5  # 1 to 3 % of the picture
    assert np.abs(np.diff(shifts, axis=0)).max() > 1  # from frame to frame


def test_ois_is_detected_from_a_run(found: Registration, clip: tuple[list[FramePair], Pictures]) -> None:
    assert found.accepted and found.correlation > 0.95
    assert found.ois_path is not None and found.ois_rms_px == pytest.approx(3.3, abs=0.7)
    assert found.exposure.length == pytest.approx(EXPOSURE_S * RATE, rel=0.35)
    assert np.median(misplaced(found, clip[0][:16][INNER])) < 0.1


def test_static_views_have_no_ois_path() -> None:
    wide, ultra, _ = views([i / RATE for i in range(12)], fixed_rig)
    assert analyse([pairs_of(wide, ultra)], LensPrior()).ois_path is None


def test_the_shift_of_every_frame_is_measured(
    followed: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    pairs, _ = clip
    assert followed.ois_path is not None
    # At the middle of each exposure, in order, stretch by stretch.
    late_s = followed.ois_path.exposure.shift / RATE
    np.testing.assert_allclose(followed.ois_path.times_s, [float(p.target.time) + late_s for p in pairs])
    off = misplaced(followed, pairs)
    assert np.median(off) < 0.06 and off[INNER].max() < 0.25


@pytest.mark.slow
def test_threads_give_the_same_path(
    followed: Registration, found: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    progress: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        shared = follow_clip(clip[0], found, pool.map, progress.append)
    assert shared.ois_path is not None and followed.ois_path is not None
    np.testing.assert_array_equal(shared.ois_path.shifts, followed.ois_path.shifts)
    assert progress == sorted(progress) and progress[-1] == len(clip[0])


def test_the_path_is_interpolated_over_frames_without_a_reference(
    followed: Registration, found: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    pairs = [replace(p, reference=None) if i in (9, 30, 31) else p for i, p in enumerate(clip[0])]
    ois_path = follow_clip(pairs, found).ois_path
    assert ois_path is not None and followed.ois_path is not None and len(ois_path.times_s) == len(pairs) - 3
    np.testing.assert_allclose(ois_path.at(9 / RATE), followed.ois_path.at(9 / RATE), atol=0.8)


@pytest.mark.slow
def test_the_path_is_interpolated_over_frames_without_detail(
    followed: Registration, found: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    pairs = list(clip[0])
    dark, other = np.zeros_like(pairs[0].target.rgb), to_16_bit(texture(*SIZE, seed=77))
    for i, picture in ((20, dark), (21, dark), (45, other)):
        pairs[i] = replace(pairs[i], target=replace(pairs[i].target, rgb=picture))
    ois_path = follow_clip(pairs, found).ois_path
    assert ois_path is not None and followed.ois_path is not None and len(ois_path.times_s) == len(pairs) - 3
    for i, time in enumerate(followed.ois_path.times_s):
        near = 2.0 if i in (20, 21, 45) else 0.2
        np.testing.assert_allclose(ois_path.at(time), followed.ois_path.at(time), atol=near)
    empty = [replace(p, target=replace(p.target, rgb=dark)) for p in pairs]
    assert follow_clip(empty, found) is found


def test_a_clip_without_ois_is_not_followed(found: Registration) -> None:
    still = replace(found, ois_path=None)
    assert follow_clip(iter(()), still) is still


def psnr(pictures: NDArray[np.float64], truth: Pictures) -> float:
    return float(10 * np.log10(255**2 / np.mean((pictures - truth) ** 2)))


def references(frames: list[AlignedFrame]) -> NDArray[np.float64]:
    assert all(frame.reference is not None for frame in frames)
    return np.stack([frame.reference / 257.0 for frame in frames if frame.reference is not None])


def test_references_are_aligned_to_the_truth(
    followed: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    pairs, truth = clip[0][:20], clip[1][:20]
    wide = np.stack([pair.target.rgb for pair in pairs]) / 257.0
    with_path = references(list(render_references(pairs, followed)))
    without_path = references(list(render_references(pairs, replace(followed, ois_path=None))))
    assert psnr(without_path[INNER], truth[INNER]) < psnr(wide[INNER], truth[INNER])  # worse than the input
    assert psnr(with_path[INNER], truth[INNER]) > psnr(wide[INNER], truth[INNER]) + 5


def test_flow_is_of_the_target_and_travel_of_the_reference(
    followed: Registration, clip: tuple[list[FramePair], Pictures]
) -> None:
    pairs = clip[0][:20]
    opened = replace(followed, reference_exposure=0.5)
    for k, frame in list(enumerate(render_references(pairs, opened)))[INNER]:
        middle = (slice(10, -10), slice(10, -10))
        seen = np.median(frame.flow_next[middle].astype(float).reshape(-1, 2), axis=0) * GUIDE_STRIDE
        way = -np.subtract(HAND.at((k + 1) / RATE)[:2], HAND.at(k / RATE)[:2])
        np.testing.assert_allclose(seen, way, atol=0.5)
        blurred = np.median(frame.travel[middle].astype(float).reshape(-1, 2), axis=0) * GUIDE_STRIDE
        first, last = ((k - 0.25) / RATE, (k + 0.25) / RATE)
        # What stands at a wide pixel is seen by the ultra lens where its rig says.
        moves = np.subtract(ois_rig(last).shift_px, ois_rig(first).shift_px)
        way = moves - np.subtract(HAND.at(last)[:2], HAND.at(first)[:2])
        np.testing.assert_allclose(blurred, way, atol=0.5)


def test_the_path_survives_saving(followed: Registration, tmp_path: Path) -> None:
    save_record(tmp_path / "found.safetensors", followed)
    again = load_record(tmp_path / "found.safetensors", Registration)
    for time in (-1.0, 0.31, 0.72, 9.0):
        assert again.shift_at(time) == followed.shift_at(time)
        np.testing.assert_array_equal(again.at(time).homography, followed.at(time).homography)


def test_resizing_scales_the_path(followed: Registration) -> None:
    large = followed.resized((3 * SIZE[0], 3 * SIZE[1]), (2 * SIZE[0], 2 * SIZE[1]))
    for time in (0.1, 0.5):
        np.testing.assert_allclose(large.shift_at(time), 3 * np.array(followed.shift_at(time)))
        one, other = (r.at(time).homography @ [s * 50.0 + (s - 1) / 2, s * 40.0 + (s - 1) / 2, 1]
                      for r, s in ((followed, 1), (large, 3)))  # fmt: skip
        np.testing.assert_allclose(2 * one[:2] / one[2] + 0.5, other[:2] / other[2], atol=1e-6)


def test_the_path_is_a_cubic_between_frames() -> None:
    rng = np.random.default_rng(2)
    times, shifts = np.arange(9) / RATE, rng.normal(0, 4, (9, 2))
    ois_path = OisPath(times, shifts, MotionBlur(0.5))
    for time, shift in zip(times, shifts, strict=True):
        np.testing.assert_allclose(ois_path.at(time), shift)
    slopes = np.gradient(shifts, times, axis=0)
    curve = CubicHermiteSpline(times[1:-1], shifts[1:-1], slopes[1:-1])
    for time in rng.uniform(times[1], times[-2], 20):
        np.testing.assert_allclose(ois_path.at(time), curve(time), atol=1e-9)
    assert ois_path.at(-5.0) == tuple(shifts[0]) and ois_path.at(5.0) == tuple(shifts[-1])


def test_a_gap_is_interpolated_linearly() -> None:
    times = np.array([0, 1, 2, 12, 13, 14]) / RATE
    shifts = np.array([[0.0, 5], [9, 5], [0, 0], [10, 20], [0, 20], [7, 0]])
    ois_path = OisPath(times, shifts, MotionBlur(0.5))
    np.testing.assert_allclose(ois_path.at(7 / RATE), (5, 10))
    np.testing.assert_allclose(ois_path.at(4.5 / RATE), (2.5, 5))


@pytest.mark.slow
def test_a_clip_with_ois_is_deblurred(tmp_path: Path) -> None:
    times = [i / RATE for i in range(75)]  # longer than one stretch
    files = {}
    for name, frames in zip(("wide", "ultra", "truth"), views(times), strict=True):
        files[name] = write_film(tmp_path / f"{name}.mp4", frames, times)
    events: list[Event] = []
    config = DeblurConfig(
        files["wide"], files["ultra"], out=tmp_path / "out.mp4", method="swap", offset_s=0.0,
        lens_order="given", skip_sharp=False, truth=files["truth"],
        encode=EncodeConfig(crf=10, preset="ultrafast"),
    )  # fmt: skip
    result = run_deblur(config, events.append)
    assert result.psnr_input_db is not None and result.psnr_result_db is not None
    assert result.psnr_result_db > result.psnr_input_db + 3
    assert isinstance(moved := result.registration["ois_rms_px"], float) and moved > 2
    steps = [e for e in events if isinstance(e, Progress) and e.step == "follow"]
    assert steps[-1].done == len(times)
