"""Sharp test pictures and videos made by code, with detail at several sizes."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def texture(width: int, height: int, seed: int = 0, finest: float = 1.5) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB: Gaussian noise of sigma `finest` to 24 pixels, full contrast."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float64)
    for sigma in (finest, 6.0, 24.0):
        layer = cv2.GaussianBlur(generator.standard_normal((height, width, 3)), (0, 0), sigma)
        total += layer / layer.std()
    return np.clip(128 + 28 * total, 0, 255).astype(np.uint8)


def moving_video(frames: int, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """(frames, height, width, 3): a texture that moves 2 px right and 1 px down per frame."""
    scene = texture(width + 2 * frames, height + frames, seed=3)
    views = [scene[frames - i :, 2 * (frames - i) :][:height, :width] for i in range(frames)]
    return np.ascontiguousarray(np.stack(views))


def write_video(path: Path, frames: NDArray[np.uint8]) -> Path:
    """Write (N, H, W, 3) as H.264, key frames every 5 so that seeking is put to the test."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": "5", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def psnr(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """PSNR in dB of two 8-bit pictures or clips; 99 if they are equal."""
    error = float(((one.astype(np.float64) - other.astype(np.float64)) ** 2).mean())
    return 99.0 if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))
