"""Keys keep their types and places, the picture what its sample description tells; else it is named."""

import struct
from dataclasses import replace
from pathlib import Path

import av
import pytest
from factories.clips import BT709, append_box, box, keys_box, locate, make_clip
from factories.copies import copy

from asled_cli.video.decode.crop import read_matroska_crop
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.frames import ColorTags
from asled_cli.video.mp4_boxes import boxes_in, child_of, read_index

PLACE = box(b"\xa9xyz", struct.pack(">HH", 18, 0x15C7), b"+48.1371+011.5754/")
KEYS = {"com.android.version": "14", "com.android.capture.fps": 240.0, "com.apple.quicktime.flag": 1}
TITLES = box(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0), b"Trip"))
AMVE = box(b"amve", struct.pack(">IHH", 3140000, 15635, 16450))
CLAP = box(b"clap", struct.pack(">8I", 60, 1, 44, 1, 0, 1, 0, 1))
ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def without_metadata(path: Path) -> Path:
    """Cut the muxer's own user data off the end of the index."""
    data = path.read_bytes()
    moov, udta = locate(data, b"moov", b"udta")
    size = struct.unpack_from(">I", data, udta)[0]
    data = data[:udta] + data[udta + size :]
    path.write_bytes(data[:moov] + struct.pack(">I", len(data) - moov) + data[moov + 4 :])
    return path


def index_of(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(read_index(file)[1])


@pytest.mark.parametrize("before", [".mov", ".mp4"])
@pytest.mark.parametrize("after", [".mov", ".mp4"])
def test_typed_keys_and_places_stay_as_they_were(tmp_path: Path, before: str, after: str) -> None:
    source = without_metadata(make_clip(tmp_path / f"in{before}", audio=1))
    keys = keys_box(KEYS)
    append_box(source, keys if before == ".mov" else box(b"meta", bytes(4), keys[8:]), b"moov")
    titles = box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", TITLES))
    append_box(source, box(b"udta", PLACE, titles), b"moov")
    out = copy(source, tmp_path / f"out{after}")
    ours, theirs = index_of(source), index_of(out)
    skipped = {path: 4 if path.suffix == ".mp4" else 0 for path in (source, out)}
    for name in (b"keys", b"ilst"):
        one, two = (
            child_of(child_of(index, b"meta")[skipped[path] :], name)
            for index, path in ((ours, source), (theirs, out))
        )
        assert bytes(one) == bytes(two) != b""
    assert bytes(child_of(theirs, b"udta")) == bytes(child_of(ours, b"udta"))
    assert [kind for kind, _ in boxes_in(theirs)].count(b"udta") == 1
    with av.open(str(out)) as file:
        assert file.metadata["location"] == "+48.1371+011.5754/" and file.metadata["title"] == "Trip"
        assert file.metadata["com.android.capture.fps"] == "240.000000"
    assert frame_times(probe_clip(out)) == frame_times(probe_clip(source))


def test_chapters_of_the_copy_are_its_own(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", chapters=True, metadata={"title": "Trip"})
    with av.open(str(copy(source, tmp_path / "out.mp4"))) as file:
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["a", "b"]


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_ambient_light_and_clean_aperture_are_kept(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mov", audio=1)
    append_box(source, AMVE, *ENTRY)
    append_box(source, CLAP, *ENTRY)
    out = copy(source, tmp_path / f"out{suffix}")
    data = out.read_bytes()
    for name, whole in ((b"amve", AMVE), (b"clap", CLAP)):
        at = locate(data, *ENTRY, name)[-1]
        assert data[at : at + len(whole)] == whole
    assert probe_clip(out).ambient_light == (3140000, 15635, 16450)


def test_ambient_light_that_matroska_cannot_hold_is_named(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov")
    append_box(source, AMVE, *ENTRY)
    clip = probe_clip(source)
    with (
        ClipReader(clip) as frames,
        ClipWriter(clip, tmp_path / "o.mkv", EncodeConfig(preset="ultrafast")) as writer,
    ):
        for frame in frames:
            writer.write(frame, None)
    assert [check.name for check in writer.differences] == ["ambient light"]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_chroma_location(tmp_path: Path, codec: str) -> None:
    params = "chromaloc=2" if codec == "libx264" else "bframes=3:chromaloc=2"
    options = {f"{codec[3:]}-params": params}
    clip = probe_clip(make_clip(tmp_path / "in.mov", codec=codec, ticks=(0, 20, 40), options=options))
    assert clip.chroma_location == 2
    assert probe_clip(copy(clip.path, tmp_path / "out.mov")).chroma_location == 2
    assert probe_clip(make_clip(tmp_path / "unspecified.mov", ticks=(0, 20))).chroma_location in (None, 0)


@pytest.mark.parametrize("transfer", [16, 18])
def test_light_level_without_mastering_data(tmp_path: Path, transfer: int) -> None:
    params = {"x265-params": "repeat-headers=1:max-cll=1000,400"}
    tags = ColorTags(9, 9, transfer, 1)
    kind = {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": params, "ticks": (0, 20, 40)}
    clip = probe_clip(make_clip(tmp_path / "in.mov", color=tags, **kind))
    assert clip.content_light == (1000, 400) and clip.mastering is None
    assert probe_clip(copy(clip.path, tmp_path / "out.mov")).content_light == (1000, 400)


def test_a_new_pixel_format_is_named(tmp_path: Path) -> None:
    kind = {"codec": "ffv1", "size": (65, 49), "ticks": (0, 20), "color": BT709}
    clip = probe_clip(make_clip(tmp_path / "in.mkv", **kind))
    writer = ClipWriter(clip, tmp_path / "out.mp4")
    writer.abort()
    assert "pixel format yuv420p (written as yuv444p)" in writer.dropped


def element(name: str, body: bytes) -> bytes:
    """A Matroska element."""
    return bytes.fromhex(name) + (len(body) | 1 << 28).to_bytes(4, "big") + body


def test_a_crop_of_matroska_becomes_a_clean_aperture(tmp_path: Path) -> None:
    video = element("e0", element("54cc", b"\4") + element("54bb", b"\2") + element("b0", b"\x40"))
    head = element("1a45dfa3", b"") + element("18538067", element("1654ae6b", element("ae", video)))
    (tmp_path / "head.mkv").write_bytes(head)
    crop = read_matroska_crop(tmp_path / "head.mkv", 0)
    assert crop == (4, 2, 0, 0) and read_matroska_crop(tmp_path / "head.mkv", 1) is None
    (tmp_path / "torn.mkv").write_bytes(head[:-9])
    read_matroska_crop(tmp_path / "torn.mkv", 0)
    clip = replace(probe_clip(make_clip(tmp_path / "in.mov", ticks=(0, 20))), crop=crop)
    for suffix, expected in ((".mp4", crop), (".mkv", None)):
        out = tmp_path / f"out{suffix}"
        with ClipReader(clip) as frames, ClipWriter(clip, out, EncodeConfig(preset="ultrafast")) as writer:
            for frame in frames:
                writer.write(frame, None)
        assert probe_clip(out).crop == expected


@pytest.mark.parametrize(("after", "kept"), [(".mov", True), (".mp4", False)])
def test_apertures_of_a_track_stay_in_quicktime(tmp_path: Path, after: str, kept: bool) -> None:
    sizes = [
        box(kind, bytes(4), struct.pack(">II", 64 << 16, 48 << 16)) for kind in (b"clef", b"prof", b"enof")
    ]
    source = make_clip(tmp_path / "in.mov")
    append_box(source, box(b"tapt", *sizes), b"moov", b"trak")
    out = copy(source, tmp_path / f"out{after}")
    found = bytes(child_of(index_of(out), b"trak", b"tapt"))
    assert found == (b"".join(sizes) if kept else b"")
    assert probe_clip(out).width == 64 and len(frame_times(probe_clip(out))) == 16
