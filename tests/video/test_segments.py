"""Segments: closed, exact in time, independent of interruptions."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from factories.clips import TICKS_PER_S, make_clip, phone_ticks, planes

from asled_cli.errors import AsledError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.concat import _decoding_times
from asled_cli.video.encode.encoder import EncodeConfig, choose_encoder, open_encoder
from asled_cli.video.encode.segments import Segment, is_intact, read_packets
from asled_cli.video.encode.writer import ClipWriter, segment_length
from asled_cli.video.frames import Clip
from asled_cli.video.preserve.verify import verify

TICKS = phone_ticks(23)
QUALITY = {"h264": {"qp": "0"}, "hevc": {"x265-params": "lossless=1:pools=1:frame-threads=1"}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("segments") / "in.mov"
    return probe_clip(make_clip(path, ticks=TICKS, audio=1, options={"qp": "0"}))


def lossless(codec: str) -> EncodeConfig:
    return EncodeConfig(codec=codec, preset="veryfast", options=QUALITY[codec], overwrite=True)


def write(clip: Clip, out: Path, length: int, codec: str = "h264", stop: int | None = None) -> list[Segment]:
    """Write at most `stop` frames in segments kept next to `out`; continue after those that exist."""
    folder = out.with_suffix(".segments")
    folder.mkdir(exist_ok=True)
    with ClipWriter(clip, out, lossless(codec), folder=folder, segment=length) as writer:
        with ClipReader(clip) as frames:
            for frame, _ in zip(frames, range(stop or len(TICKS)), strict=False):
                writer.write(frame, None)
        if stop is not None:
            writer.abort()
    return writer.segments


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("length", [1, 2, 5, 22, 23, 240])
def test_any_length_gives_the_same_pictures_at_the_same_times(
    clip: Clip, tmp_path: Path, length: int, codec: str
) -> None:
    out = tmp_path / "out.mov"
    segments = write(clip, out, length, codec)
    assert [len(segment.ticks) for segment in segments] == [
        min(length, len(TICKS) - start) for start in range(0, len(TICKS), length)
    ]
    assert frame_times(probe_clip(out)) == [Fraction(tick, TICKS_PER_S) for tick in TICKS]
    assert [check for check in verify(clip.path, out, decode=True) if not check.same] == []
    with ClipReader(clip) as before, ClipReader(probe_clip(out)) as after:
        for old, new in zip(before, after, strict=True):
            assert old.source is not None and new.source is not None
            assert all(map(np.array_equal, planes(old.source), planes(new.source)))


def test_work_that_was_broken_off_goes_on_to_the_same_file(clip: Clip, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mov", tmp_path / "parts.mov"
    write(clip, whole, 5)
    done = write(clip, parts, 5, stop=13)
    assert [len(segment.ticks) for segment in done] == [5, 5] and not parts.exists()
    folder = parts.with_suffix(".segments")
    assert all(is_intact(folder, segment) for segment in done)
    start = done[-1].end * clip.time_base
    with (
        ClipReader(clip, start_s=start) as frames,
        ClipWriter(clip, parts, lossless("h264"), folder=folder, done=done, segment=5) as writer,
    ):
        for frame in frames:
            writer.write(frame, None)
    assert parts.read_bytes() == whole.read_bytes()


def test_one_segment_holds_what_one_encoder_gives(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    (segment,) = write(clip, out, 240)
    ends = dict(zip(segment.ticks, [*segment.ticks[1:], segment.end], strict=True))
    with av.open(str(tmp_path / "direct.mov"), "w") as container, ClipReader(clip) as frames:
        stream = open_encoder(container, clip, choose_encoder(clip, lossless("h264")))
        for frame in frames:
            picture = frame.source
            assert picture is not None
            picture.pts, picture.time_base, picture.pict_type = frame.pts, clip.time_base, 0
            picture.duration = ends[frame.pts] - frame.pts
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert video_packets(out) == video_packets(tmp_path / "direct.mov")


def video_packets(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [
            (p.pts * p.time_base, p.dts * p.time_base, bytes(p)) for p in container.demux(video=0) if p.size
        ]


def test_packets_come_back_as_they_were(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    segments = write(clip, out, 8)
    for segment in segments:
        packets = list(read_packets(out.with_suffix(".segments") / segment.file))
        assert sorted(packet.pts for packet in packets) == list(segment.ticks)
        assert packets[0].is_keyframe and packets[0].pts == segment.ticks[0]
        last = max(packets, key=lambda packet: packet.pts)
        assert last.pts + last.duration == segment.end


@pytest.mark.parametrize("kind", ["cut", "flipped", "no packets", "gone"])
def test_damage_is_noticed(kind: str, clip: Clip, tmp_path: Path) -> None:
    segment = write(clip, tmp_path / "out.mov", 8, stop=12)[0]
    folder = tmp_path / "out.segments"
    path = folder / segment.file
    data = path.read_bytes()
    broken = {
        "cut": data[:-3],
        "flipped": data[:200] + b"\0\1" + data[202:],
        "no packets": b"hello",
        "gone": b"",
    }
    path.write_bytes(broken[kind])
    if kind == "gone":
        path.unlink()
    assert not is_intact(folder, segment)
    if kind in ("cut", "no packets"):
        with pytest.raises(AsledError, match="is damaged"):
            list(read_packets(path))


def test_decoding_times_rise_and_never_come_after_the_picture() -> None:
    draw = random.Random(5)
    for _ in range(200):
        segments, tick = [], 0
        for _ in range(draw.randint(1, 4)):
            ticks = [tick := tick + draw.randint(1, 40) for _ in range(draw.randint(1, 9))]
            segments.append(
                Segment("", tuple(ticks), tick + 20, 0, "", draw.randint(0, min(3, len(ticks) - 1)))
            )
        times = list(_decoding_times(segments))
        shown = [tick for segment in segments for tick in segment.ticks]
        assert len(times) == len(shown) and all(a < b for a, b in pairwise(times))
        depth = min(max(segment.reorder for segment in segments), len(shown) - 1)
        # A packet comes at most `depth` places before its turn: it is decoded before it is shown.
        assert all(times[place] <= shown[max(0, place - depth)] for place in range(len(times)))


def test_segments_last_about_four_seconds_and_are_even(clip: Clip) -> None:
    for rate, frames in ((30, 120), (25, 100), (Fraction(24000, 1001), 96), (240, 240), (1, 48)):
        assert segment_length(replace(clip, average_rate=Fraction(rate))) == frames
