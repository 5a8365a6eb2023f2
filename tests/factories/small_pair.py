"""A tiny pair of clips with a known geometry, for tests of the whole job: files in, file out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.geometry.lenses import centre_crop
from asled_cli.registration.model.exposure import MotionBlur
from asled_cli.registration.model.registration import Knot, Registration
from asled_cli.registration.model.tone_curve import identity_tone

WIDTH, HEIGHT, RATE = 128, 96, 30
RATIO = 2.0  # field of view of ultra over wide
EXPOSURE = np.linspace(-1.0, 1.0, 9)  # frame intervals: blur of two frames
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """Three files of one moment; truth is what the wide lens would have seen without blur."""

    wide: Path
    ultra: Path
    truth: Path


def make_pair(folder: Path, frames: int = 12, ultra_frames: int | None = None) -> Pair:
    """Write the three clips, H.264 of 8 bit, 30 frames per second, a panning camera."""
    scene = make_scene()
    pair = Pair(folder / "wide.mp4", folder / "ultra.mp4", folder / "truth.mp4")
    write_clip(pair.truth, [view(scene, i, 1.0) for i in range(frames)])
    write_clip(pair.wide, [blurred(scene, i) for i in range(frames)])
    write_clip(pair.ultra, [view(scene, i, RATIO) for i in range(ultra_frames or frames)])
    return pair


def make_scene() -> Picture:
    """Soft texture with detail of several sizes, (400, 800, 3)."""
    random = np.random.default_rng(7)
    scene = np.zeros((400, 800, 3), np.float32)
    for step in (3, 6, 12, 24):
        noise = random.normal(0, 1, (400 // step + 2, 800 // step + 2, 3)).astype(np.float32)
        scene += step**0.5 * cv2.resize(noise, (800, 400), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 45 * scene / scene.std(), 16, 235), np.uint8)


def view(scene: Picture, time_frames: float, ratio: float) -> Picture:
    """What a lens sees of the scene at a time; the camera pans by 4 pixels per frame."""
    x, y = 300 + 4 * time_frames, 200 + 1.5 * time_frames
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    matrix = np.array([[ratio, 0, x - ratio * centre[0]], [0, ratio, y - ratio * centre[1]]])
    flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT), flags=flags), np.uint8)


def blurred(scene: Picture, index: int) -> Picture:
    """The wide view averaged over its exposure."""
    mean = np.mean([view(scene, index + float(share), 1.0) for share in EXPOSURE], axis=0)
    return np.asarray(np.rint(mean), np.uint8)


def write_clip(
    path: Path,
    pictures: Sequence[Picture],
    *,
    times: Callable[[int], int] = lambda index: 20 * index,
    time_base: Fraction = Fraction(1, 600),
    rotation: int = 0,
) -> None:
    """Encode RGB pictures as H.264 with the given ticks."""
    height, width, _ = pictures[0].shape
    options = {"crf": "8", "preset": "ultrafast", "bf": "2"}
    with av.open(str(path), "w", options={"video_track_timescale": "600"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = times(index), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def add_sound(source: Path, out: Path, seconds: float) -> Path:
    """Copy a clip and give it a track of AAC noise."""
    noise = np.random.default_rng(1).normal(0, 0.1, (2, int(seconds * 44100))).astype(np.float32)
    with av.open(str(source)) as old, av.open(str(out), "w", options={"video_track_timescale": "600"}) as new:
        video = new.add_stream_from_template(old.streams.video[0])
        sound = new.add_stream("aac", rate=44100, layout="stereo")
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        for start in range(0, noise.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(noise[:, start : start + 1024]), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
            new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
    return out


def known_registration(size: tuple[int, int] = (WIDTH, HEIGHT)) -> Registration:
    """The synthetic pair's geometry, with a drift and an exposure that make neighbours matter.

    size: (width, height) of both clips.
    """
    matrix = centre_crop(RATIO, size, size)
    moved = matrix @ np.array([[1, 0, 0.7], [0, 1, -0.4], [0, 0, 1.0]])
    field = np.random.default_rng(0).normal(0, 0.3, (size[1], size[0], 2)).astype(np.float32)
    knots = tuple(Knot(t, m, field, MotionBlur(2.0, 0.15)) for t, m in ((0.2, matrix), (1.0, moved)))
    return Registration(size, size, 1 / 30, knots, identity_tone(), 0.01, 1.0, True)
