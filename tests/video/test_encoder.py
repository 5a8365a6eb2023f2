"""Choice of encoder, pixel format and options."""

from dataclasses import replace
from pathlib import Path

import av
import pytest
from factories.clips import (
    make_clip,
)
from factories.copies import copy

from asled_cli.errors import MemoryLimitError, UsageError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.encode import encoder as encoder_module
from asled_cli.video.encode.encoder import choose_encoder
from asled_cli.video.encode.writer import ClipWriter, EncodeConfig

FAST = EncodeConfig(preset="ultrafast")


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
    odd = probe_clip(make_clip(tmp_path / "in.mkv", codec="ffv1", size=(65, 49), ticks=(0, 20, 40)))
    out = probe_clip(copy(odd.path, tmp_path / "out.mov"))
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


def test_an_encoder_that_lacks_memory_is_not_blamed_on_its_options(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_module, "free_memory", lambda: 40 << 20)
    with pytest.raises(MemoryLimitError, match="start the encoder libx264: 40 MiB are left"):
        ClipWriter(probe_clip(sdr_clip), tmp_path / "out.mov", EncodeConfig(preset="quick"))
    assert list(tmp_path.iterdir()) == []
