"""Files that are nearly what is asked for are named as what they are, with what to do."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from factories.clips import make_clip, picture

from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import match_clips
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.video_tracks import count_video_tracks
from asled_cli.video.open_output import open_output


def cinematic(path: Path, size: tuple[int, int], pix_fmt: str) -> Path:
    """A clip of 192x96 with a second video track of another kind beside it."""
    with open_output(path) as out:
        films = [
            out.add_stream("ffv1", rate=30, width=width, height=height, pix_fmt=kind)
            for (width, height), kind in (((192, 96), "yuv420p"), (size, pix_fmt))
        ]
        for film in films:
            context = film.codec_context
            for index in range(2):
                frame = picture("yuv420p", (context.width, context.height), index)
                frame = frame.reformat(format=context.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 30)
                out.mux(film.encode(frame))
            out.mux(film.encode(None))
    return path


@pytest.mark.parametrize(("size", "pix_fmt"), [((192, 96), "gray"), ((64, 32), "yuv420p")])
def test_a_depth_map_is_no_ultra_clip(size: tuple[int, int], pix_fmt: str, tmp_path: Path) -> None:
    clip = cinematic(tmp_path / "a.mkv", size, pix_fmt)
    assert count_video_tracks(clip) == 1
    with pytest.raises(InputError, match=r"is a depth map .* Name the ultra-wide clip as the second file"):
        match_clips(DeblurConfig(clip, clip))


def test_a_second_lens_is_one(tmp_path: Path) -> None:
    assert count_video_tracks(cinematic(tmp_path / "a.mkv", (128, 64), "yuv420p")) == 2


def test_a_mirrored_clip_is_refused(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "a.mov", ticks=[0, 20], rotation=0)
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix comes after 40 bytes
    assert np.frombuffer(bytes(data[at : at + 36]), ">i4").tolist()[0] == 1 << 16
    data[at : at + 4] = np.array([-1 << 16], ">i4").tobytes()
    mirrored = tmp_path / "b.mov"
    mirrored.write_bytes(data)
    assert probe_clip(mirrored).mirrored and not probe_clip(plain).mirrored
    for pair in ((plain, mirrored), (mirrored, plain)):
        with pytest.raises(InputError, match=r"b\.mov is shown mirrored"):
            match_clips(DeblurConfig(*pair))
