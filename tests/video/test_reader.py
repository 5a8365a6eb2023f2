from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from factories.clips import (
    BT709,
    HLG,
    LENS,
    TICKS_PER_S,
    UNTAGGED,
    hide_start,
    locate,
    make_clip,
    patch,
    phone_ticks,
    planes,
)

from asled_cli.errors import InputError
from asled_cli.video.decode import track_decoder, video_tracks
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times, read_picture_runs, read_runs
from asled_cli.video.decode.video_tracks import count_video_tracks
from asled_cli.video.frames import Clip, ColorTags, Frame

TICKS = phone_ticks(16)


def read(clip: Clip, **options: float) -> list[Frame]:
    with ClipReader(clip, **options) as frames:
        return list(frames)


def test_facts_of_a_phone_clip(hlg_clip: Path) -> None:
    clip = probe_clip(hlg_clip)
    assert (clip.codec, clip.width, clip.height, clip.pix_fmt) == ("hevc", 64, 48, "yuv420p10le")
    assert (clip.bit_depth, clip.color, clip.rotation) == (10, HLG, -90)
    assert clip.time_base == Fraction(1, TICKS_PER_S) and clip.start_s == 0
    assert clip.duration_s == Fraction(TICKS[-1] + 20, TICKS_PER_S) and clip.frame_estimate == len(TICKS)
    assert clip.focal_35mm == 24 and clip.readout_s == pytest.approx(0.0053)
    assert clip.lens_model == LENS["com.apple.quicktime.camera.lens_model"]
    assert clip.metadata["com.apple.quicktime.model"] == "Phone 1"
    assert clip.dolby_vision and clip.is_hdr and clip.has_audio
    assert [str(track) for track in clip.other_tracks] == ["track 1 (audio, aac)", "track 2 (audio, apac)"]
    assert any("Dolby Vision" in warning for warning in clip.warnings)


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_every_frame_comes_in_order_with_its_time(tmp_path: Path, codec: str, suffix: str) -> None:
    clip = probe_clip(make_clip(tmp_path / f"a{suffix}", codec=codec))
    frames = read(clip)
    assert [frame.index for frame in frames] == list(range(len(TICKS)))
    assert [frame.time for frame in frames] == frame_times(clip)
    if suffix != ".mkv":  # which counts in milliseconds
        assert [frame.pts for frame in frames] == TICKS


def test_edit_list_hides_frames_for_decoder_and_demuxer_alike(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "cut.mov")
    hide_start(path, TICKS[5])
    clip = probe_clip(path)
    expected = [tick - TICKS[5] for tick in TICKS[5:]]
    assert [frame.pts for frame in read(clip)] == expected
    assert frame_times(clip) == [Fraction(tick, TICKS_PER_S) for tick in expected]
    assert clip.frame_estimate == len(TICKS) - 5


def test_range_is_half_open_and_equals_the_whole(sdr_clip: Path) -> None:
    clip = probe_clip(sdr_clip)
    frames = read(clip)
    start, end = frames[5].time, frames[12].time
    part = read(clip, start_s=start, end_s=end)
    assert [frame.time for frame in part] == [frame.time for frame in frames[5:12]]
    assert [frame.index for frame in part] == list(range(7))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(part, frames[5:12], strict=True))
    assert read(clip, start_s=99) == []


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_short_runs_equal_the_whole(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "bframes=3:keyint=6:open-gop=1"} if codec == "libx265" else {}
    clip = probe_clip(make_clip(tmp_path / "a.mov", codec=codec, options=options))
    frames = read(clip)
    starts = [
        frames[11].time,
        Fraction(0),
        frames[5].time - Fraction(1, 10_000),
        frames[-2].time,
        Fraction(9),
    ]
    starts += [frame.time for frame in frames]
    for start, run in zip(starts, read_runs(clip, starts, 4), strict=True):
        expected = [frame for frame in frames if frame.time >= start][:4]
        assert [frame.time for frame in run] == [frame.time for frame in expected]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(run, expected, strict=True))


def test_runs_of_one_group_of_pictures_are_read_without_going_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = probe_clip(make_clip(tmp_path / "a.mov", codec="libx264", options={"bf": "0"}))
    whole, sought = read(clip), []
    seek = track_decoder.TrackDecoder._seek
    monkeypatch.setattr(
        track_decoder.TrackDecoder, "_seek", lambda self, start: sought.append(start) or seek(self, start)
    )
    starts = [whole[i].time for i in (1, 4, 6, 10, 13, 12)]
    runs = list(read_runs(clip, starts, 2))
    assert [run[0].time for run in runs] == starts
    assert sought == [starts[0], starts[3], starts[5]]  # a later group of eight, and a step back


def test_pictures_are_converted_where_they_are_needed(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "a.mov", codec="libx264"))
    times = frame_times(clip)
    (run,) = read_picture_runs(clip, [times[2]], 3)
    assert [picture.time for picture in run] == times[2:5]
    assert np.array_equal(run[1].frame(None).rgb, read(clip)[3].rgb)


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_pictures_reduced_on_the_way_equal_full_ones_reduced(
    tmp_path: Path, rotation: int, pix_fmt: str
) -> None:
    clip = probe_clip(
        make_clip(tmp_path / "a.mov", codec="libx264", pix_fmt=pix_fmt, rotation=rotation, smooth=True)
    )
    full = read(clip)[3].rgb
    for factor in (2, 3):
        size = full.shape[1] // factor, full.shape[0] // factor
        (run,) = read_picture_runs(clip, [frame_times(clip)[3]], 1)
        frame = run[0].frame(size)
        expected = cv2.resize(full, size, interpolation=cv2.INTER_AREA).astype(float)
        assert frame.rgb.shape == expected.shape and frame.source is None
        weights = np.array([0.2126, 0.7152, 0.0722])  # of luma: the chroma of 4:2:0 is enlarged otherwise
        assert np.abs((frame.rgb - expected) @ weights).mean() < 65535 / 500
    whole = next(read_picture_runs(clip, [frame_times(clip)[3]], 1))[0].frame(clip.seen_size)
    assert np.array_equal(whole.rgb, full) and whole.source is not None


# -------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize(
    ("color", "red", "blue"),
    [
        (ColorTags(1, 1, 1, 1), 0.2126, 0.0722),
        (ColorTags(1, 1, 1, 2), 0.2126, 0.0722),
        (ColorTags(6, 6, 6, 1), 0.299, 0.114),
        (ColorTags(9, 9, 16, 1), 0.2627, 0.0593),
        (UNTAGGED, 0.299, 0.114),  # small, so BT.601
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le"])
def test_rgb_equals_the_equations(
    tmp_path: Path, color: ColorTags, red: float, blue: float, pix_fmt: str
) -> None:
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", pix_fmt=pix_fmt, color=color, ticks=[0], smooth=True)
    clip = probe_clip(path)
    assert clip.color == color
    frame = read(clip)[0]
    assert frame.source is not None
    bits = clip.bit_depth
    y, cb, cr = (plane / 2.0 ** (bits - 8) for plane in planes(frame.source))
    if color.range == 2:
        y, cb, cr = (plane * 2.0 ** (bits - 8) / (2**bits - 1) for plane in (y, cb, cr))
        cb, cr = (plane - 2 ** (bits - 1) / (2**bits - 1) for plane in (cb, cr))
    else:
        y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    expected = np.stack([r, g, b], axis=-1).clip(0, 1) * 65535
    assert np.abs(frame.rgb - expected).max() < 8  # swscale calculates with 14-bit coefficients


def test_untagged_clip_is_taken_by_its_size(sdr_clip: Path) -> None:
    clip = replace(probe_clip(sdr_clip), color=UNTAGGED)
    assert clip.resolved_color == ColorTags(6, 2, 2, 1)
    assert replace(clip, width=1280, height=720).resolved_color.matrix == 1
    assert replace(clip, width=1080, height=1920).resolved_color.matrix == 1
    assert replace(clip, pix_fmt="yuvj420p").resolved_color.range == 2
    assert replace(clip, color=BT709).resolved_color == BT709


# ------------------------------------------------------------------------------------- unusable files


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def empty_movie(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, width=64, height=48, pix_fmt="yuv420p")
        out.start_encoding()
        out.mux(stream.encode(None))
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "does not exist"),
    "folder": (folder, "is a folder"),
    "zero bytes": (lambda path: written(path, b""), "is empty (0 bytes)"),
    "text": (lambda path: written(path, b"hello " * 99), "is not a video"),
    "one byte": (lambda path: written(path, b"h"), "is not a video"),
    "no index": (lambda path: cut(make_clip(path), 0.6), "was not finished"),
    "no video": (sound_only, "has no video track, only: audio"),
    "no frames": (empty_movie, "holds no frames"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_unusable_file_has_its_sentence(tmp_path: Path, name: str) -> None:
    make, sentence = BAD[name]
    path = make(tmp_path / "bad.mov")
    with pytest.raises(InputError) as caught:
        probe_clip(path)
    assert sentence in caught.value.message and str(path) in caught.value.message


def test_unreadable_file(sdr_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="permission denied"):
        probe_clip(sdr_clip)


def test_absurd_size_is_refused(sdr_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_tracks, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(InputError):
        probe_clip(sdr_clip)


# -------------------------------------------------------------------------------------- odd but usable


def test_cover_is_not_the_video(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", cover=True, movflags="faststart")
    clip = probe_clip(path)
    assert count_video_tracks(path) == 1 and clip.width == 64
    assert [track.kind for track in clip.other_tracks] == ["picture"]
    with pytest.raises(InputError, match="no track 1"):
        probe_clip(path, track=1)


def test_two_cameras_in_one_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "dual.mov", tracks=2)
    assert count_video_tracks(path) == 2
    first, second = (read(probe_clip(path, track)) for track in (0, 1))
    assert [frame.pts for frame in first] == [frame.pts for frame in second] == TICKS
    assert not np.array_equal(first[3].rgb, second[3].rgb)


def test_interlaced_and_alpha_are_noted(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    fields = probe_clip(make_clip(tmp_path / "i.mov", options=options, ticks=TICKS[:4]))
    assert fields.interlaced and "interlaced" in fields.warnings[0]
    glass = probe_clip(make_clip(tmp_path / "a.mkv", codec="ffv1", pix_fmt="yuva420p", ticks=TICKS[:2]))
    assert glass.alpha and "transparency" in glass.warnings[0]


def test_odd_size(tmp_path: Path) -> None:
    clip = probe_clip(make_clip(tmp_path / "a.mov", pix_fmt="yuv444p", size=(65, 49), ticks=TICKS[:3]))
    assert [frame.rgb.shape for frame in read(clip)] == [(49, 65, 3)] * 3


# --------------------------------------------------------------------------------------- damaged media


def test_media_cut_off_is_told(tmp_path: Path) -> None:
    ticks = phone_ticks(40)
    path = make_clip(tmp_path / "a.mov", ticks=ticks, movflags="faststart")
    clip = probe_clip(cut(path, 0.5))
    with ClipReader(clip) as frames:
        times = [frame.pts for frame in frames]
        assert 0 < len(times) < 40 and times == ticks[: len(times)]
        assert frames.problems.ended_early
        assert "incomplete" in frames.problems.sentences("a.mov")[-1]
    with av.open(str(path)) as container:  # what the decoder did not give is counted
        left = sum(1 for packet in container.demux(video=0) if packet.size)
    assert len(times) + frames.problems.lost_frames + frames.problems.damaged_packets >= left


def test_pictures_that_never_come_are_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mov", options={"bf": "2", "g": "6"})
    clip, lost = probe_clip(path), 5
    with ClipReader(clip) as frames:
        list(frames)
        assert not frames.problems.lost_frames
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    hidden = packets[lost]  # its units become ones that every decoder passes over
    patch(path, hidden.pos, (hidden.size - 4).to_bytes(4, "big") + b"\x1e" + bytes(hidden.size - 5))
    with ClipReader(clip) as frames:
        times = [frame.pts for frame in frames]
        assert frames.problems.lost_frames == 1
        assert "cannot be decoded" in " ".join(frames.problems.sentences("a.mov"))
    assert hidden.pts not in times


def packet_positions(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size]


def test_damaged_packet_is_counted_and_skipped(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mov", options={"bf": "0", "g": "4"})
    clip = probe_clip(path)
    patch(path, packet_positions(path)[6], b"\x7f\xff\xff\xff")  # length of the first unit in the packet
    with ClipReader(clip) as frames:
        times = [frame.pts for frame in frames]
        assert frames.problems.damaged_packets == 1
    assert set(times) <= set(TICKS) and len(times) >= len(TICKS) - 1


def test_too_much_damage_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_decoder, "MAX_FAILURES", 5)
    path = make_clip(tmp_path / "a.mov", options={"bf": "0"})
    clip = probe_clip(path)
    for position in packet_positions(path)[4:]:
        patch(path, position, b"\x7f\xff\xff\xff")
    with pytest.raises(InputError, match="5 packets in a row"), ClipReader(clip) as frames:
        list(frames)


def test_repeated_times_are_dropped_and_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mov", options={"bf": "0"})
    table = locate(path.read_bytes(), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")[-1] + 16
    patch(path, table + 3 * 8 + 4, bytes(4))  # the fourth step between two frames
    clip = probe_clip(path)
    with ClipReader(clip) as frames:
        times = [frame.time for frame in frames]
        assert frames.problems.repeated_timestamps == 1
    assert times == sorted(set(times))


def test_frames_without_times_get_some(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    with av.open(str(path), "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=30, width=64, height=48, pix_fmt="yuv420p")
        for number in range(5):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    times = [frame.time for frame in read(probe_clip(path))]
    assert len(times) == 5 and times == sorted(set(times))


def test_change_of_size_is_refused(tmp_path: Path) -> None:
    parts = []
    for size in ((64, 48), (96, 64)):
        path = make_clip(tmp_path / "part.ts", size=size, ticks=TICKS[:4], options={"bf": "0"})
        parts.append(path.read_bytes())
    both = written(tmp_path / "both.ts", b"".join(parts))
    with pytest.raises(InputError, match="changes its picture from 64x48 yuv420p to 96x64 yuv420p"):
        read(probe_clip(both))


def test_reading_stops_cleanly_midway(sdr_clip: Path) -> None:
    frames = ClipReader(probe_clip(sdr_clip))
    next(frames)
    frames.close()
    frames.close()
    assert list(frames) == []


def test_locate_finds_nested_boxes(sdr_clip: Path) -> None:
    data = sdr_clip.read_bytes()
    assert data[locate(data, b"moov", (b"trak", 1), b"tkhd")[-1] + 4 :][:4] == b"tkhd"
