"""A synthetic pair of clips for timing: a moving camera over a detailed scene."""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.open_output import open_output

RATE = 30  # frames per second, the usual rate of phones
INSTANTS = 15  # averaged for one blurred frame
PAIR_PACE = 3.0  # how fast the camera moves, times that of `view`: slower, much of the picture stays sharp
_SHAKEN_PACE = 4.0
Picture = NDArray[np.uint8]


def make_pair(folder: Path, frames: int, size: tuple[int, int], name: str = "bench") -> tuple[Path, Path]:
    """Write a wide clip with motion blur and an ultra clip of twice the view, from one moving camera."""
    scene = make_scene(np.random.default_rng(0), size)
    wide, ultra = folder / f"{name}_wide.mp4", folder / f"{name}_ultra.mp4"
    write_clip(wide, frames, size, lambda i: blurred_view(scene, PAIR_PACE * i, PAIR_PACE, size))
    write_clip(ultra, frames, size, lambda i: view(scene, PAIR_PACE * i, 2.0, size))
    return wide, ultra


def make_shaken(folder: Path, frames: int, size: tuple[int, int], name: str = "bench") -> Path:
    """Write one clip under a shake four times as fast, exposed for 0.8 of a frame."""
    scene, path = make_scene(np.random.default_rng(0), size), folder / f"{name}_shaken.mp4"

    def shaken(index: int) -> Picture:
        return blurred_view(scene, _SHAKEN_PACE * index, _SHAKEN_PACE * 0.8, size)

    write_clip(path, frames, size, shaken)
    return path


def make_scene(random: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Return a large image with detail of every size; 4200x2400 for a 1080p frame."""
    width, height = 280 * size[0] // 128, 20 * size[1] // 9
    scene = np.zeros((height, width, 3), np.float32)
    for step in (2, 4, 8, 16, 32, 64, 128):
        noise = random.normal(0, 1, (height // step + 1, width // step + 1, 3)).astype(np.float32)
        scene += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(step**0.5)
    scene = 128 + 40 * scene / scene.std()
    return np.asarray(np.clip(scene, 0, 255), np.uint8)


def view(scene: Picture, time_frames: float, ratio: float, size: tuple[int, int]) -> Picture:
    """Return what a lens with `ratio` times the wide field of view sees at a time, from a shaking camera."""
    x = scene.shape[1] / 2 + 60 * np.sin(time_frames / 9) + 40 * np.sin(time_frames / 23)
    y = scene.shape[0] / 2 + 30 * np.cos(time_frames / 13)
    matrix = np.array([[ratio, 0, x - ratio * size[0] / 2], [0, ratio, y - ratio * size[1] / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(scene, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.uint8)


def blurred_view(scene: Picture, time_frames: float, exposure: float, size: tuple[int, int]) -> Picture:
    """Return the wide view averaged over an exposure in frames, around a time."""
    shares = ((np.arange(INSTANTS) + 0.5) / INSTANTS - 0.5) * exposure
    mean = np.mean([view(scene, time_frames + share, 1.0, size) for share in shares], axis=0)
    return np.asarray(np.rint(mean), np.uint8)


def write_clip(path: Path, frames: int, size: tuple[int, int], picture: Callable[[int], Picture]) -> None:
    """Encode images as 8-bit H.264."""
    with open_output(path) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
