import struct
from pathlib import Path

import numpy as np
import pytest
from factories.clips import LENS, append_box, box, keys_box, make_clip

from asled_cli.cli.app import main
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.mp4_boxes import focal_35mm, read_tracks


def test_track_keys_and_dolby_vision_box_are_found(hlg_clip: Path) -> None:
    tracks = read_tracks(hlg_clip)
    video = tracks[1]
    assert video.lens_model == LENS["com.apple.quicktime.camera.lens_model"]
    assert video.focal_35mm == 24
    assert video.readout_s == pytest.approx(0.0053)
    assert video.dolby_vision
    assert [tracks[number].tag for number in (1, 2, 3)] == ["hvc1", "mp4a", "apac"]
    assert not tracks[2].keys and not tracks[2].dolby_vision


def test_spatial_video_is_recognised_and_its_second_view_is_not_taken_for_a_track(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_clip(tmp_path / "spatial.mov", codec="libx265")
    stsd = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1")
    append_box(path, box(b"vexu", box(b"eyes", box(b"stri", bytes(4), b"\x03"))), *stsd)
    clip = probe_clip(path)
    assert clip.spatial and "its second view is missing" in clip.warnings[-1]
    out = str(tmp_path / "out.mp4")
    assert main(["deblur", str(path), str(path), "-o", out]) == 3  # the same file: its second track
    assert "second view of spatial.mov is missing" in capsys.readouterr().err
    assert main(["deblur", str(path), "-o", out, "--dry-run"]) == 0  # alone: its main view
    said = capsys.readouterr()
    assert "its main view is used alone" in said.out + said.err and "single" in said.out


def test_iso_flavour_of_meta_and_all_value_types(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", ticks=[0, 20])
    meta = keys_box({"text": "é", "whole": -7, "real": 1.5})
    iso = box(b"meta", bytes(4), meta[8:])
    append_box(path, iso, b"moov", b"trak")
    assert read_tracks(path)[1].keys == {"text": "é", "whole": -7, "real": 1.5}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(24.0, 24), ("50.00mm", 50), (" 13 ", 13), ("wide", None), (0.0, None), ("nan", None)],
)
def test_focal_length_is_a_sane_number_or_none(value: str | float, expected: float | None) -> None:
    assert focal_35mm({"com.apple.quicktime.camera.focal_length.35mm_equivalent": value}) == expected


def test_other_files_have_no_boxes(tmp_path: Path) -> None:
    text = tmp_path / "text.mov"
    text.write_text("not a movie\n" * 20)
    assert read_tracks(text) == {}
    assert read_tracks(tmp_path / "missing.mov") == {}
    mkv = make_clip(tmp_path / "a.mkv", ticks=[0, 20])
    assert read_tracks(mkv) == {}


def test_damaged_index_never_raises(hlg_clip: Path, tmp_path: Path) -> None:
    data = hlg_clip.read_bytes()
    moov = data[data.index(b"moov") - 4 :]
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.mov"
    for _ in range(150):
        broken = bytearray(moov)
        for at in rng.integers(8, len(moov), 12):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(bytes(broken)[: rng.integers(8, len(moov) + 1)])
        read_tracks(path)


def test_declared_sizes_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "liar.mov"
    path.write_bytes(struct.pack(">I4sQ", 1, b"moov", 1 << 60) + bytes(32))
    assert read_tracks(path) == {}
    path.write_bytes(struct.pack(">I4s", 40, b"moov") + struct.pack(">I4s", 0xFFFFFFF0, b"trak") + bytes(24))
    assert read_tracks(path) == {}
