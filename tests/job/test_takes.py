"""Takes: folders of clips in the names and with the sidecars that capture apps write."""

import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from factories.clips import make_clip
from factories.spatial import make_spatial_clip
from factories.textures import texture

from asled_cli.__main__ import main
from asled_cli.errors import InputError
from asled_cli.job.batch.composite import is_composite
from asled_cli.job.batch.lens_names import is_hidden, split_lens
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.remote import PairTask, do_pair
from asled_cli.job.batch.sidecar import read_sidecar
from asled_cli.job.batch.takes import COMPOSITE, find_takes
from asled_cli.job.batch.versions import versions
from asled_cli.job.config import DeblurConfig
from asled_cli.video.decode.probe import probe_clip

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


def write_sidecar(
    take: Path, ultra_start: float, *, frames: int = 4, raw: str = "ultra.mov", rate: float = 30.0,
    exposures: tuple[object, object] | None = None, fov: float = 108.2,
) -> None:  # fmt: skip
    streams = [
        {"camera": lens, "rawVideoFile": name, "frameTimes": [start + i / rate for i in range(frames)]}
        for lens, name, start in (("wide", "wide.mov", 5000.0), ("ultra", raw, 5000.0 + ultra_start))
    ]
    pack = {"schema": "splatpack.v2", "captureType": "video_dual", "streams": streams}
    (take / "splatpack.json").write_text(json.dumps(pack))
    devices: dict[str, dict[str, object]] = {
        "wide": {"activeFormat": {"fieldOfView": 73.7}},
        "ultra": {"activeFormat": {"fieldOfView": fov}},
    }
    for device, exposure in zip(devices.values(), exposures or (None, None), strict=True):
        device |= {"iso": 100} | ({} if exposure is None else {"exposureDurationSeconds": exposure})
    (take / "metadata.json").write_text(json.dumps(devices))


def test_eight_takes_in_eight_styles_are_named_rightly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for take, names in STYLES.items():
        (tmp_path / take).mkdir()
        for name in names:
            make_clip(tmp_path / take / name, ticks=[0, 20, 40, 60])
    write_sidecar(tmp_path / "app", 0.05)
    (tmp_path / "second").mkdir()
    for name in ("wide.mov", "ultra.mov"):
        make_clip(tmp_path / "second" / name, ticks=[0, 20, 40, 60])
    write_sidecar(tmp_path / "second", -0.05, exposures=(1 / 60, [0.002, 0.002, 0.004]))
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
        "app_deblurred.mov": ("--offset=0.050000", "--fov-ratio=1.843261"),
        "second_deblurred.mov": (
            "--offset=-0.050000",
            "--fov-ratio=1.843261",
            "--exposure=0.016667",
            "--ultra-exposure=0.002000",
        ),
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


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another file": ({"raw": "other.mov"}, "it names other.mov, not ultra.mov"),
    "other frames": ({"frames": 40}, "it has 40 frames of wide.mov, which holds 4"),
    "other rate": ({"rate": 10.0}, "its frame times differ from those of wide.mov"),
    "apart": ({"ultra_start": 9.0}, "one clip begins 8.867 s after the other has ended"),
    "no time": ({"rate": float("nan")}, "frame times are no times"),
    "long exposure": ({"exposures": (0.1, 0.002)}, "wide.mov was exposed for 0.1 s"),
    "no exposure": ({"exposures": (0.01, -1)}, "ultra.mov was exposed for -1 s"),
    "text": ({"exposures": (0.01, "fast")}, "could not convert"),
    "narrow": ({"fov": 5.0}, "fields of view have a ratio of 0.06"),
    "wider than all": ({"fov": 200.0}, "fields of view are 73.7 and 200.0 degrees"),
    "no JSON": ({}, "contradicts its clips"),
    "no streams": ({}, "contradicts its clips"),
    "one stream": ({}, "it lacks 'ultra'"),
    "another schema": ({}, "its schema is 'other.v1'"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_a_sidecar_that_contradicts_its_clips_is_not_used_or_refused(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    wide, ultra = (make_clip(tmp_path / f"{lens}.mov", ticks=[0, 20, 40, 60]) for lens in ("wide", "ultra"))
    options, sentence = WRONG[wrong]
    write_sidecar(tmp_path, **({"ultra_start": 0.1} | options))
    pack = tmp_path / "splatpack.json"
    if wrong in ("no JSON", "no streams"):
        pack.write_text("{" if wrong == "no JSON" else "[]")
    elif wrong in ("one stream", "another schema"):
        content = json.loads(pack.read_text())
        content["streams"] = content["streams"][: 1 if wrong == "one stream" else 2]
        content["schema"] = "splatpack.v2" if wrong == "one stream" else "other.v1"
        pack.write_text(json.dumps(content))
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_sidecar(wide, ultra)
    (job,) = find_takes(tmp_path)
    assert not job.settings and not job.refused and "It is not used." in caplog.text
    (job,) = find_takes(tmp_path, strict=True)
    assert sentence in job.refused
    assert main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--strict", "--quiet"]) == 1
    (row,) = json.loads((tmp_path / "out" / "asled_batch.json").read_text())
    assert row["status"] == "failed" and row["exit_code"] == 3 and sentence in row["message"]


def test_the_offset_of_a_sidecar_is_that_of_the_clocks_of_the_clips(tmp_path: Path) -> None:
    """Frame times may begin anywhere, and so may the clip's own."""
    wide = make_clip(tmp_path / "wide.mov", ticks=[0, 20, 40, 60])
    ultra = make_clip(tmp_path / "ultra.mov", ticks=[60, 80, 100, 120])
    write_sidecar(tmp_path, 0.05)
    start = float(probe_clip(ultra).start_s)
    assert dict(read_sidecar(wide, ultra))["offset_s"] == pytest.approx(0.05 - start)


def test_settings_of_a_pair_reach_a_remote_job(tmp_path: Path) -> None:
    pair = BatchPair(tmp_path / "a.mov", tmp_path / "b.mov", "o.mov", settings=(("offset_s", 0.5),))
    seen: list[DeblurConfig] = []
    (tmp_path / "report.json").write_text("[]")
    task = PairTask(
        pair,
        tmp_path,
        tmp_path / "report.json",
        False,
        DeblurConfig(pair.wide, method="swap"),
        versions("swap"),
        seen.append,
    )
    assert do_pair(task).status == "done" and seen[0].offset_s == 0.5


def test_names_without_a_lens_stay_whole() -> None:
    assert not is_hidden(".5x.mov") and is_hidden("._.5x.mov") and is_hidden(".wide.mov")
    assert split_lens("walk_1.5x") == ("walk 1 5x", "")
    assert split_lens("worldwide_ultrasound") == ("worldwide ultrasound", "")
    assert split_lens("IMG_0001_UW") == ("img 0001", "ultra")
    assert split_lens("back.ultraWide") == ("back", "ultra")


def test_a_still_scene_with_a_window_is_no_composite(tmp_path: Path) -> None:
    assert not is_composite(make_clip(tmp_path / "still.mov", ticks=range(0, 200, 20)))
    assert is_composite(make_moving(tmp_path / "two.mov", composite=True))
