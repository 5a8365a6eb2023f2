"""The offset between two clips, found by their sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from asled_cli.sync.audio import match_sound
from asled_cli.video.decode.probe import probe_clip

RATE = 44_100


def speech(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Coloured noise with pauses, (samples,)."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, int(seconds * RATE))
    loud = np.repeat(random.uniform(0, 1, int(seconds * 8) + 1), RATE // 8 + 1)[: len(noise)]
    smooth = np.convolve(noise, np.ones(5) / 5, "same")
    return np.asarray(0.2 * loud * smooth, np.float32)


def write_clip(path: Path, sound: NDArray[np.float32] | None) -> Path:
    """A clip of a few grey frames with a mono AAC track."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None if sound is None else out.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(4):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64), 99, np.uint8), format="gray")))
        out.mux(video.encode(None))
        if audio is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                block = np.ascontiguousarray(sound[None, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


@pytest.mark.parametrize("offset_s", [0.137, -0.4, 0.0])
def test_the_offset_is_found_to_a_millisecond(offset_s: float, tmp_path: Path) -> None:
    moment = speech(3.0)
    late = round(abs(offset_s) * RATE)
    parts = (moment, moment[late:]) if offset_s >= 0 else (moment[late:], moment)
    noisy = [part + np.float32(0.02) * speech(3.0, seed)[: len(part)] for seed, part in enumerate(parts, 1)]
    wide = probe_clip(write_clip(tmp_path / "wide.mp4", noisy[0]))
    ultra = probe_clip(write_clip(tmp_path / "ultra.mp4", noisy[1]))
    found = match_sound(wide, ultra)
    assert found is not None
    assert found.confidence > 0.5 and found.clock.rate == 1
    assert float(found.clock.offset_s) == pytest.approx(offset_s, abs=1e-3)


def test_unrelated_sound_tells_nothing(tmp_path: Path) -> None:
    wide = probe_clip(write_clip(tmp_path / "wide.mp4", speech(3.0, 1)))
    ultra = probe_clip(write_clip(tmp_path / "ultra.mp4", speech(3.0, 2)))
    assert match_sound(wide, ultra) is None


def test_a_silent_or_mute_clip_tells_nothing(tmp_path: Path) -> None:
    wide = probe_clip(write_clip(tmp_path / "wide.mp4", speech(2.0)))
    mute = probe_clip(write_clip(tmp_path / "mute.mp4", None))
    silent = probe_clip(write_clip(tmp_path / "silent.mp4", np.zeros(2 * RATE, np.float32)))
    assert match_sound(wide, mute) is None
    assert match_sound(wide, silent) is None
