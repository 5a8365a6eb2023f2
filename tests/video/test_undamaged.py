"""`asled verify --decode` finds nothing in an untouched file, whatever its container and codecs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from factories.copies import copy
from factories.damage import FRAMES, Picture, Recipe, cook, panning

from asled_cli.video.preserve.verify import verify

PLAIN = Recipe(subtitles=None, chapters=(), attachment=b"", sounds=1, metadata={})
FRAMES_ONLY = PLAIN.but(ticks=list(range(FRAMES)), clock=30)  # for formats that count frames
HEVC = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}
CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "mp4 h264 aac": (".mp4", {}),
    "m4v h264 aac": (".m4v", {}),
    "mov h264 pcm": (".mov", {"sound_codec": "pcm_s16le"}),
    "mov h264 alac": (".mov", {"sound_codec": "alac"}),
    "mkv h264 opus": (".mkv", {"sound_codec": "libopus", "sound_rate": 48000}),
    "mkv h264 mp3": (".mkv", {"sound_codec": "libmp3lame"}),
    "mp4 h264 mp3": (".mp4", {"sound_codec": "libmp3lame"}),
    "ts h264 aac": (".ts", {}),
    "ts h264 ac3": (".ts", {"sound_codec": "ac3"}),
    "mp4 hevc ac3": (".mp4", {"codec": "libx265", "options": HEVC, "sound_codec": "ac3"}),
    "mkv hevc 10 bit flac": (
        ".mkv", {"codec": "libx265", "options": HEVC, "pix_fmt": "yuv420p10le", "sound_codec": "flac"},
    ),
    "webm vp9 opus": (
        ".webm", {
            "codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "crf": "10"},
            "sound_codec": "libopus", "sound_rate": 48000,
        },
    ),
    "mkv vp9": (
        ".mkv", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}, "sounds": 0},
    ),
    "avi mpeg4 mp3": (".avi", {"codec": "mpeg4", "options": {"b": "4M"}, "sound_codec": "libmp3lame"}),
    "avi mjpeg pcm": (
        ".avi", {"codec": "mjpeg", "options": {}, "pix_fmt": "yuvj420p", "sound_codec": "pcm_s16le"},
    ),
    "avi huffyuv": (".avi", {"codec": "huffyuv", "options": {}, "pix_fmt": "yuv422p", "sounds": 0}),
    "mov prores pcm": (
        ".mov", {"codec": "prores_ks", "options": {}, "pix_fmt": "yuv422p10le", "sound_codec": "pcm_s24le"},
    ),
    "mkv ffv1 flac": (".mkv", {"codec": "ffv1", "options": {}, "sound_codec": "flac"}),
    "mkv ffv1 rgb": (
        ".mkv", {"codec": "ffv1", "options": {}, "pix_fmt": "gbrp10le", "sounds": 0, "matrix": 0},
    ),
    "mkv ffv1 12 bit": (".mkv", {"codec": "ffv1", "options": {}, "pix_fmt": "yuv444p12le", "sounds": 0}),
    "mkv ffv1 grey": (".mkv", {"codec": "ffv1", "options": {}, "pix_fmt": "gray", "sounds": 0}),
    "mkv mpeg2 ac3": (".mkv", {"codec": "mpeg2video", "options": {"b": "6M"}, "sound_codec": "ac3"}),
    "ts mpeg2 mp2": (".ts", {"codec": "mpeg2video", "options": {"b": "6M"}, "sound_codec": "mp2"}),
    "mov mjpeg": (".mov", {"codec": "mjpeg", "options": {}, "pix_fmt": "yuvj422p"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", CODECS)
def test_an_untouched_file_passes(kind: str, tmp_path: Path) -> None:
    suffix, changes = CODECS[kind]
    counts_frames = suffix == ".avi" or changes.get("codec") == "mpeg2video"
    recipe = (FRAMES_ONLY if counts_frames else PLAIN).but(**changes)
    source = cook(recipe, tmp_path / f"in{suffix}")
    out = Path(shutil.copy(source, tmp_path / f"out{suffix}"))
    assert [check for check in verify(source, out, decode=True) if not check.same] == []
    written = copy(source, tmp_path / "written.mkv")  # encoded again, usually with another codec
    assert bad_pictures(source, written) == []


def bad_pictures(source: Path, out: Path) -> list[tuple[str, str]]:
    checks = [check for check in verify(source, out, decode=True) if not check.same]
    return [(check.name, check.found) for check in checks if check.name.startswith(("picture ", "pictures"))]


def blurred(picture: Picture, width: int = 13) -> Picture:
    return np.asarray(cv2.blur(picture, (width, 1)), np.uint8)


def noisy(sigma: float) -> Callable[[Picture], Picture]:
    random = np.random.default_rng(0)
    return lambda p: np.clip(p + random.normal(0, sigma, p.shape), 0, 255).astype(np.uint8)


def dimmed(pictures: list[Picture], gains: Any) -> list[Picture]:
    return [np.clip(p * gain, 0, 255).astype(np.uint8) for p, gain in zip(pictures, gains, strict=True)]


STILL = [panning()[0]] * FRAMES
# What is there to be seen, and what the camera made of it.
SCENES: dict[str, tuple[list[Picture], Callable[[Picture], Picture]]] = {
    "motion blur": (panning(), blurred),
    "fast pan": (panning(speed=20), lambda p: blurred(p, 21)),
    "slow pan, low light": (dimmed(panning(speed=1), [0.2] * FRAMES), noisy(8)),
    "static": (STILL, lambda p: p),
    "static and noisy": (STILL, noisy(12)),
    "noisy and blurred": (panning(), lambda p: noisy(10)(blurred(p))),
    "black": ([np.zeros_like(p) for p in STILL], noisy(3)),
    "fade from black": (dimmed(panning(), np.linspace(0, 1, FRAMES)), blurred),
    "slow fade of a still": (dimmed(STILL, np.linspace(0.9, 1, FRAMES)), noisy(4)),
    "flash": (dimmed(panning(), [1.9 if n in (4, 9) else 1.0 for n in range(FRAMES)]), blurred),
    "cut to black": (dimmed(panning(), [1.0] * 6 + [0.0] * (FRAMES - 6)), blurred),
    "cut": (panning()[:8] + [p[::-1, ::-1] for p in panning()[:8]], blurred),
}


@pytest.mark.parametrize("crf", ["14", "34"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_without_its_blur_and_noise_passes(scene: str, crf: str, tmp_path: Path) -> None:
    """Better than any method can do; and a source compressed so far that detail and motion are lost."""
    truth, filming = SCENES[scene]
    options = {"preset": "veryfast", "crf": crf}
    source = cook(
        PLAIN.but(pictures=[filming(p) for p in truth], options=options, sounds=0), tmp_path / "a.mp4"
    )
    out = cook(PLAIN.but(pictures=truth, sounds=0), tmp_path / "b.mp4")
    assert bad_pictures(source, out) == []
