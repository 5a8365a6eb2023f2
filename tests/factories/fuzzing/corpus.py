"""Tiny intact pairs of clips in many containers and codecs, to be damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from factories.clips import hlg_portrait, make_clip
from factories.damage import Picture, Recipe, cook
from factories.small_pair import RATIO, blurred, make_scene, view

MARK = "TITLE-OF-THE-CLIP-WHICH-IS-LONG-ENOUGH"  # in every container that keeps a title
HEVC = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "10"}
AV1 = {"preset": "12", "svtav1-params": "lp=1"}
OPUS: dict[str, Any] = {"sound_codec": "libopus", "sound_rate": 48000}
INTRA: dict[str, Any] = {"options": {}}
PLAIN: dict[str, Any] = {"subtitles": None, "chapters": (), "attachment": b"", "sounds": 1}
MUTE = PLAIN | {"sounds": 0}
BY_COUNT: dict[str, Any] = PLAIN | {"clock": 30}  # for formats that count frames
FRAGMENTS: dict[str, Any] = {"movflags": "frag_keyframe+empty_moov"}
# Name with its suffix: (size, frames, what differs from `Recipe`).
FORMATS: dict[str, tuple[tuple[int, int], int, dict[str, Any]]] = {
    "h264.mp4": ((128, 96), 8, {"sounds": 1}),
    "fragments.mp4": ((96, 64), 6, {"sounds": 1} | FRAGMENTS),
    "index_first.mov": (
        (128, 96),
        6,
        {"sound_codec": "pcm_s16le", "movflags": "faststart+use_metadata_tags"},
    ),
    "rotated.mov": ((96, 64), 6, PLAIN | {"rotation": 90, "sound_codec": "alac"}),
    "plain.m4v": ((64, 48), 5, PLAIN),
    "hevc.mp4": ((128, 96), 6, PLAIN | {"codec": "libx265", "options": HEVC, "sound_codec": "ac3"}),
    "hevc_10_bit.mkv": (
        (96, 64),
        6,
        {"codec": "libx265", "options": HEVC, "pix_fmt": "yuv420p10le", "sound_codec": "flac"},
    ),
    "h264.mkv": ((128, 96), 8, {"sounds": 1} | OPUS),
    "vp9.webm": ((96, 64), 6, PLAIN | {"codec": "libvpx-vp9", "options": VP9} | OPUS),
    "vp9_mute.mkv": ((48, 32), 5, MUTE | {"codec": "libvpx-vp9", "options": VP9}),
    "av1.mp4": ((96, 64), 4, MUTE | {"codec": "libsvtav1", "options": AV1}),
    "av1.webm": ((64, 64), 4, PLAIN | {"codec": "libsvtav1", "options": AV1} | OPUS),
    "h264.ts": ((128, 96), 6, PLAIN),
    "hevc.ts": ((96, 64), 5, MUTE | {"codec": "libx265", "options": HEVC}),
    "mpeg2.ts": (
        (96, 64),
        6,
        BY_COUNT | {"codec": "mpeg2video", "options": {"b": "4M"}, "sound_codec": "mp2"},
    ),
    "mpeg4.avi": (
        (96, 64),
        8,
        BY_COUNT | {"codec": "mpeg4", "options": {"b": "4M"}, "sound_codec": "libmp3lame"},
    ),
    "mjpeg.avi": (
        (48, 32),
        6,
        BY_COUNT | INTRA | {"codec": "mjpeg", "pix_fmt": "yuvj420p", "sound_codec": "pcm_s16le"},
    ),
    "mpeg4.mp4": ((64, 48), 6, PLAIN | {"codec": "mpeg4", "options": {"b": "4M"}}),
    "prores.mov": (
        (64, 48),
        4,
        PLAIN | INTRA | {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "sound_codec": "pcm_s24le"},
    ),
    "mjpeg.mov": ((64, 48), 4, MUTE | INTRA | {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "ffv1.mkv": ((48, 32), 5, PLAIN | INTRA | {"codec": "ffv1", "sound_codec": "flac"}),
    "ffv1_rgb.mkv": ((48, 32), 4, MUTE | INTRA | {"codec": "ffv1", "pix_fmt": "gbrp10le", "matrix": 0}),
}


@dataclass(frozen=True)
class IntactPair:
    """Two intact clips of one moment; for phone clips, whose pictures do not matter, twice the same."""

    wide: Path
    ultra: Path

    @property
    def name(self) -> str:
        return self.wide.stem.removesuffix("_wide") + self.wide.suffix


def make_corpus(folder: Path) -> list[IntactPair]:
    """Write all pairs into `folder`, a few kilobytes each."""
    scene = make_scene()
    wide = [blurred(scene, number) for number in range(8)]
    ultra = [view(scene, number, RATIO) for number in range(8)]
    pairs = []
    for name, (size, frames, changes) in FORMATS.items():
        stem, suffix = name.split(".")
        paths = [folder / f"{stem}_{role}.{suffix}" for role in ("wide", "ultra")]
        for path, pictures in zip(paths, (wide, ultra), strict=True):
            cook(_recipe(pictures[:frames], size, changes), path)
        pairs.append(IntactPair(*paths))
    return pairs + [IntactPair(clip, clip) for clip in _phone_clips(folder)]


def _recipe(pictures: Sequence[Picture], size: tuple[int, int], changes: dict[str, Any]) -> Recipe:
    shown = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    clock = changes.get("clock", 600)
    ticks = [clock // 30 * number for number in range(len(shown))]
    words = ((20, 60, "Hello"), (100, 60, "wide world"))
    recipe = Recipe(pictures=shown, ticks=ticks, subtitles=words, chapters=((0, 80, "one"), (80, 160, "two")))
    return recipe.but(metadata=recipe.metadata | {"title": MARK}, **changes)


def _phone_clips(folder: Path) -> list[Path]:
    """HDR upright with unknown sound and keys; a cover and a second video track."""
    short = {"ticks": (0, 20, 41, 80, 100), "size": (96, 64)}
    hlg = hlg_portrait(folder / "phone_hlg.mov", **short)
    return [hlg, make_clip(folder / "phone_cover.mp4", audio=1, tracks=2, cover=True, chapters=True, **short)]
