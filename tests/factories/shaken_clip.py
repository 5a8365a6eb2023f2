"""A textured plane filmed by a shaking camera, with the truth, the camera's path and the exposure known."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.light import linear_to_srgb


@dataclass(frozen=True)
class ShakenClip:
    """wide, truth: (T, H, W, 3) uint16 coded RGB. maps: (T - 1, 3, 3) between mean poses of neighbours."""

    wide: NDArray[np.uint16]
    truth: NDArray[np.uint16]
    maps: NDArray[np.float64]

    def gains(self, results: list[NDArray[np.float32] | None]) -> NDArray[np.float64]:
        """Return by how many dB each frame gained by the changes in `results`."""
        pairs = zip(self.wide, self.truth, results, strict=True)
        return np.array([_psnr(w, c, t) - _psnr(w, None, t) for w, t, c in pairs])


def _psnr(frame: NDArray[np.uint16], change: NDArray[np.float32] | None, truth: NDArray[np.uint16]) -> float:
    result = frame / 65535 if change is None else np.clip(frame / 65535 + change, 0, 1)
    return float(-10 * np.log10(np.mean(np.square(result - truth / 65535)) + 1e-12))


def shift_at(time: float, shake_px: float, pan_px: float = 0.0, pace: float = 1.0) -> NDArray[np.float64]:
    """Return the camera's shift (x, y) in pixels at a frame time; at a pace of 1 it shakes at 1 to 5 Hz."""
    t = time * pace
    x = np.sin(0.9 * t) + 0.4 * np.sin(0.37 * t + 1)
    y = np.sin(0.71 * t + 2) + 0.3 * np.sin(1.1 * t)
    return np.array([shake_px * x + pan_px * time, shake_px * 0.8 * y])


def make_scene(size: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """Return (h, w, 3) linear light of lines, letters and patches of colour."""
    rng = np.random.default_rng(seed)
    scene = np.full((size[1], size[0], 3), 0.25, np.float32)
    for _ in range(size[0] * size[1] // 250):
        at = rng.integers(0, size[0]), rng.integers(0, size[1])
        to = at[0] + int(rng.integers(4, 24)), at[1] + int(rng.integers(4, 24))
        colour = tuple(float(v) for v in rng.uniform(0.03, 0.8, 3))
        cv2.rectangle(scene, at, to, colour, -1 if rng.random() < 0.6 else 2)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 0.7), np.float32)


def make_shaken_clip(
    *,
    exposure: float = 0.8,
    frames: int = 13,
    size: tuple[int, int] = (256, 160),
    shake_px: float = 9.0,
    pan_px: float = 0.0,
    noise: float = 0.003,
    seed: int = 0,
    brightness: float = 1.0,
    stabilised: bool = False,
    pace: float = 1.0,
) -> ShakenClip:
    """Film a scene; brightness: factor on its light before the sensor clips at 1.

    stabilised: every frame is moved back to one place after it was exposed, as EIS does. pace: of the shake.
    """
    margin = 64 + int(abs(pan_px) * frames)
    scene = make_scene((size[0] + 2 * margin, size[1] + 2 * margin), seed) * np.float32(brightness)

    def place(time: float, frame: int) -> NDArray[np.float64]:
        moved = shift_at(frame, shake_px, pan_px, pace) if stabilised else np.zeros(2)
        return np.asarray(shift_at(time, shake_px, pan_px, pace) - moved)

    def light(time: float, frame: int) -> NDArray[np.float32]:
        x, y = place(time, frame) + margin
        matrix = np.array([[1, 0, x], [0, 1, y]])
        return np.asarray(
            cv2.warpAffine(scene, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP), np.float32
        )

    rng = np.random.default_rng(seed + 1)
    spread = ((np.arange(21) + 0.5) / 21 - 0.5) * exposure

    def expose(t: int) -> NDArray[np.uint16]:
        coded = linear_to_srgb(np.mean([light(t + u, t) for u in spread], axis=0))
        return _code(coded + rng.normal(0, noise, coded.shape))

    mean = np.array([np.mean([place(t + u, t) for u in spread], 0) for t in range(frames)])
    maps = np.tile(np.eye(3), (frames - 1, 1, 1))
    maps[:, :2, 2] = mean[:-1] - mean[1:]
    wide = np.stack([expose(t) for t in range(frames)])
    return ShakenClip(wide, np.stack([_code(linear_to_srgb(light(t, t))) for t in range(frames)]), maps)


def _code(coded: NDArray[np.floating]) -> NDArray[np.uint16]:
    return np.asarray(np.clip(coded * 65535 + 0.5, 0, 65535), np.uint16)
