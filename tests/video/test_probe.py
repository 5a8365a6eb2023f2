"""`asled probe` and the plan behind it: what it reports for blurred and for sharp pairs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.small_pair import Pair, make_pair
from factories.textures import texture

from asled_cli.cli.app import main
from asled_cli.job.blur.plan import FADE_S, BlurPlan
from asled_cli.job.blur.stretches import plan_segments
from asled_cli.job.show.probe_rows import pair_rows, registration_text
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import Lens, draw_hand_motion, film, write_film
from asled_cli.registration.estimate.sharpness import Comparison, Sharpness
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES
from asled_cli.restoration.sharp_regions import BLOCK, limit_colour_shift, sharp_blocks

SIZE, ULTRA = (192, 108), (384, 216)
TIMES = [i / 30 for i in range(14)]


def record(folder: Path, exposures: tuple[float, float]) -> list[str]:
    """A wide and an ultra clip of equal detail with these exposure times, seconds."""
    wall = texture(560, 340, seed=2, finest=1.5)
    hand = draw_hand_motion(2, speed_px_s=200.0)
    lenses = (Lens(SIZE, None, exposures[0]), Lens(ULTRA, lambda _: LensRig(ratio=2.0), exposures[1]))
    names = []
    for name, lens in zip(("wide.mp4", "ultra.mp4"), lenses, strict=True):
        frames = film(wall, hand, lens, TIMES, SIZE)
        names.append(str(write_film(folder / name, frames, TIMES)))
    return names


def probed(names: list[str], capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["probe", *names, "--offset", "0", "--json", *arguments]) == 0
    report: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return report


def test_a_blurred_wide_clip_is_to_be_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = probed(record(tmp_path, (0.03, 0.003)), capsys)
    assert {s["action"] for s in report["plan"]} == {"deblur"}  # type: ignore[attr-defined]
    assert report["registration"]["fov_ratio"] == pytest.approx(2.0, rel=0.01)  # type: ignore[index]
    assert report["wide"]["frames"] == 14  # type: ignore[index]


def test_a_sharp_wide_clip_passes_through_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = record(tmp_path, (0.0, 0.0))
    report = probed(names, capsys)
    assert {s["action"] for s in report["plan"]} == {"pass"}  # type: ignore[attr-defined]
    out = tmp_path / "out.mkv"
    arguments = ["deblur", *names, "-o", str(out), "--offset", "0", "--method", "swap", "--codec", "ffv1"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["frames_changed"], result["frames_unchanged"]) == (0, 14)


@pytest.mark.slow
def test_one_clip_alone_and_previews(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair: Pair = make_pair(tmp_path)
    assert main(["probe", str(pair.wide), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == "128x96"
    for name in ("preview.png", "preview.mp4"):
        assert main(["probe", str(pair.wide), str(pair.ultra), "--preview", str(tmp_path / name), "-q"]) == 0
    picture = cv2.imread(str(tmp_path / "preview.png"))
    assert picture is not None and picture.shape == (96, 128, 3)
    assert (tmp_path / "preview.mp4").stat().st_size > 1000
    said = capsys.readouterr().out
    for text in (
        "128x96",
        "time offset",
        "both start together",
        "correlation",
        "deblur",
        "edge width of wide",
    ):
        assert text in said
    assert main(["probe", str(pair.wide), str(pair.ultra), "--preview", str(tmp_path / "preview.txt")]) == 2
    assert main(["probe", str(pair.wide), "--preview", str(tmp_path / "other.png")]) == 2
    assert main(["probe", str(pair.wide), str(pair.ultra), "--offset", "9"]) == 3
    errors = capsys.readouterr().err
    assert "only one clip is named" in errors and "share no time" in errors


def test_the_report_names_ois_eis_rolling_shutter_and_parallax() -> None:
    found = {
        "fov_ratio": 2.0, "shift_px": (1.0, 2.0), "residual": 0.01, "correlation": 0.9,
        "exposure_frames": 0.8, "ultra_exposure_frames": 0.0, "rolling_shutter_frames": 0.0,
        "ois_rms_px": None, "parallax_deg": None, "accepted": True, "maps": 1,
    }  # fmt: skip
    report = {
        "registration": found, "clock_drift_ppm": 0.0, "swapped": False, "order_source": "as named",
        "offset_s": 0.0, "offset_source": "given", "offset_confidence": 1.0, "fov_ratio_prior": 2.0,
        "fov_ratio_source": "given", "sharpness": [],
    }  # fmt: skip
    assert {"OIS", "rolling shutter"}.isdisjoint(dict(pair_rows(report)))
    rows = dict(
        pair_rows(report | {"registration": found | {"rolling_shutter_frames": 0.15, "ois_rms_px": 7.5}})
    )
    assert "by 7.5 px rms" in rows["OIS"] and "+0.15 frame" in rows["rolling shutter"]
    plain = registration_text(found)
    assert plain == (
        "field-of-view ratio 2.000, centre offset +1.0, +2.0 px, correlation 0.900, exposure 0.8 frame"
    )
    eis = found | {"exposure_frames": None}
    assert "EIS" in dict(pair_rows(report | {"registration": eis}))["wide exposure"]
    assert "EIS-stabilised" in registration_text(eis)
    more = {
        "rolling_shutter_frames": 0.15,
        "ois_rms_px": 7.5,
        "ultra_exposure_frames": 0.3,
        "parallax_deg": 20.0,
    }
    said = registration_text(found | more | {"accepted": False})
    for text in ("(rejected)", "ultra exposure 0.3", "rolling shutter +0.15", "lens by 7.5 px", "20 deg"):
        assert text in said


def moment(time_s: float, advantage: float, wide: float = 9.0, ultra: float = 2.0) -> Sharpness:
    same = Comparison(wide, ultra, advantage)
    return Sharpness(time_s, same, same)


def test_stretches_follow_each_other_and_short_ones_vanish() -> None:
    advantages = [5, 5, 5, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]
    samples = [moment(i / 2, a) for i, a in enumerate(advantages)]
    segments = plan_segments(samples, 20.0)
    assert [s.action for s in segments] == ["deblur", "pass"]
    assert segments[0].end_s == segments[1].start_s == 1.25
    blur_plan = BlurPlan(tuple(samples), tuple(segments))
    assert [blur_plan.weight_at(t) for t in (0.0, 1.25, 1.25 + FADE_S / 2, 3.0)] == pytest.approx(
        [1, 1, 0.5, 0]
    )
    both = plan_segments([moment(i / 2, 5, 30, 25) for i in range(4)], 20.0)
    assert [s.action for s in both] == ["both blurred"]


def test_colour_may_not_shift_where_nothing_is_blurred() -> None:
    generator = np.random.default_rng(0)
    change = generator.normal(0, 0.01, (256, 320, 3)).astype(np.float32)
    tint = np.linspace(-0.03, 0.05, 320, dtype=np.float32)[None, :, None]
    sharp, blurred = np.zeros((64, 80), np.float16), np.full((64, 80), 0.1, np.float16)
    guarded = limit_colour_shift(change + tint, sharp)
    blocks = guarded.reshape(256 // BLOCK, BLOCK, 320 // BLOCK, BLOCK, 3).mean(axis=(1, 3))
    assert np.abs(blocks).max() < 1 / 255
    assert np.std(guarded) == pytest.approx(0.01, rel=0.1)  # detail stays
    np.testing.assert_array_equal(limit_colour_shift(change + tint, blurred), change + tint)
    assert limit_colour_shift(change, sharp) is change


def test_sharp_places_are_told_from_blurred_ones_without_a_step() -> None:
    blur = np.zeros((BLOCK, 2 * BLOCK), np.float16)
    np.testing.assert_array_equal(sharp_blocks(blur, 8 * BLOCK, 4 * BLOCK), np.ones((4, 8)))
    assert sharp_blocks(blur + np.float16(0.02), 8 * BLOCK, 4 * BLOCK) is None
    blur[:, BLOCK:] = 0.02  # the right half is blurred
    found = sharp_blocks(blur, 8 * BLOCK, 4 * BLOCK)
    assert found is not None
    share = 1 - OPENCV_CHANGES.faded(np.ones((4 * BLOCK, 8 * BLOCK, 3), np.float32), found).mean(axis=(0, 2))
    assert share[: 3 * BLOCK].min() > 0.99 and share[5 * BLOCK :].max() < 0.01
    assert np.abs(np.diff(share)).max() < 0.02  # no step between them
