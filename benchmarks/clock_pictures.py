"""Pairs of silent clips, synchronised by their images only: photos filmed by hand, and real videos.

The whole path is measured, from two files to the offset that a job would use.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.match import match_clips
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import Lens, draw_hand_motion, film, write_film
from asled_cli.lab.synthesis.shake_blur import read_picture

Clip8 = NDArray[np.uint8]

OFFSETS_S = (-2.37, -0.6, 0.3, 1.234, 3.1, 5.2)
# (width, height) in pixels: the synchronisation reduces frames further.
SIZE = (320, 180)
VIDEO_SIZE = (480, 270)
LENGTHS_S = (11.0, 9.0)  # of the two clips
SHARED_S = 1.9  # minimum that the clips have in common
RATES = {"30 and 30": (30, 30), "24 in 30": (24, 30), "30 in 60": (30, 60)}
RATIOS = (1.5, 1.7, 1.85, 2.0, 2.2, 1.9)
NOISE = 3.0  # codes of 255
SPEED_PX_S = 75.0  # RMS speed of the hand per axis
EXPOSURE_S = 0.03  # indoors
VIDEO_RATIO = 1.9  # field of view of the whole video over that of its part
VIDEO_MEAN = 3  # frames averaged for the blurred view


def photo_cases(photos: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Return rows of photos under hand shake: equal and unequal rates, lost frames, two different hands."""
    for seed, (offset, ratio) in enumerate(zip(OFFSETS_S, RATIOS, strict=True)):
        photo = photos[seed * 7 % len(photos)]
        kinds: dict[str, dict[str, Any]] = {kind: {"rates": rates} for kind, rates in RATES.items()}
        kinds |= {"lost frames": {"lost": 0.1}, "another hand": {"hand": seed + 100}}
        for kind, given in kinds.items():
            row: dict[str, Any] = {"name": f"{photo.stem} {offset:+g} s, {kind}"}
            row["strangers"] = kind == "another hand"
            yield row | {
                "measure": lambda p=photo, s=seed, o=offset, r=ratio, g=given: _filmed(p, s, o, r, **g)
            }


def video_cases(videos: Path) -> Iterator[dict[str, Any]]:
    """Return rows of real videos: the averaged middle part within the whole image."""
    paths = sorted(videos.glob("*.mp4"))
    row: dict[str, Any]
    for i, path in enumerate(paths):
        seconds = _seconds(path)
        for offset in OFFSETS_S:
            if seconds - abs(offset) >= SHARED_S:
                row = {"name": f"{path.stem} {offset:+g} s"}
                yield row | {"measure": lambda p=path, o=offset: _cut(p, p, o)}
        for other in (paths[(i + 1) % len(paths)], paths[(i + 4) % len(paths)]):
            row = {"name": f"{path.stem} with {other.stem}", "strangers": True}
            yield row | {"measure": lambda p=path, q=other: _cut(p, q, 0.0)}
        if seconds > 4 * SHARED_S:
            row = {"name": f"{path.stem}, first half with second", "strangers": True}
            yield row | {"measure": lambda p=path, s=seconds: _cut(p, p, s / 2, parted=True)}


def _filmed(
    path: Path,
    seed: int,
    offset_s: float,
    ratio: float,
    rates: tuple[int, int] = (30, 30),
    lost: float = 0.0,
    hand: int | None = None,
) -> dict[str, Any]:
    noise = np.random.default_rng(seed)
    photo = cv2.resize(read_picture(path), (1000, 750), interpolation=cv2.INTER_AREA).astype(np.uint8)
    hands = (draw_hand_motion(seed, SPEED_PX_S), draw_hand_motion(seed if hand is None else hand, SPEED_PX_S))
    lenses = (
        Lens(SIZE, None, EXPOSURE_S),
        Lens(SIZE, lambda _: LensRig(ratio, 1.0, (5.0, 3.0)), EXPOSURE_S / 10),
    )
    clips, stamps = [], []
    starts = (5.0, 5.0 + offset_s)
    for lens, held, rate, length, start in zip(lenses, hands, rates, LENGTHS_S, starts, strict=True):
        times = np.arange(0, length, 1 / rate)
        if lost:
            times = times[noise.random(len(times)) > lost]
            times = np.abs(times + noise.normal(0, 0.001, len(times)))
        frames = film(photo, held, lens, list(times + start), SIZE)
        clips.append(np.clip(frames + noise.normal(0, NOISE, frames.shape), 0, 255).astype(np.uint8))
        stamps.append([float(t) for t in times])
    return _match(clips, stamps, offset_s, min(rates))


def _cut(wide: Path, ultra: Path, offset_s: float, *, parted: bool = False) -> dict[str, Any]:
    """Cut two clips from a video. parted: without a common interval, each before the other's start."""
    frames, rate = _decode(wide)
    late = round(offset_s * rate)
    inner = [_middle(frame) for frame in frames]
    half = VIDEO_MEAN // 2
    blurred = [np.mean(inner[max(0, i - half) : i + half + 1], axis=0) for i in range(len(inner))]
    others = [frame for frame in (frames if ultra == wide else _decode(ultra)[0])]
    outer = [cv2.resize(frame, VIDEO_SIZE, interpolation=cv2.INTER_AREA) for frame in others]
    kept = blurred[max(0, -late) :][: late if parted else None]
    seen = outer[max(0, late) :]
    clips = [np.rint(kept).astype(np.uint8), np.stack(seen).astype(np.uint8)]
    stamps = [[i / rate for i in range(len(clip))] for clip in clips]
    return _match(clips, stamps, late / rate, rate)


def _match(
    clips: Sequence[Clip8], stamps: Sequence[Sequence[float]], offset_s: float, rate: float
) -> dict[str, Any]:
    """Return what a job would find for two clips. rate: of the slower one."""
    with tempfile.TemporaryDirectory(prefix="asled-clocks-") as folder:
        names = (Path(folder) / "wide.mp4", Path(folder) / "ultra.mp4")
        for name, clip, times in zip(names, clips, stamps, strict=True):
            write_film(name, clip, times, crf=20)
        try:
            found = match_clips(DeblurConfig(*names))
        except InputError as error:
            return {"offset_s": round(offset_s, 4), "found": False, "said": str(error).split(":")[0]}
    return {
        "offset_s": round(offset_s, 4),
        "found": True,
        "found_by": found.timing.found_by,
        "confidence": round(found.timing.confidence, 3),
        "error_ms": round((float(found.timing.clock.offset_s) - offset_s) * 1e3, 2),
        "half_frame_ms": round(500 / rate, 2),
        "swapped": found.order.swapped,
    }


def _middle(frame: Clip8) -> Clip8:
    """Return the part that a lens of VIDEO_RATIO times the focal length sees, slightly off centre."""
    height, width = frame.shape[:2]
    part = round(width / VIDEO_RATIO), round(height / VIDEO_RATIO)
    x, y = (width - part[0]) // 2 + 6, (height - part[1]) // 2 - 4
    seen = cv2.resize(frame[y : y + part[1], x : x + part[0]], VIDEO_SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(seen, np.uint8)


def _decode(path: Path) -> tuple[list[Clip8], float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        frames = [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(stream)]
        return frames, float(stream.average_rate)


def _seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / 1e6
