"""Pairs of clips synchronised by audio only: synthetic and recorded sound, with noise."""

import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.lab.camera.filming import SOUND_RATE, Sound, write_film
from asled_cli.sync.audio import match_sound
from asled_cli.video.decode.probe import probe_clip

Samples = NDArray[np.float32]

OFFSETS_S = (-2.37, -0.2, 0.0417, 1.234, 5.2)
NOISE_DB = (None, 5.0)  # noise of its own in either file, over the sound
LENGTH_S = 12.0  # of each clip
SHARED_S = 2.0  # minimum that the clips have in common
# What phones and their apps write: (codec, rate, channels, file) of the one clip and the other.
TRACKS = (
    (("aac", 48_000, 2, "mp4"), ("aac", 44_100, 1, "mp4")),
    (("aac", 44_100, 2, "mov"), ("libopus", 48_000, 1, "mkv")),
    (("pcm_s16le", 48_000, 1, "mov"), ("aac", 48_000, 2, "mp4")),
)
Track = tuple[str, int, Any, str]


def sound_cases(videos: Path) -> Iterator[dict[str, Any]]:
    """Return one row for each pair: its name, and a function that measures it."""
    sounds = synthetic_sounds() | real_sounds(videos)
    tracks = cycle(TRACKS)
    for name, samples in sounds.items():
        for offset in OFFSETS_S:
            if len(samples) / SOUND_RATE - abs(offset) < SHARED_S:
                continue
            for noise in NOISE_DB:
                pair = next(tracks)
                row = {"name": f"{name} {offset:+g} s, noise {noise} dB", "noise_db": noise}
                yield row | {"measure": lambda s=samples, o=offset, n=noise, t=pair: _related(s, o, n, t)}
    names = list(sounds)
    for i, name in enumerate(names):
        other = names[(i + 1) % len(names)]
        row = {"name": f"{name} with {other}", "strangers": True}
        yield row | {"measure": lambda a=sounds[name], b=sounds[other]: _strangers(a, b)}


def synthetic_sounds() -> dict[str, Samples]:
    """Return speech-like bursts, notes and street noise, as long as LENGTH_S plus the longest offset."""
    generator = np.random.default_rng(0)
    count = int((LENGTH_S + max(map(abs, OFFSETS_S))) * SOUND_RATE)
    white = generator.normal(0, 1, count)
    smooth = np.convolve(white, np.ones(9) / 9, "same")
    step = SOUND_RATE // 8
    loud = np.repeat(generator.uniform(0, 1, count // step + 1) ** 2, step)[:count]
    pitch = np.repeat(220 * 2 ** (generator.integers(0, 25, count // (2 * step) + 1) / 12), 2 * step)[:count]
    decay = np.exp(-(np.arange(count) % (2 * step)) / step)
    notes = decay * np.sin(2 * np.pi * np.cumsum(pitch) / SOUND_RATE)
    rush = np.convolve(white, np.ones(60) / 60, "same")
    made = {"speech": loud * smooth, "notes": notes, "street": rush}
    return {name: np.asarray(0.1 * s / s.std(), np.float32) for name, s in made.items()}


def real_sounds(videos: Path) -> dict[str, Samples]:
    """Return the mono sound of each audible video in a folder."""
    sounds = {}
    for path in sorted(videos.glob("*.mp4")):
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
        with av.open(str(path)) as container:
            if not container.streams.audio:
                continue
            frames = [*container.decode(container.streams.audio[0]), None]
            parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
        samples = np.concatenate(parts)
        if samples.std() > 1e-3:
            sounds[path.stem] = np.asarray(samples, np.float32)
    return sounds


def _related(
    samples: Samples, offset_s: float, noise_db: float | None, tracks: tuple[Track, Track]
) -> dict[str, Any]:
    late = round(abs(offset_s) * SOUND_RATE)
    length = int(LENGTH_S * SOUND_RATE)
    parts = (samples, samples[late:]) if offset_s > 0 else (samples[late:], samples)
    found = _match([_noisy(p[:length], noise_db, seed) for seed, p in enumerate(parts)], tracks)
    return {"offset_s": offset_s, "tracks": " ".join(t[0] for t in tracks)} | (
        {"found": False}
        if found is None
        else {"found": True, "error_ms": round((found[0] - offset_s) * 1e3, 3), "peak": round(found[1], 1)}
    )


def _strangers(one: Samples, other: Samples) -> dict[str, Any]:
    length = int(LENGTH_S * SOUND_RATE)
    return {"found": _match([one[:length], other[:length]], TRACKS[0]) is not None}


def _noisy(samples: Samples, noise_db: float | None, seed: int) -> Samples:
    if noise_db is None:
        return samples
    level = samples.std() * 10 ** (noise_db / 20)
    noise = np.random.default_rng((seed, len(samples))).normal(0, level, len(samples))
    return np.asarray(np.clip(samples + noise, -1, 1), np.float32)


def _match(parts: list[Samples], tracks: tuple[Track, Track]) -> tuple[float, float] | None:
    """Return (offset in seconds, correlation peak) of two sounds written to files and read again."""
    still = np.full((4, 36, 64, 3), 90, np.uint8)
    with tempfile.TemporaryDirectory(prefix="asled-clocks-") as folder:
        clips = []
        for i, (part, (codec, rate, channels, suffix)) in enumerate(zip(parts, tracks, strict=True)):
            at = np.arange(int(len(part) * rate / SOUND_RATE)) * SOUND_RATE / rate
            heard = np.interp(at, np.arange(len(part)), part).astype(np.float32)
            sound = Sound(heard, rate, codec, channels)
            clips.append(write_film(Path(folder) / f"{i}.{suffix}", still, [0, 0.1, 0.2, 0.3], sound))
        found = match_sound(*map(probe_clip, clips))
    return None if found is None else (float(found.clock.offset_s), found.peak)
