"""A name opens exactly the file that has it, and only real containers are opened."""

import os
import socket
import struct
from pathlib import Path

import pytest
from factories.clips import locate, make_clip, patch
from factories.damage import Recipe, cook

from asled_cli.errors import InputError
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode.writer import ClipWriter
from asled_cli.video.open_output import open_output

DATA_REFERENCE = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
ODD_NAMES = [
    "12:30 walk.mp4", "file:good.mp4", "http:127.0.0.1:9?x.mp4", "-o.mp4", "--help.mp4", "take%03d.mp4",
    "concat:a.mp4|b.mp4", "data:x.mp4", "a?b#c.mp4", "[1]*{2}.mp4", "line\nbreak.mp4",
    os.fsdecode(b"caf\xe9.mp4"),
]  # fmt: skip


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("small") / "a.mp4", ticks=[0, 20, 40])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_opens_its_own_file(
    name: str, small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(small_clip.read_bytes())
    assert probe_clip(Path(name)).frame_estimate == 3


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_writes_its_own_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_output(Path(name)) as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [os.fsencode(name)]


def test_a_name_never_opens_another_file(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.mp4").write_bytes(small_clip.read_bytes())
    Path("file:good.mp4").write_bytes(b"not a video at all")
    with pytest.raises(InputError, match="not a video"):
        probe_clip(Path("file:good.mp4"))


SCRIPTS = {
    "ffconcat": "ffconcat version 1.0\nfile 'good.mp4'\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\ngood.mp4\n#EXT-X-ENDLIST\n",
    "DASH": '<?xml version="1.0"?><MPD type="static"><BaseURL>good.mp4</BaseURL></MPD>',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    "pls": "[playlist]\nFile1=good.mp4\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".m3u8", ".mpd", ".sdp", ".ffconcat"])
def test_a_script_is_not_a_clip(kind: str, suffix: str, small_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes(small_clip.read_bytes())
    script = tmp_path / f"wide{suffix}"
    script.write_text(SCRIPTS[kind])
    with pytest.raises(InputError, match=rf"\({kind}\), not a clip|{kind} manifest, not a clip"):
        open_clip(script)


def test_a_pattern_is_not_a_clip(tmp_path: Path) -> None:
    (tmp_path / "img%03d.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(64))
    with pytest.raises(InputError, match="is a photo, expected a clip"):
        open_clip(tmp_path / "img%03d.jpg")


@pytest.mark.parametrize(
    ("head", "inside", "sentence"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(64), b"", "is a photo, expected a clip"),
        (b"\xff\xd8\xff\xe0" + bytes(64), b"\0\0\0\x18ftypmp42", "photo with a short clip inside"),
        (b"\0\0\0\x18ftypheic" + bytes(64), b"", "is a photo, expected a clip"),
        (b"\0\0\0\x18ftypheic" + bytes(64), b"\0\0\0\x20mpvd\0\0\0\x18ftypmp42", "with a short clip inside"),
    ],
)
def test_a_photo_is_named_as_one(head: bytes, inside: bytes, sentence: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.mp4"
    photo.write_bytes(head + inside)
    with pytest.raises(InputError, match=sentence):
        open_clip(photo)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    os.mkfifo("pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        for name, word in [
            ("pipe.mp4", "pipe"), ("socket.mp4", "socket"), ("/dev/null", "device"), (".", "folder"),
            ("missing.mp4", "does not exist"), ("x" * 300, "cannot be read"), ("a\0b", "not a name"),
        ]:  # fmt: skip
            with pytest.raises(InputError, match=word):
                open_clip(Path(name))


def test_pictures_in_another_file_are_not_followed(small_clip: Path, tmp_path: Path) -> None:
    """A data reference of an MP4 track can name another file on the disk."""
    clip = tmp_path / "a.mp4"
    clip.write_bytes(small_clip.read_bytes())
    entry = locate(clip.read_bytes(), *DATA_REFERENCE)[-1] + 16
    patch(clip, entry + 8, bytes(4))  # no longer "in this file"
    data = clip.read_bytes()
    name = b"../other.mp4\0"
    clip.write_bytes(data[: entry + 12] + name + data[entry + 12 :])
    for offset in [*locate(data, *DATA_REFERENCE), entry]:
        size = struct.unpack_from(">I", data, offset)[0]
        patch(clip, offset, struct.pack(">I", size + len(name)))
    with pytest.raises(InputError, match="in another file"):
        probe_clip(clip)


def test_sound_in_another_file_is_dropped_and_named(tmp_path: Path) -> None:
    source = cook(Recipe(subtitles=None, chapters=(), attachment=b"", sounds=1), tmp_path / "in.mp4")
    data = source.read_bytes()
    entry = data.rindex(b"url \0\0\0\1") - 4  # of the sound, which is the last track
    name = b"other.mp4\0"
    source.write_bytes(data[: entry + 8] + bytes(4) + name + data[entry + 12 :])
    start = data.index(b"moov") - 4
    for offset in [start, *_parents(data, start + 8, entry), entry]:
        size = struct.unpack_from(">I", data, offset)[0]
        patch(source, offset, struct.pack(">I", size + len(name)))
    clip = probe_clip(source)
    assert not clip.has_audio and [track.external for track in clip.other_tracks] == [True]
    writer = ClipWriter(clip, tmp_path / "out.mp4")
    writer.abort()
    assert writer.dropped == ["track 1 (audio, aac, in another file)"]


def _parents(data: bytes, at: int, inner: int) -> list[int]:
    """Return the offsets of the boxes from `at` on that contain the offset `inner`, outermost first."""
    while at + struct.unpack_from(">I", data, at)[0] <= inner:
        at += struct.unpack_from(">I", data, at)[0]
    if at == inner:
        return []
    head = 16 if data[at + 4 : at + 8] == b"dref" else 8
    return [at, *_parents(data, at + head, inner)]
