import errno
import os
import stat
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from factories.clips import (
    BT709,
    HLG,
    MOVIE_KEYS,
    TICKS_PER_S,
    UNTAGGED,
    hide_start,
    make_clip,
    phone_ticks,
    picture,
    planes,
)

from asled_cli.errors import AsledError, UsageError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.encoder import choose_encoder
from asled_cli.video.encode.writer import ClipWriter, EncodeConfig, check_output
from asled_cli.video.encode.yuv import apply_change
from asled_cli.video.frames import Clip, ColorTags, MasteringDisplay

TICKS = phone_ticks(16)
FAST = EncodeConfig(preset="ultrafast")
LOSSLESS = replace(FAST, options={"qp": "0"})
X265_LOSSLESS = {"x265-params": "lossless=1:pools=1:frame-threads=1"}


def copy(
    clip: Clip, out: Path, config: EncodeConfig = FAST, change: np.ndarray | None = None, **cut: Fraction
) -> tuple[Clip, list[str]]:
    """Read the clip and write it again; the new clip and what was dropped."""
    with ClipReader(clip, **cut) as frames, ClipWriter(clip, out, config, **cut) as writer:
        for frame in frames:
            writer.write(frame, change)
    return probe_clip(out), writer.dropped


def packets(path: Path, kind: str) -> list[list[tuple[int | None, int | None, int | None, bytes]]]:
    """(pts, dts, duration, content) of all packets of each known track of a kind."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[int | None, int | None, int | None, bytes]]] = {
            stream.index: []
            for stream in container.streams
            if stream.type == kind and stream.codec_context is not None
        }
        for packet in container.demux():
            if packet.stream_index in found and packet.size:
                content = (packet.pts, packet.dts, packet.duration, bytes(packet))
                found[packet.stream_index].append(content)
        return list(found.values())


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".part-" in path.name]


# ------------------------------------------------------------------------------------- times and pixels


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_times_and_sound_are_exactly_the_source(
    sdr_clip: Path, tmp_path: Path, codec: str, suffix: str
) -> None:
    clip = probe_clip(sdr_clip)
    out, dropped = copy(clip, tmp_path / f"out{suffix}", EncodeConfig(codec=codec, preset="veryfast"))
    assert out.codec == codec and dropped == []
    assert frame_times(out) == [Fraction(tick, TICKS_PER_S) for tick in TICKS] == frame_times(clip)
    assert out.time_base == clip.time_base and out.duration_s == clip.duration_s
    assert packets(out.path, "audio") == packets(clip.path, "audio") != [[]]
    with av.open(str(out.path)) as container:
        assert container.streams.video[0].codec_context.has_b_frames


def test_frame_durations_are_kept(sdr_clip: Path, tmp_path: Path) -> None:
    out, _ = copy(
        probe_clip(sdr_clip), tmp_path / "out.mov", EncodeConfig(preset="ultrafast", options={"bf": "0"})
    )
    with av.open(str(out.path)) as container:
        durations = [packet.duration for packet in container.demux(video=0) if packet.size]
    assert durations == [*np.diff(TICKS).tolist(), 20]


@pytest.mark.parametrize("color", [BT709, ColorTags(9, 9, 14, 1), UNTAGGED], ids=["709", "2020", "untagged"])
@pytest.mark.parametrize(
    ("pix_fmt", "codec", "options"),
    [
        ("yuv420p", "h264", {"qp": "0"}),
        ("yuv420p10le", "hevc", X265_LOSSLESS),
        ("yuv444p", "hevc", X265_LOSSLESS),
        ("yuv422p10le", "ffv1", {}),
    ],
)
def test_unchanged_frames_are_bit_identical(
    tmp_path: Path, color: ColorTags, pix_fmt: str, codec: str, options: dict[str, str]
) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, color=color, ticks=TICKS[:5])
    clip = probe_clip(path)
    preset = None if codec == "ffv1" else "ultrafast"
    suffix = ".mkv" if codec == "ffv1" else ".mov"
    out, _ = copy(clip, tmp_path / f"out{suffix}", EncodeConfig(codec=codec, preset=preset, options=options))
    assert out.pix_fmt == pix_fmt and clip.color == color
    # x265 always writes the range, limited where nothing was told, which means the same
    assert out.color == color or (codec, out.color) == ("hevc", replace(color, range=1))
    with ClipReader(clip) as before, ClipReader(out) as after:
        for old, new in zip(before, after, strict=True):
            assert old.source is not None and new.source is not None
            assert all(map(np.array_equal, planes(old.source), planes(new.source)))


def test_change_reaches_the_file(sdr_clip: Path, tmp_path: Path) -> None:
    clip = probe_clip(sdr_clip)
    change = np.random.default_rng(0).normal(0, 0.05, (48, 64, 3)).astype(np.float32)
    out, _ = copy(clip, tmp_path / "out.mov", LOSSLESS, change)
    with ClipReader(clip) as before, ClipReader(out) as after:
        for old, new in zip(before, after, strict=True):
            assert old.source is not None and new.source is not None
            expected = apply_change(old.source, change, BT709)
            assert all(map(np.array_equal, planes(expected), planes(new.source)))


def test_frames_without_planes_are_written_from_rgb(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "in.mov", smooth=True, pix_fmt="yuv444p", ticks=TICKS[:3]))
    with (
        ClipReader(clip) as frames,
        ClipWriter(clip, tmp_path / "o.mov", LOSSLESS) as out,
    ):
        originals = list(frames)
        for frame in originals:
            out.write(replace(frame, source=None), np.zeros_like(frame.rgb, np.float32))
    with ClipReader(probe_clip(tmp_path / "o.mov")) as frames:
        for old, new in zip(originals, frames, strict=True):
            assert old.source is not None and new.source is not None
            for one, other in zip(planes(old.source), planes(new.source), strict=True):
                difference = np.abs(one.astype(int) - other.astype(int))
                assert difference.max() <= 1 and difference.mean() < 0.05  # rounded twice


# -------------------------------------------------------------------------------- everything around them


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_phone_clip_keeps_turn_colours_keys_and_tells_what_is_lost(
    hlg_clip: Path, tmp_path: Path, suffix: str
) -> None:
    clip = probe_clip(hlg_clip)
    out, dropped = copy(clip, tmp_path / f"out{suffix}")
    assert (out.codec, out.pix_fmt, out.color) == ("hevc", "yuv420p10le", HLG)
    assert out.rotation == -90 and out.display_matrix == clip.display_matrix
    assert MOVIE_KEYS.items() <= out.metadata.items()
    assert dropped == ["track 2 (audio, apac)", "Dolby Vision layer"]
    assert packets(out.path, "audio") == packets(clip.path, "audio")
    with av.open(str(out.path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_edit_list(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mov", audio=1)
    hide_start(path, TICKS[4])
    hide_start(path, TICKS[4], track=1)
    clip = probe_clip(path)
    out, _ = copy(clip, tmp_path / "out.mov")
    assert frame_times(out) == frame_times(clip) and len(frame_times(out)) == len(TICKS) - 4
    assert packets(out.path, "audio") == packets(path, "audio")


def test_raw_sound_and_subtitles(tmp_path: Path) -> None:
    """Raw sound is read back in other portions than it was written in."""
    path = tmp_path / "in.mov"
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=30, width=64, height=48, pix_fmt="yuv420p")
        sound = file.add_stream("pcm_s16le", rate=48000, layout="mono")
        text = file.add_mux_stream("mov_text")
        file.start_encoding()
        for number in range(12):
            frame = picture("yuv420p", (64, 48), number)
            frame.pts = number
            file.mux(video.encode(frame))
            noise = np.random.default_rng(number).integers(-999, 999, (1, 1600)).astype(np.int16)
            block = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
            block.sample_rate, block.pts = 48000, 1600 * number
            file.mux(sound.encode(block))
        words = av.Packet(b"\0\5hello")
        words.stream, words.time_base = text, Fraction(1, 1000)
        words.pts = words.dts = 100
        words.duration = 200
        file.mux(words)
        file.mux(video.encode(None))
    out, dropped = copy(probe_clip(path), tmp_path / "out.mp4")
    assert dropped == [] and [track.kind for track in out.other_tracks] == ["audio", "subtitle"]
    for kind in ("audio", "subtitle"):
        (before,), (after,) = packets(path, kind), packets(out.path, kind)
        old, new = (b"".join(part[3] for part in parts) for parts in (before, after))
        assert new.rstrip(b"\0") == old.rstrip(b"\0") != b""  # the muxer ends texts with an empty one


def test_chapters_and_shape(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mov", chapters=True)
    clip = replace(probe_clip(path), sample_aspect_ratio=Fraction(4, 3))
    out, _ = copy(clip, tmp_path / "out.mov")
    assert out.sample_aspect_ratio == Fraction(4, 3)
    with av.open(str(out.path)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["a", "b"]


def test_hdr10_facts_are_written(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mov", codec="libx265", pix_fmt="yuv420p10le", ticks=TICKS[:3])
    light = MasteringDisplay(
        (13250, 34500), (7500, 3000), (34000, 16000), (15635, 16450), 10_000_000, 50, 1000, 400
    )
    clip = replace(probe_clip(path), color=ColorTags(9, 9, 16, 1), mastering=light)
    out, dropped = copy(clip, tmp_path / "out.mov")
    assert out.mastering == light and out.color == ColorTags(9, 9, 16, 1) and dropped == []
    _, dropped = copy(clip, tmp_path / "out2.mov", replace(FAST, codec="h264"))
    assert "mastering display data" in dropped


def test_full_range_and_cover(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "in.mp4", pix_fmt="yuvj420p", color=ColorTags(1, 1, 1, 2), cover=True, movflags="faststart"
    )
    clip = probe_clip(path)
    out, dropped = copy(clip, tmp_path / "out.mp4", LOSSLESS)
    assert out.color.range == 2 and dropped == ["track 1 (picture, mjpeg)"]
    with ClipReader(clip) as before, ClipReader(out) as after:
        for old, new in zip(before, after, strict=True):
            assert np.array_equal(old.rgb, new.rgb)


def test_second_camera_of_a_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "dual.mov", tracks=2, audio=1)
    clip = probe_clip(path, track=1)
    out, dropped = copy(clip, tmp_path / "out.mov", LOSSLESS)
    assert dropped == ["track 0 (video, h264)"]
    with ClipReader(clip) as before, ClipReader(out) as after:
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(before, after, strict=True))


def test_matroska_keeps_order_and_tells_its_limits(sdr_clip: Path, tmp_path: Path) -> None:
    clip = probe_clip(sdr_clip)
    out, dropped = copy(clip, tmp_path / "out.mkv", replace(FAST, codec="hevc"))
    times = frame_times(out)
    assert all(
        abs(time - times[0] - Fraction(tick, TICKS_PER_S)) <= Fraction(1, 1000)
        for time, tick in zip(times, TICKS, strict=True)
    )
    assert dropped == ["exact times (Matroska counts milliseconds)"]


# ---------------------------------------------------------------------------------------------- ranges


def test_cut_starts_at_zero_with_the_sound_in_step(tmp_path: Path) -> None:
    ticks = phone_ticks(40)
    clip = probe_clip(make_clip(tmp_path / "in.mov", ticks=ticks, audio=1))
    start, end = Fraction(ticks[10], TICKS_PER_S), Fraction(ticks[30], TICKS_PER_S)
    out, _ = copy(clip, tmp_path / "out.mov", start_s=start, end_s=end)
    assert frame_times(out) == [Fraction(tick - ticks[10], TICKS_PER_S) for tick in ticks[10:30]]
    (before,), (after,) = packets(clip.path, "audio"), packets(out.path, "audio")
    moved = {content: pts for pts, _, _, content in before}
    shift = round(start * 44100)
    assert all(moved[content] - shift == pts for pts, _, _, content in after)
    assert after[0][0] <= 0 < after[0][0] + 3 * 1024  # sound from the first picture on
    assert abs(after[-1][0] / 44100 - float(end - start)) < 2 * 1024 / 44100


def test_empty_range_leaves_nothing(sdr_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(AsledError, match="no frames"):
        copy(probe_clip(sdr_clip), tmp_path / "out.mov", start_s=Fraction(50))
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------- choice of encoder


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "encoder", "written"),
    [
        ("yuv420p", "auto", "libx264", "yuv420p"),
        ("yuvj420p", "auto", "libx264", "yuvj420p"),
        ("nv12", "auto", "libx264", "nv12"),
        ("nv12", "hevc", "libx265", "yuv420p"),
        ("yuv420p10le", "auto", "libx265", "yuv420p10le"),
        ("p010le", "auto", "libx265", "yuv420p10le"),
        ("yuv422p10le", "auto", "libx265", "yuv422p10le"),
        ("yuva444p12le", "auto", "libx265", "yuv444p12le"),
        ("yuva444p12le", "prores", "prores_ks", "yuva444p10le"),
        ("yuv420p", "prores", "prores_ks", "yuv422p10le"),
        ("yuv420p10le", "av1", "libsvtav1", "yuv420p10le"),
        ("yuv420p10le", "h264", "libx264", "yuv420p10le"),
        ("yuv420p10le", "hevc_nvenc", "hevc_nvenc", "p010le"),
        ("gbrp", "hevc", "libx265", "gbrp"),
        ("rgb24", "auto", "libx264", "yuv444p"),
    ],
)
def test_encoder_and_format(sdr_clip: Path, pix_fmt: str, codec: str, encoder: str, written: str) -> None:
    frame = av.VideoFrame(64, 48, pix_fmt)
    depth = max(c.bits for c in frame.format.components)
    clip = replace(probe_clip(sdr_clip), pix_fmt=pix_fmt, bit_depth=depth)
    chosen = choose_encoder(clip, EncodeConfig(codec=codec))
    assert (chosen.name, chosen.pix_fmt) == (encoder, written)


def test_odd_size_is_never_halved(sdr_clip: Path, tmp_path: Path) -> None:
    clip = replace(probe_clip(sdr_clip), width=65)
    assert choose_encoder(clip, EncodeConfig()).pix_fmt == "yuv444p"
    assert choose_encoder(replace(clip, width=64, height=49), EncodeConfig()).pix_fmt == "yuv422p"
    assert choose_encoder(clip, EncodeConfig(codec="ffv1")).pix_fmt == "yuv420p"
    odd = probe_clip(make_clip(tmp_path / "in.mkv", codec="ffv1", size=(65, 49), ticks=TICKS[:3]))
    out, _ = copy(odd, tmp_path / "out.mov")
    assert (out.width, out.height, out.pix_fmt) == (65, 49, "yuv444p")


@pytest.mark.parametrize(
    ("config", "suffix", "sentence"),
    [
        (EncodeConfig(codec="mpeg5"), ".mov", "no video encoder called 'mpeg5'"),
        (EncodeConfig(codec="aac"), ".mov", "is no video encoder but one for audio"),
        (EncodeConfig(pix_fmt="rgb24"), ".mov", "cannot write 'rgb24'"),
        (EncodeConfig(options={"presett": "x"}), ".mov", "no option called 'presett'"),
        (EncodeConfig(preset="quick"), ".mov", "does not start with yuv420p, preset=quick, crf=16"),
        (EncodeConfig(codec="prores", crf=3), ".mov", "prores_ks has no crf"),
        (EncodeConfig(crf=52), ".mov", "--crf 52 is out of the range of libx264. Expected 0 .best. to 51"),
        (EncodeConfig(codec="hevc", crf=-1), ".mov", "--crf -1 is out of the range of libx265"),
        (EncodeConfig(codec="av1", crf=0), ".mp4", "--crf 0 is out of the range of libsvtav1"),
        (EncodeConfig(codec="prores"), ".mp4", "mp4 cannot hold prores"),
        (EncodeConfig(codec="av1", preset="11"), ".mov", "mov cannot hold av1"),
        (EncodeConfig(codec="ffv1"), ".mov", "mov cannot hold ffv1"),
    ],
)
def test_impossible_encoding_is_refused_before_any_work(
    sdr_clip: Path, tmp_path: Path, config: EncodeConfig, suffix: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        ClipWriter(probe_clip(sdr_clip), tmp_path / f"out{suffix}", config)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------ all or nothing


def test_output_that_must_not_be_written(sdr_clip: Path, tmp_path: Path) -> None:
    existing = tmp_path / "old.mov"
    existing.write_bytes(b"old")
    link = tmp_path / "link.mov"
    link.symlink_to(sdr_clip)
    cases = [
        (existing, "exists already"),
        (sdr_clip, "is an input too"),
        (link, "is an input too"),
        (sdr_clip.parent / ".." / sdr_clip.parent.name / sdr_clip.name, "is an input too"),
        (tmp_path / "nowhere" / "a.mov", "does not exist"),
        (tmp_path / "a.avi", "has '.avi', expected one of"),
        (tmp_path / "a", "has no ending"),
    ]
    for out, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            check_output(out, [sdr_clip], overwrite=False)
    with pytest.raises(UsageError, match="is an input too"):
        check_output(sdr_clip, [sdr_clip], overwrite=True)
    (tmp_path / "folder.mov").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path / "folder.mov", [sdr_clip], overwrite=True)
    check_output(existing, [sdr_clip], overwrite=True)
    check_output(tmp_path / "new.mov", [sdr_clip], overwrite=False)


def test_folder_that_cannot_be_written(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="permission denied"):
        check_output(tmp_path / "a.mov", [sdr_clip], overwrite=False)


def test_file_is_private_until_it_is_complete(sdr_clip: Path, tmp_path: Path) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    with ClipReader(clip) as frames, ClipWriter(clip, out, FAST) as writer:
        for frame in frames:
            writer.write(frame, None)
            (part,) = tmp_path.iterdir()
            assert part.name.startswith(".out.mov.part-")
            assert stat.S_IMODE(part.stat().st_mode) == 0o700
            assert {stat.S_IMODE(file.stat().st_mode) for file in part.iterdir()} <= {0o600}
    umask = os.umask(0)
    os.umask(umask)
    assert list(tmp_path.iterdir()) == [out]
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask
    assert writer.frames_written == len(TICKS)


class DeliberateError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 7])
def test_exception_leaves_the_old_file(sdr_clip: Path, tmp_path: Path, after: int) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    out.write_bytes(b"precious")
    with (
        pytest.raises(DeliberateError),
        ClipReader(clip) as frames,
        ClipWriter(clip, out, replace(FAST, overwrite=True)) as writer,
    ):
        for frame, _ in zip(frames, range(after), strict=False):
            writer.write(frame, None)
        raise DeliberateError
    assert out.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [out]
    writer.abort()
    writer.close()
    assert list(tmp_path.iterdir()) == [out]


def test_overwriting_replaces_and_closing_twice_is_harmless(sdr_clip: Path, tmp_path: Path) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    out.write_bytes(b"old")
    with ClipReader(clip) as frames, ClipWriter(clip, out, replace(FAST, overwrite=True)) as writer:
        for frame in frames:
            writer.write(frame, None)
        writer.close()
        writer.close()
    writer.abort()
    assert len(frame_times(probe_clip(out))) == len(TICKS) and leftovers(tmp_path) == []


def test_full_disk_is_told(sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    clip = probe_clip(sdr_clip)
    no_space = pytest.raises(AsledError, match="No space left on device")
    with no_space, ClipReader(clip) as frames, ClipWriter(clip, tmp_path / "out.mov", FAST) as writer:
        for frame in frames:
            writer.write(frame, None)
            monkeypatch.setattr("asled_cli.video.encode.segments.PacketFile.add", full)
    assert list(tmp_path.iterdir()) == []


def test_order_of_frames_is_enforced(sdr_clip: Path, tmp_path: Path) -> None:
    clip = probe_clip(sdr_clip)
    late = pytest.raises(ValueError, match="follows one at tick")
    with ClipReader(clip) as frames, late, ClipWriter(clip, tmp_path / "out.mov", FAST) as writer:
        frame = next(frames)
        writer.write(frame, None)
        writer.write(frame, None)


def test_last_frame_of_a_cut_off_clip_does_not_freeze(sdr_clip: Path, tmp_path: Path) -> None:
    clip = replace(probe_clip(sdr_clip), duration_s=Fraction(60), index_complete=False)
    out, _ = copy(clip, tmp_path / "out.mov")
    assert out.duration_s is not None and out.duration_s < 1
