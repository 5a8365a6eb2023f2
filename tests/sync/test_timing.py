"""Clocks and order of two whole files, found by sound, by what moves or by pictures; and refusals."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.textures import texture
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import match_clips
from asled_cli.job.records import MatchedClips
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import SOUND_RATE, Lens, Sound, draw_hand_motion, film, write_film
from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.sync.audio import match_sound
from asled_cli.sync.camera_motion import MotionCurve
from asled_cli.sync.correlation import CurveMatch, Curves, match_changes, match_curves
from asled_cli.sync.subframe import SmallClip, solve_clock
from asled_cli.sync.timestamps import recording_gap_s, timecode_gap_s
from asled_cli.video.clock import Clock
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.frames import Clip, ColorTags

SIZE = (128, 72)
HOME = np.array([148, 78])  # of what moves in `tripod`
RIG = LensRig(ratio=1.9, rotation_deg=1.0, shift_px=(2.0, -1.0))


@dataclass(frozen=True)
class Take:
    """One file of a moment: when it starts in the scene's time, its frame times from there."""

    start_s: float
    rate: float = 30.0
    length_s: float = 4.0
    lost: tuple[int, ...] = ()

    @property
    def times_s(self) -> list[float]:
        count = round(self.length_s * self.rate)
        return [i / self.rate for i in range(count) if i not in self.lost]


def record(path: Path, take: Take, seed: int, *, ultra: bool, sound: Sound | None = None) -> Path:
    """Film a textured wall by hand."""
    wall = texture(420, 260, seed=seed, finest=2.0)
    hand = draw_hand_motion(seed, speed_px_s=45.0)
    lens = Lens(SIZE, (lambda _: RIG) if ultra else None, 0.004 if ultra else 0.02)
    frames = film(wall, hand, lens, [take.start_s + t for t in take.times_s], SIZE)
    return write_film(path, frames, take.times_s, sound)


def matched(folder: Path, wide: Take, ultra: Take, *, swap: bool = False) -> MatchedClips:
    one = record(folder / "wide.mp4", wide, 3, ultra=False)
    other = record(folder / "ultra.mp4", ultra, 3, ultra=True)
    return match_clips(DeblurConfig(other, one) if swap else DeblurConfig(one, other))


def test_a_shaking_hand_tells_the_offset_of_mute_clips(tmp_path: Path) -> None:
    found = matched(tmp_path, Take(1.0), Take(1.737, length_s=3.2))
    assert found.timing.found_by == "scene"
    assert float(found.timing.clock.offset_s) == pytest.approx(0.737, abs=1 / 60)
    assert not found.order.swapped


@pytest.mark.parametrize("ratio", [1.0, 3.2])
def test_views_of_any_ratio_are_matched_without_an_option(tmp_path: Path, ratio: float) -> None:
    """Two views of a stereo camera, or a zoomed wide clip: no ratio is named, no sound is there."""
    wall, hand = texture(620, 400, seed=5, finest=2.0), draw_hand_motion(5, speed_px_s=45.0)
    rig = LensRig(ratio=ratio, rotation_deg=0.1, shift_px=(3.0, 0.5))
    clips = []
    for name, start_s, lens in (
        ("wide", 1.0, Lens(SIZE, None, 0.02)),
        ("ultra", 1.3, Lens(SIZE, lambda _: rig, 0.004)),
    ):
        times = [i / 30 for i in range(90)]
        frames = film(wall, hand, lens, [start_s + t for t in times], SIZE)
        clips.append(write_film(tmp_path / f"{name}.mp4", frames, times, None))
    found = match_clips(DeblurConfig(*clips))
    assert float(found.timing.clock.offset_s) == pytest.approx(0.3, abs=1 / 60)
    assert not found.order.swapped and found.fov_source == "from the pictures"
    assert found.fov_ratio == pytest.approx(ratio, rel=0.06)


def test_other_frame_rates_and_lost_frames_do_no_harm(tmp_path: Path) -> None:
    found = matched(tmp_path, Take(1.0, rate=24, lost=(20, 21, 50)), Take(0.6, rate=30, lost=(9, 40, 77)))
    assert found.timing.found_by == "scene"
    assert float(found.timing.clock.offset_s) == pytest.approx(-0.4, abs=1 / 60)


def test_swapped_arguments_are_noticed_and_put_right(tmp_path: Path) -> None:
    found = matched(tmp_path, Take(1.0, length_s=3.0), Take(1.3, length_s=3.0), swap=True)
    assert found.order.swapped
    assert (found.wide.path.name, found.ultra.path.name) == ("wide.mp4", "ultra.mp4")
    assert float(found.timing.clock.offset_s) == pytest.approx(0.3, abs=1 / 60)
    assert any("the other way round" in note for note in found.notes)


def test_unrelated_clips_are_refused(tmp_path: Path) -> None:
    one = record(tmp_path / "a.mp4", Take(0.0, length_s=2.5), 5, ultra=False)
    other = record(tmp_path / "b.mp4", Take(0.0, length_s=2.5), 6, ultra=True)
    with pytest.raises(InputError, match="do not seem to show the same scene"):
        match_clips(DeblurConfig(one, other))


def tripod(path: Path, start_s: float, *, ultra: bool, seed: int = 0, frames: int = 75) -> Path:
    """A camera that stands still before a wall past which something wanders; 25 frames per second."""
    wall, ball = texture(320, 180, seed=9, finest=2.0), texture(24, 24, seed=8, finest=3.0)
    way = draw_hand_motion(seed + 20, speed_px_s=60.0)
    width, height = round(SIZE[0] / 1.25), round(SIZE[1] / 1.25)
    pictures = []
    for i in range(frames):
        x, y = np.clip(way.at(start_s + i / 25)[:2] + HOME, (100, 55), (196, 101)).round().astype(int)
        scene = wall.copy()
        scene[y : y + 24, x : x + 24] = ball
        seen = scene if ultra else scene[90 - height // 2 :][:height, 160 - width // 2 :][:, :width]
        pictures.append(cv2.resize(seen, SIZE, interpolation=cv2.INTER_AREA))
    return write_film(path, np.stack(pictures), [i / 25 for i in range(frames)])


def test_what_moves_before_a_still_camera_tells_the_offset(tmp_path: Path) -> None:
    wide = tripod(tmp_path / "wide.mp4", 1.0, ultra=False)
    found = match_clips(DeblurConfig(wide, tripod(tmp_path / "ultra.mp4", 1.52, ultra=True)))
    assert found.timing.found_by == "scene"
    assert float(found.timing.clock.offset_s) == pytest.approx(0.52, abs=1 / 50)


def test_one_place_at_two_times_is_refused(tmp_path: Path) -> None:
    wide = tripod(tmp_path / "wide.mp4", 0.0, ultra=False)
    other = tripod(tmp_path / "other.mp4", 0.0, ultra=True, seed=1)
    with pytest.raises(InputError, match="same place, but motion in the scene does not match"):
        match_clips(DeblurConfig(wide, other))


def test_changes_are_matched_as_by_brute_force() -> None:
    generator = np.random.default_rng(0)
    knots = generator.normal(0, 30, (90, 12))
    fine = np.arange(0, 8.9, 1 / 500)
    signal = np.stack([np.interp(fine, np.arange(90) / 10, column) for column in knots.T], axis=1)

    def sampled(start: float, rate: float, seconds: float) -> Curves:
        times = np.arange(0, seconds, 1 / rate)
        return Curves(times, signal[np.round((times + start) * 500).astype(int)])

    def accepted(first: Curves, second: Curves, near_s: float | None = None) -> CurveMatch | None:
        return match_changes(first, second, still_per_s=1.0, min_significance=3.0, near_s=near_s)

    one, other = sampled(0.5, 30, 6.0), sampled(2.137, 24, 5.5)
    found = accepted(one, other)
    assert found is not None and found.confidence >= 0.5 and found.moving
    assert found.offset_s == pytest.approx(1.637, abs=0.003)
    lags = np.arange(-3, 4, 0.1)
    rough = [_brute(one, other, lag) for lag in lags]
    assert lags[int(np.argmax(rough))] == pytest.approx(found.offset_s, abs=0.1)
    near = accepted(one, other, near_s=0.2)
    assert near is not None and abs(near.offset_s - 0.2) <= 0.06 and near.correlation < 0.5
    assert accepted(sampled(0, 30, 0.2), other) is None


def test_time_and_place_are_solved_together() -> None:
    """A hand that walks towards a wall while it shakes, seen by both lenses, the wide one blurred."""
    wall, hand = texture(420, 300, seed=11, finest=3.0).mean(axis=2), draw_hand_motion(11, speed_px_s=40.0)
    size, ratio, offset = (96, 54), 1.9, 0.4137

    def seen(time: float, scale: float) -> NDArray[np.float64]:
        x, y, _ = hand.at(time)
        zoom = scale * np.exp(-0.05 * time)
        matrix = np.array([[zoom, 0, 210 + x - zoom * 47.5], [0, zoom, 150 + y - zoom * 26.5]])
        soft = cv2.GaussianBlur(wall, (0, 0), 0.5 * zoom)
        return cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def clip(start: float, scale: float, blur_s: float) -> SmallClip:
        times = np.arange(45) / 30
        shares = np.linspace(-0.5, 0.5, 5) * blur_s
        pictures = [np.mean([seen(start + t + s, scale) for s in shares], axis=0) for t in times]
        return SmallClip(times, [np.rint(p).astype(np.uint8) for p in pictures])

    wide, ultra = clip(1.0, 1.5, 0.03), clip(1.0 + offset, 1.5 * ratio, 0.0)
    place = centre_crop(1.87, size, size)
    solved = solve_clock(wide, ultra, offset - 0.02, place)
    assert solved is not None
    assert solved[0] == pytest.approx(offset, abs=0.003)
    assert 1 / solved[1][0, 0] == pytest.approx(ratio, rel=0.004)
    assert solve_clock(wide, ultra, 2.0, place) is None


def _brute(one: Curves, other: Curves, lag: float) -> float:
    at = np.arange(max(0, lag), min(one.times[-1], other.times[-1] + lag), 1 / 25)
    a = np.stack([np.diff(np.interp(at, one.times, v)) for v in one.values.T]).ravel()
    b = np.stack([np.diff(np.interp(at - lag, other.times, v)) for v in other.values.T]).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def noise(seconds: float, seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return np.asarray(generator.normal(0, 0.1, int(seconds * SOUND_RATE)), np.float32)


@pytest.mark.parametrize("offset_s", [-2.37, 5.2])
def test_sound_under_noise_of_twice_its_power_is_enough(offset_s: float, tmp_path: Path) -> None:
    """Noise 5 dB above the sound in each file, AAC at 44.1 and 48 kHz."""
    level = np.float32(10 ** (5 / 20))
    moment = np.convolve(noise(14.0, 1), np.ones(6) / 6, "same").astype(np.float32) * np.float32(2.4)
    late = round(abs(offset_s) * SOUND_RATE)
    one, other = (moment, moment[late:]) if offset_s > 0 else (moment[late:], moment)
    parts = [part + level * noise(15.0, seed)[: len(part)] for seed, part in ((2, one), (3, other))]
    clips = []
    for name, part in zip("ab", parts, strict=True):
        still = np.full((4, 36, 64, 3), 90, np.uint8)
        clips.append(write_film(tmp_path / f"{name}.mp4", still, [0, 0.1, 0.2, 0.3], Sound(part)))
    found = match_sound(probe_clip(clips[0]), probe_clip(clips[1]))
    assert found is not None
    assert float(found.clock.offset_s) == pytest.approx(offset_s, abs=0.004)


def test_low_sounds_under_hiss_are_enough(tmp_path: Path) -> None:
    """A rumble below 400 Hz under white noise 5 dB louder: most hiss is at frequencies without sound."""
    rumble = np.convolve(noise(9.0, 5), np.ones(60) / 60, "same").astype(np.float32)
    level = np.float32(10 ** (5 / 20) * rumble.std() / 0.1)
    parts = [
        part + level * noise(9.0, seed)[: len(part)] for seed, part in ((6, rumble), (7, rumble[24_000:]))
    ]
    still = np.full((4, 36, 64, 3), 90, np.uint8)
    clips = [
        probe_clip(write_film(tmp_path / f"{i}.mp4", still, [0, 0.1, 0.2, 0.3], Sound(part)))
        for i, part in enumerate(parts)
    ]
    found = match_sound(*clips)
    assert found is not None
    assert float(found.clock.offset_s) == pytest.approx(0.5, abs=0.004)


@pytest.mark.slow
def test_a_drifting_clock_is_followed(tmp_path: Path) -> None:
    ppm = 90.0
    moment = np.convolve(noise(42.0, 4), np.ones(6) / 6, "same").astype(np.float32)
    at = np.arange(int(41 * SOUND_RATE)) * (1 + ppm * 1e-6)  # the reference's clock runs slow
    slow = np.interp(at, np.arange(len(moment)), moment).astype(np.float32)
    still = np.full((4, 36, 64, 3), 90, np.uint8)
    files = [
        write_film(tmp_path / f"{i}.mp4", still, [0, 0.1, 0.2, 0.3], Sound(s))
        for i, s in enumerate((moment, slow))
    ]
    found = match_sound(probe_clip(files[0]), probe_clip(files[1]))
    assert found is not None
    assert found.clock.drift_ppm == pytest.approx(ppm, abs=15)
    assert float(found.clock.to_target(Fraction(35))) == pytest.approx(35 * (1 + ppm * 1e-6), abs=0.001)


def curve(seed: int, start: float, stop: float, rate: float) -> MotionCurve:
    hand = draw_hand_motion(seed, 1.0)
    times = np.arange(start, stop, 1 / rate)
    poses = np.stack([hand.at(t) for t in times])
    return MotionCurve(times - start, np.hstack([np.diff(poses, axis=0), np.zeros((len(times) - 1, 1))]))


def test_curves_of_two_hands_are_not_believed_and_of_one_are() -> None:
    for seed in range(8):
        same = match_curves(curve(seed, 0, 9, 30), curve(seed, 2.5, 10, 60))
        assert same is not None and same.confidence >= 0.5
        assert same.offset_s == pytest.approx(2.5, abs=0.005)
        other = match_curves(curve(seed, 0, 9, 30), curve(seed + 100, 0, 9, 30))
        assert other is not None and other.confidence < 0.5


def test_a_clock_and_its_inverse_undo_each_other() -> None:
    clock = Clock(Fraction(7, 5), Fraction(1_000_150, 1_000_000))
    for time in (Fraction(0), Fraction(17, 3)):
        assert clock.to_reference(clock.to_target(time)) == time
        assert clock.inverse().to_target(clock.to_target(time)) == time


def test_dates_and_timecodes_are_read_or_ignored() -> None:
    clip = probe_stub()
    early = replace(clip, metadata={"creation_time": "2024-06-01T16:03:11Z", "timecode": "10:00:00:15"})
    late = replace(clip, metadata={"creation_time": "2024-06-01T16:03:13Z", "timecode": "10:00:01;00"})
    assert recording_gap_s(early, late) == 2
    assert timecode_gap_s(early, late) == Fraction(1, 2)
    odd = replace(clip, metadata={"creation_time": "yesterday", "timecode": "1:2"})
    assert recording_gap_s(early, odd) is None and timecode_gap_s(early, odd) is None
    tomorrow = replace(clip, metadata={"creation_time": "2024-06-02T16:03:11Z"})
    assert recording_gap_s(early, tomorrow) is None


def probe_stub() -> Clip:
    return Clip(
        path=Path("a.mp4"), stream_index=0, codec="h264", width=64, height=48, pix_fmt="yuv420p", bit_depth=8,
        color=ColorTags(), rotation=0, display_matrix=None, sample_aspect_ratio=Fraction(1),
        time_base=Fraction(1, 600), average_rate=Fraction(30), start_s=Fraction(0), duration_s=Fraction(1),
        frame_estimate=30,
    )  # fmt: skip
