"""Takes: folders of clips in the names and with the sidecars that capture apps write."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from factories.clips import make_clip
from factories.spatial import make_spatial_clip
from factories.textures import texture

from asled_cli.__main__ import main
from asled_cli.job.batch.composite import is_composite
from asled_cli.job.batch.lens_names import split_lens
from asled_cli.job.batch.sidecar import options_of_sidecar
from asled_cli.job.batch.takes import COMPOSITE, find_takes

STYLES = {
    "app": ("wide.mov", "ultra.mov"),
    "camel": ("backWide.mov", "backUltraWide.mov"),
    "focal": ("walk_24mm.mov", "walk_13mm.mov"),
    "point": ("walk 1x.mov", "walk .5x.mov"),
    "comma": ("walk_1x.mov", "walk_0,5x.mov"),
    "angle": ("wideangle.mov", "ultrawideangle.mov"),
    "scanner": ("video.mov", "ultrawide.mov"),
    "token": ("camera_a.mov", "camera_b.mov"),
}


def make_moving(path: Path, *, composite: bool = False) -> Path:
    """Write a clip of a moving texture; composite: with another one in a fixed rectangle."""
    scene, face = (np.asarray(texture(420, 300, seed=seed, finest=12.0), np.uint8) for seed in (1, 2))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(14):
            shown = scene[3 * number : 3 * number + 180, 6 * number : 6 * number + 320].copy()
            if composite:
                shown[14:84, 20:80] = face[2 * number : 2 * number + 70, number : number + 60]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def write_sidecar(take: Path, ultra_start: float, *, frames: int = 4, raw: str = "ultra.mov") -> None:
    streams = [
        {"camera": lens, "rawVideoFile": name, "frameTimes": [start + i / 30 for i in range(frames)]}
        for lens, name, start in (("wide", "wide.mov", 5000.0), ("ultra", raw, 5000.0 + ultra_start))
    ]
    pack = {"schema": "splatpack.v2", "captureType": "video_dual", "streams": streams}
    (take / "splatpack.json").write_text(json.dumps(pack))
    devices = {
        "wide": {"activeFormat": {"fieldOfView": 73.7}},
        "ultra": {"activeFormat": {"fieldOfView": 108.2}},
    }
    (take / "metadata.json").write_text(json.dumps(devices))


def test_eight_takes_in_eight_styles_are_named_rightly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for take, names in STYLES.items():
        (tmp_path / take).mkdir()
        for name in names:
            make_clip(tmp_path / take / name, ticks=[0, 20, 40, 60])
    write_sidecar(tmp_path / "app", 0.25)
    (tmp_path / "second").mkdir()
    for name in ("wide.mov", "ultra.mov"):
        make_clip(tmp_path / "second" / name, ticks=[0, 20, 40, 60])
    write_sidecar(tmp_path / "second", -0.5)
    make_spatial_clip(tmp_path / "IMG_0007.MOV", frames=3)
    make_moving(tmp_path / "front_and_back.mov", composite=True)
    make_moving(tmp_path / "lone.mov")
    (tmp_path / ".trash").mkdir()
    make_clip(tmp_path / ".trash" / "wide.mov")

    jobs = find_takes(tmp_path)
    found = {job.out: (job.wide.name, job.ultra and job.ultra.name) for job in jobs if not job.left_out}
    expected = {f"{take}_deblurred.mov": names for take, names in STYLES.items()}
    expected |= {"second_deblurred.mov": STYLES["app"], "IMG_0007_deblurred.MOV": ("IMG_0007.MOV",) * 2}
    assert found == expected
    options = {job.out: job.options for job in jobs if job.options}
    assert options == {
        "app_deblurred.mov": ("--offset=0.250000", "--fov-ratio=1.8433"),
        "second_deblurred.mov": ("--offset=-0.500000", "--fov-ratio=1.8433"),
    }
    left = {job.wide.name: job.left_out for job in jobs if job.left_out}
    assert left["front_and_back.mov"] == COMPOSITE and "no second clip" in left["lone.mov"]
    assert len(left) == 2 and "left out: front_and_back.mov, lone.mov" in caplog.text


def test_the_report_names_what_is_left_out(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "clips" / "results"
    (clips / "take").mkdir(parents=True)
    for name in ("wide.mov", "ultra.mov"):
        (clips / "take" / name).write_bytes(b"")
    (clips / "broken.mov").write_bytes(b"no movie")
    assert main(["batch", str(clips), "-o", str(out), "--quiet"]) == 1
    rows = {row["wide"]: row for row in json.loads((out / "asled_batch.json").read_text())}
    assert rows[str(clips / "take" / "wide.mov")]["status"] == "failed"
    assert (
        rows[str(clips / "broken.mov")]["status"] == "left out" and rows[str(clips / "broken.mov")]["message"]
    )


@pytest.mark.parametrize("damage", ["another file", "other frames", "no JSON", "no streams"])
def test_a_sidecar_that_contradicts_its_clips_is_not_used(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wide, ultra = (make_clip(tmp_path / f"{lens}.mov", ticks=[0, 20, 40, 60]) for lens in ("wide", "ultra"))
    write_sidecar(
        tmp_path, 0.1, frames=40 if damage == "other frames" else 4,
        raw="other.mov" if damage == "another file" else "ultra.mov",
    )  # fmt: skip
    if damage.startswith("no"):
        (tmp_path / "splatpack.json").write_text("{" if damage == "no JSON" else "[]")
    assert options_of_sidecar(wide, ultra) == ()
    assert "does not fit its clips" in caplog.text


def test_names_without_a_lens_stay_whole() -> None:
    assert split_lens("walk_1.5x") == ("walk 1 5x", "")
    assert split_lens("worldwide_ultrasound") == ("worldwide ultrasound", "")
    assert split_lens("IMG_0001_UW") == ("img 0001", "ultra")
    assert split_lens("back.ultraWide") == ("back", "ultra")


def test_a_still_scene_with_a_window_is_no_composite(tmp_path: Path) -> None:
    assert not is_composite(make_clip(tmp_path / "still.mov", ticks=range(0, 200, 20)))
    assert is_composite(make_moving(tmp_path / "two.mov", composite=True))
