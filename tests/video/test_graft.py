"""The lens and other keys of the video track survive in the copy; the movie around them stays as it was."""

from pathlib import Path

import av
import pytest
from factories.clips import LENS, append_box, box, keys_box, locate, make_clip
from factories.copies import copy

from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.preserve.quicktime_keys import graft_track_keys


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(p.stream_index, p.pts, bytes(p)) for p in container.demux() if p.size]


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_keys_of_the_track_are_kept(hlg_clip: Path, tmp_path: Path, suffix: str) -> None:
    out = copy(hlg_clip, tmp_path / f"out{suffix}")
    assert read_tracks(out)[1].keys == LENS
    assert probe_clip(out).lens_model == probe_clip(hlg_clip).lens_model is not None


def test_nothing_else_changes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov", audio=1)
    out = make_clip(tmp_path / "out.mov", audio=1, chapters=True)
    before, size = packets(out), out.stat().st_size
    assert not graft_track_keys(probe_clip(source), out) and out.stat().st_size == size
    append_box(source, keys_box({"a": "b", "c": 1.5}), b"moov", b"trak")
    assert graft_track_keys(probe_clip(source), out)
    assert packets(out) == before and read_tracks(out)[1].keys == {"a": "b", "c": 1.5}
    with av.open(str(out)) as container:
        assert len(container.chapters()) == 2


def test_keys_of_the_chosen_track_of_two(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "dual.mov", tracks=2), make_clip(tmp_path / "out.mov")
    append_box(source, keys_box({"lens": "ultra"}), b"moov", (b"trak", 1))
    append_box(source, keys_box({"lens": "wide"}), b"moov", (b"trak", 0))
    assert graft_track_keys(probe_clip(source, 1), out)
    assert read_tracks(out)[1].keys == {"lens": "ultra"}


def test_keys_that_cannot_be_read_are_not_copied(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "in.mov"), make_clip(tmp_path / "out.mov")
    odd = box(b"meta", box(b"keys", b"\0" * 7 + b"\1" + box(b"mdta", b"x")), box(b"ilst", box(b"\0\0\0\1")))
    append_box(source, odd, b"moov", b"trak")
    data = out.read_bytes()
    assert not graft_track_keys(probe_clip(source), out) and out.read_bytes() == data


def test_an_index_before_the_media_is_left_alone(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov")
    append_box(source, keys_box({"a": "b"}), b"moov", b"trak")
    out = make_clip(tmp_path / "out.mov", movflags="faststart")
    data = out.read_bytes()
    assert locate(data, b"moov")[0] < locate(data, b"mdat")[0]
    assert not graft_track_keys(probe_clip(source), out) and out.read_bytes() == data
