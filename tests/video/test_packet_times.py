"""Clips whose file format keeps no times of presentation: every picture gets the time it is shown at."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times, read_runs
from asled_cli.video.preserve.inventory import take_inventory

FRAMES, SIZE = 20, (64, 48)
KINDS = {
    "h264.avi": ("libx264", "avi", {"bf": "2", "g": "6"}),
    "plain_h264.avi": ("libx264", "avi", {"bf": "0", "g": "6"}),
    "mpeg4.avi": ("mpeg4", "avi", {"bf": "2", "g": "6", "b": "4000000", "qmax": "2"}),
    "mjpeg.avi": ("mjpeg", "avi", {}),
    "raw.h264": ("libx264", "h264", {"bf": "2", "g": "6"}),
    "live.mkv": ("libx264", "matroska", {"bf": "2", "g": "6"}),
    "mpeg2.ts": ("mpeg2video", "mpegts", {"bf": "2", "g": "6", "b": "4000000"}),
    "usual.mp4": ("libx264", "mp4", {"bf": "2", "g": "6"}),
}


def write_levels(path: Path, codec: str, form: str, options: dict[str, str]) -> None:
    """Write FRAMES frames, each of one grey by which it is known; as a live stream where there is such."""
    live = {"live": "1"} if form == "matroska" else {}
    with av.open(str(path), "w", format=form, options=live) as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(FRAMES):
            grey = np.full((SIZE[1], SIZE[0], 3), 30 + 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize("name", KINDS)
def test_each_picture_has_its_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    codec, form, options = KINDS[name]
    write_levels(path, codec, form, options)
    clip = probe_clip(path)
    assert clip.frame_estimate == FRAMES
    assert clip.start_s == 0 or form == "mpegts"
    expected = [clip.start_s + Fraction(number, 25) for number in range(FRAMES)]
    assert frame_times(clip) == expected
    assert take_inventory(path).times == expected
    with ClipReader(clip) as frames:
        found = [(frame.time, round((float(frame.rgb.mean()) / 257 - 30) / 10)) for frame in frames]
    assert found == list(zip(expected, range(FRAMES), strict=True))
    assert not frames.problems.sentences(name)
    first, run = read_runs(clip, [expected[0], expected[13]], 3)
    assert [frame.time for frame in first] == expected[:3]
    assert [round((float(frame.rgb.mean()) / 257 - 30) / 10) for frame in run] == [13, 14, 15]
    assert [frame.time for frame in run] == expected[13:16]
