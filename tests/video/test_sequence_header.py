"""Chroma location from H.264 and HEVC headers, against FFmpeg's own trace of them."""

import io
import random

import av
import av.logging
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from asled_cli.video.decode.sequence_header import read_chroma_location

VARIANTS = {
    "libx264": (
        "", "chromaloc=2", "chromaloc=5:bframes=3:ref=4", "chromaloc=1:cqm=jvt", "chromaloc=3:interlaced=1",
        "chromaloc=4:overscan=show:videoformat=pal:range=tv", "chromaloc=0:level=3.0:bluray-compat=1",
    ),
    "libx265": (
        "", "chromaloc=2", "chromaloc=5:bframes=4:ref=5", "chromaloc=1:scaling-list=default",
        "chromaloc=3:sar=10", "chromaloc=4:videoformat=ntsc:range=limited",
        "chromaloc=2:amp=1:rect=1:sao=0:ctu=16",
    ),
}  # fmt: skip


def header(
    codec: str, params: str, container: str, pix_fmt: str = "yuv420p"
) -> tuple[str, bytes, int | None]:
    """Return codec, headers of a tiny clip, and the location that FFmpeg reads in them."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        quiet = "log-level=none:" if codec == "libx265" else ""
        stream.options = {f"{codec[3:]}-params": quiet + params, "preset": "ultrafast"}
        for i in range(12):
            picture = np.full((48, 64, 3), 60 + i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)))
        file.mux(stream.encode(None))
    out.seek(0)
    with av.open(out) as file:
        video = file.streams.video[0]
        extradata = bytes(video.codec_context.extradata or b"")
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture(local=True) as lines:
                BitStreamFilterContext("trace_headers", video)
        finally:
            av.logging.set_level(None)
    traced = [text for _, _, text in lines if "chroma_sample_loc_type_top_field" in text]
    return video.codec_context.name, extradata, int(traced[0].rpartition("=")[2]) if traced else None


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
@pytest.mark.parametrize(("codec", "params"), [(c, p) for c, all_ in VARIANTS.items() for p in all_])
def test_the_location_is_the_one_that_ffmpeg_reads(codec: str, params: str, container: str) -> None:
    name, extradata, traced = header(codec, params, container)
    assert extradata and read_chroma_location(name, extradata) == traced
    if "chromaloc" in params and "chromaloc=0" not in params:
        assert traced == int(params.partition("chromaloc=")[2][0])


@pytest.mark.parametrize("codec", list(VARIANTS))
def test_ten_bit_and_444(codec: str) -> None:
    for pix_fmt in ("yuv420p10le", "yuv444p"):
        name, extradata, traced = header(codec, "chromaloc=2", "mp4", pix_fmt)
        assert read_chroma_location(name, extradata) == traced


@pytest.mark.parametrize("codec", list(VARIANTS))
def test_damaged_headers_state_nothing_or_something_possible(codec: str) -> None:
    name, extradata, _ = header(codec, "chromaloc=2", "mp4")
    draw = random.Random(1)
    for _ in range(300):
        damaged = bytearray(extradata[: draw.randrange(1, len(extradata) + 1)])
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        assert read_chroma_location(name, bytes(damaged)) in (None, 0, 1, 2, 3, 4, 5)
    assert read_chroma_location(name, b"") is None and read_chroma_location("vp9", extradata) is None
