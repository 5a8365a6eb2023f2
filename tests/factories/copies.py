"""A clip written again without a change."""

from fractions import Fraction
from pathlib import Path

from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.writer import ClipWriter


def copy(source: Path, out: Path, **cut: Fraction) -> Path:
    clip = probe_clip(source)
    config = EncodeConfig(preset="ultrafast")
    with ClipReader(clip, **cut) as frames, ClipWriter(clip, out, config, **cut) as writer:
        for frame in frames:
            writer.write(frame, None)
    return out
