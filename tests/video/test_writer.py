"""Writing of clips: times, pixels, sound, metadata, ranges."""

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

from asled_cli.errors import AsledError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.writer import ClipWriter, EncodeConfig
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
    # x265 always writes the range, limited if unspecified, which means the same
    assert out.color == color or (codec, out.color) == ("hevc", replace(color, range=1))
    with ClipReader(clip) as before, ClipReader(out) as after:
        for old, new in zip(before, after, strict=True):
            assert old.source is not None and new.source is not None
            assert all(map(np.array_equal, planes(old.source), planes(new.source)))


@pytest.mark.parametrize("size", [(64, 48), (1280, 32)])  # BT.601 and BT.709 where no tag tells
@pytest.mark.parametrize("pix_fmt", ["bgr0", "gbrp10le"])
def test_levels_of_rgb_survive_as_yuv(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    """The file tells range and matrix of planes that were made from RGB."""
    path = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, color=UNTAGGED, ticks=TICKS[:3], size=size
    )
    clip = probe_clip(path)
    change = np.full((*size[::-1], 3), 0.01, np.float32)
    out, _ = copy(clip, tmp_path / "out.mov", LOSSLESS, change)
    with ClipReader(clip) as before, ClipReader(out) as after:
        for old, new in zip(before, after, strict=True):
            wanted = np.clip(old.rgb / 65535 + 0.01, 0, 1)
            error = new.rgb / 65535 - wanted
            assert np.abs(error).max() < 0.02
            assert np.abs(error.mean(axis=(0, 1))).max() < 0.006


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
        cue = av.Packet(b"\0\5hello")
        cue.stream, cue.time_base = text, Fraction(1, 1000)
        cue.pts = cue.dts = 100
        cue.duration = 200
        file.mux(cue)
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
