"""Two lenses of one handheld phone that film a flat image at any frame times: clips for tests of whole files.

Unlike `shake_pair`, lengths, frame rates, dropped frames and drift of the geometry are free. Light is
averaged in coded values, and there is no noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Matrix, translation
from asled_cli.imaging.warp import warp_homography
from asled_cli.lab.camera.dual_lens import LensRig, frame_center, soften_for_ultra
from asled_cli.video.open_output import open_output

Clip8 = NDArray[np.uint8]
TICKS_PER_S = 600  # time base of QuickTime files of phones
SOUND_RATE = 48_000  # Hz, as phones record
_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class HandMotion:
    """Motion of a shaking hand at any time as sums of sines.

    amplitude: (K, 3) pixels, pixels, radians. frequency: (K, 3) Hz. phase: (K, 3).
    """

    amplitude: NDArray[np.float64]
    frequency: NDArray[np.float64]
    phase: NDArray[np.float64]

    def at(self, time_s: float) -> NDArray[np.float64]:
        """Return (3,): shift x and y in wide pixels, and roll in radians."""
        waves = self.amplitude * np.sin(2 * np.pi * self.frequency * time_s + self.phase)
        return np.asarray(waves.sum(axis=0))


def draw_hand_motion(seed: int, speed_px_s: float, roll_share: float = 0.1, waves: int = 9) -> HandMotion:
    """Draw a hand motion of 0.4 to 8 Hz with an RMS speed of `speed_px_s` per axis.

    roll_share: roll as motion 100 pixels from the centre, relative to the shift.
    """
    generator = np.random.default_rng((seed, 77))
    frequency = np.exp(generator.uniform(np.log(0.4), np.log(8.0), (waves, 3)))
    strength = generator.uniform(0.3, 1.0, (waves, 3)) / frequency
    speed = np.sqrt(np.sum((2 * np.pi * frequency * strength) ** 2, axis=0) / 2)
    amplitude = strength * speed_px_s / speed * np.array([1, 1, roll_share / 100])
    return HandMotion(amplitude, frequency, generator.uniform(0, 2 * np.pi, (waves, 3)))


@dataclass(frozen=True)
class Lens:
    """Lens of a phone.

    size: (width, height). rig_at(time): its geometry against the wide lens; None for the wide lens itself.
    exposure_s: exposure time.
    """

    size: tuple[int, int]
    rig_at: Callable[[float], LensRig] | None = None
    exposure_s: float = 0.0

    def from_wide(self, time_s: float, wide_size: tuple[int, int]) -> Matrix:
        """Return the homography from wide pixel to pixel of this lens at a time."""
        if self.rig_at is None:
            return np.eye(3)
        grown = np.array(self.size) / np.array(wide_size)
        scale = np.diag([grown[0], grown[1], 1.0])
        shift = translation(*((grown - 1) / 2))
        return np.asarray(shift @ scale @ self.rig_at(time_s).homography(wide_size))


def film(
    photo: Clip8, hand: HandMotion, lens: Lens, times_s: Sequence[float], wide_size: tuple[int, int]
) -> Clip8:
    """Film `photo` (h, w, 3) with `lens` and return (T, H, W, 3) uint8.

    times_s: middle of the exposure of each frame. The wide lens at rest sees the centre of the photo pixel
    for pixel.
    """
    ratio = 1.0 if lens.rig_at is None else lens.rig_at(times_s[0]).ratio * wide_size[0] / lens.size[0]
    seen = soften_for_ultra(photo, ratio)
    home = translation(*((np.array(photo.shape[1::-1]) - 1) / 2))
    centre = translation(*(-np.array(frame_center(wide_size))))
    frames = np.empty((len(times_s), lens.size[1], lens.size[0], 3), np.uint8)
    for i, time in enumerate(times_s):
        span = lens.exposure_s
        path = np.ptp([hand.at(t)[:2] for t in np.linspace(time - span / 2, time + span / 2, 5)], axis=0)
        count = 1 if span == 0 else int(max(5, np.ceil(np.hypot(*path) / ratio)))
        to_wide = np.linalg.inv(lens.from_wide(time, wide_size))
        total = np.zeros(frames.shape[1:], np.float32)
        for k in range(count):
            x, y, roll = hand.at(time + span * ((k + 0.5) / count - 0.5))
            turn = np.array([[np.cos(roll), -np.sin(roll), x], [np.sin(roll), np.cos(roll), y], [0, 0, 1]])
            total += warp_homography(
                seen, home @ turn @ centre @ to_wide, lens.size, interpolation=cv2.INTER_LINEAR
            )
        frames[i] = np.rint(total / count)
    return frames


@dataclass(frozen=True)
class Sound:
    """Samples (N,) float32 -1..1 at `rate` per second from the start of the clip, equal in all channels."""

    samples: NDArray[np.float32]
    rate: int = SOUND_RATE
    codec: str = "aac"
    channels: Literal[1, 2] = 1


def write_film(
    path: Path, frames: Clip8, times_s: Sequence[float], sound: Sound | None = None, *, crf: int = 12
) -> Path:
    """Write (T, H, W, 3) frames as H.264, shown at `times_s` (rounded to 1/600 s), with a sound track."""
    with open_output(path, options={"video_track_timescale": str(TICKS_PER_S)}) as out:
        options = {"preset": "ultrafast", "crf": str(crf), "g": "30"}
        video = out.add_stream("libx264", rate=30, options=options)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, TICKS_PER_S)
        heard: Any = (
            None
            if sound is None
            else out.add_stream(sound.codec, rate=sound.rate, layout=_LAYOUTS[sound.channels])
        )
        for picture, time in zip(frames, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS_PER_S), Fraction(1, TICKS_PER_S)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None and heard is not None:
            for start in range(0, len(sound.samples), 1024):
                block = np.repeat(sound.samples[None, start : start + 1024], sound.channels, axis=0)
                part = av.AudioFrame.from_ndarray(block, format="fltp", layout=_LAYOUTS[sound.channels])
                part.sample_rate, part.pts, part.time_base = sound.rate, start, Fraction(1, sound.rate)
                out.mux(heard.encode(part))
            out.mux(heard.encode(None))
    return path
