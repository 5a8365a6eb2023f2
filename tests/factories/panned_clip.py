"""A scene of two halves that move unlike each other, averaged over frames as blended video is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.light import linear_to_srgb
from factories.shaken_clip import ShakenClip, make_scene


def make_panned_clip(
    *,
    count: int = 5,
    frames: int = 13,
    size: tuple[int, int] = (384, 256),
    speeds: tuple[tuple[float, float], tuple[float, float]] = ((4.0, 0.5), (-2.5, 2.0)),
    noise: float = 0.003,
    seed: int = 0,
) -> ShakenClip:
    """Return means of `count` coded frames. speeds: (x, y) px per frame of the upper and the lower half."""
    rng = np.random.default_rng(seed)
    margin = 160
    scenes = [make_scene((size[0] + 2 * margin, size[1] + 2 * margin), seed + i) for i in range(2)]
    sharp = [_frame(scenes, margin, speeds, time, size) for time in range(-(count // 2), frames + count // 2)]
    wide = [np.mean(sharp[t : t + count], axis=0) for t in range(frames)]
    noisy = [frame + rng.normal(0, noise, frame.shape) for frame in wide]
    return ShakenClip(_codes(noisy), _codes(sharp[count // 2 : count // 2 + frames]), np.zeros((0, 3, 3)))


def _frame(
    scenes: list[NDArray[np.float32]],
    margin: int,
    speeds: tuple[tuple[float, float], tuple[float, float]],
    time: int,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    parts = []
    for scene, (x, y) in zip(scenes, speeds, strict=True):
        wave = time + 0.6 * np.sin(time)  # uneven
        shift = np.array([[1, 0, margin - x * wave], [0, 1, margin - y * wave]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        parts.append(cv2.warpAffine(scene, shift, size, flags=flags))
    half = size[1] // 2
    return np.asarray(linear_to_srgb(np.clip(np.concatenate([parts[0][:half], parts[1][half:]]), 0, 1)))


def _codes(frames: list[NDArray[np.floating]]) -> NDArray[np.uint16]:
    return np.asarray(np.clip(np.stack(frames), 0, 1) * 65535 + 0.5, np.uint16)
