"""Sharpness of two registered views in comparable units: on one grid, over one scene, with noise removed."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.imaging.homography import Image, apply, pixel_grid
from asled_cli.imaging.light import luma
from asled_cli.imaging.warp import sample
from asled_cli.registration.geometry.canvas import Canvas
from asled_cli.registration.model.registration import Registration
from asled_cli.video.frames import FramePair

# Share of gradient energy along a direction that a box of _BOX pixels leaves, against the length of a box
# blur the picture had before: medians over 36 photos, 640 px wide; scenes differ by a factor of 1.5 or so.
_BOX = 5
_LENGTHS = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_KEPT = (0.163, 0.341, 0.556, 0.690, 0.750, 0.809, 0.842)
_DIRECTIONS = (0.0, 45.0, 90.0, 135.0)  # degrees
_BORDER_PX = 8  # left out at each edge, less in small pictures


@dataclass(frozen=True, slots=True)
class Sharpness:
    """Sharpness of both views at one time.

    target_blur_px, reference_blur_px: blur length in the worst direction, full target pixels, within a factor
    of about 1.5; 0 for none.
    advantage_db: gradient energy of the reference over that of the target, in the direction where it is
    greatest. Above 0 the reference is sharper.
    """

    time_s: float
    target_blur_px: float
    reference_blur_px: float
    advantage_db: float


def measure_sharpness(pair: FramePair, found: Registration) -> Sharpness | None:
    """Return the sharpness of the two views of a pair reduced for analysis; None without a reference.

    found: registration of the full pictures. The grid is the reduced target's, or a coarser one if the
    reference has less detail, so that missing detail does not pass for blur.
    """
    if pair.reference is None:
        return None
    scale = max(found.target_size) / max(pair.target.rgb.shape[:2])
    size = (pair.target.rgb.shape[1], pair.target.rgb.shape[0])
    other = (pair.reference.rgb.shape[1], pair.reference.rgb.shape[0])
    small = found.resized(size, other)
    time = float(pair.target.time)
    canvas = Canvas(size, other, small.at(time).homography)
    x, y = pixel_grid(canvas.work_size)
    u, v = apply(canvas.onto(canvas.homography), x, y)
    reference = luma(small.tone(sample(canvas.place_reference(pair.reference.rgb), u, v)))
    target = luma(canvas.soften(canvas.reduce_target(pair.target.rgb)))
    views = [_Gradients(view) for view in (target, reference)]
    advantage = max(10 * np.log10(b / a) for a, b in zip(views[0].energy, views[1].energy, strict=True))
    return Sharpness(time, views[0].blur_px * scale, views[1].blur_px * scale, float(advantage))


class _Gradients:
    """Gradient energy of a picture in some directions, and the share of it that survives a box filter."""

    def __init__(self, picture: Image) -> None:
        noise = _noise(picture) ** 2
        borders = [min(_BORDER_PX, side // 4) for side in picture.shape]
        inner = tuple(slice(border, -border or None) for border in borders)
        self.energy: list[float] = []
        kept: list[float] = []
        for angle in _DIRECTIONS:
            step = _step(angle)
            slope = cv2.filter2D(picture, cv2.CV_32F, step)
            smooth = cv2.filter2D(cv2.filter2D(picture, cv2.CV_32F, _box(angle)), cv2.CV_32F, step)
            # White noise of variance n adds 2 n to a difference, and 2 n / _BOX ** 2 after the box.
            energy = max(float(np.mean(slope[inner] ** 2)) - 2 * noise, 1e-7)
            after = max(float(np.mean(smooth[inner] ** 2)) - 2 * noise / _BOX**2, 1e-8)
            self.energy.append(energy / float((step**2).sum() / 2))
            kept.append(after / energy)
        worst = float(np.interp(max(kept), _KEPT, _LENGTHS))
        self.blur_px = 0.0 if worst <= _LENGTHS[0] else worst


def _step(angle: float) -> NDArray[np.float32]:
    """Return (3, 3): the difference of two neighbours along a direction."""
    dx, dy = round(np.cos(np.deg2rad(angle))), round(np.sin(np.deg2rad(angle)))
    kernel = np.zeros((3, 3), np.float32)
    kernel[1, 1], kernel[1 + dy, 1 + dx] = -1, 1
    return kernel


def _box(angle: float) -> NDArray[np.float32]:
    """Return (_BOX, _BOX): the mean of _BOX neighbours along a direction."""
    kernel = np.eye(_BOX, dtype=np.float32)
    if angle in (0.0, 90.0):
        kernel = np.zeros((_BOX, _BOX), np.float32)
        kernel[(_BOX // 2, slice(None)) if angle == 0.0 else (slice(None), _BOX // 2)] = 1
    elif angle == 135.0:
        kernel = kernel[::-1].copy()
    return kernel / np.float32(_BOX)


def _noise(picture: Image) -> float:
    """Return the standard deviation of white noise.

    Source: J. Immerkaer, "Fast noise variance estimation", 1996, eq. 3, with the median instead of the mean,
    so that texture counts less.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(picture, cv2.CV_32F, mask)))) / (0.6745 * 6)
