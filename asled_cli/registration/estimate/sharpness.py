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


# Blocks along the shorter side, and the share of all blocks that make the part where the target lags most.
_BLOCKS = 8
_PART = 0.03
# Share of the reference's mean gradient energy below which a block counts as without detail: in a clear sky
# an encoder leaves something in one view and nothing in the other.
_NO_DETAIL = 0.1
_LEAST = 1e-7  # the same of a whole picture, absolute


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sharpness of both views, in a whole picture or a part of it.

    target_blur_px, reference_blur_px: blur length in the worst direction, full target pixels, within a factor
    of about 1.5; 0 for none.
    advantage_db: gradient energy of the reference over that of the target, in the direction where it is
    greatest. Above 0 the reference is sharper.
    """

    target_blur_px: float
    reference_blur_px: float
    advantage_db: float


@dataclass(frozen=True, slots=True)
class Sharpness:
    """Sharpness of both views at one time.

    whole: in the whole picture. part: in the 3 % of it where the reference has the greatest advantage, as
    where one thing moves in front of a still camera.
    """

    time_s: float
    whole: Comparison
    part: Comparison


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
    return compare(time, target, reference, scale)


def compare(time_s: float, target: Image, reference: Image, scale: float) -> Sharpness:
    """Return the sharpness of two registered lumas (h, w), 0..1. scale: full target pixels per pixel."""
    views = _Gradients(target), _Gradients(reference)
    everywhere = np.ones(views[0].slopes.shape[1:], np.bool_)
    least = max(_NO_DETAIL * float(views[1].energy(everywhere).mean()), _LEAST)
    lags = _advantages(*views, least)
    count = max(1, round(_PART * lags.size))
    most = lags >= np.partition(lags.ravel(), -count)[-count]
    whole, part = _in_blocks(*views, everywhere, scale), _in_blocks(*views, most, scale, least)
    return Sharpness(time_s, whole, part)


class _Gradients:
    """Gradient energy of a picture in blocks along some directions, and what a box filter leaves of it.

    White noise of variance n adds 2 n to the energy of a difference, and 2 n / _BOX ** 2 after the box.
    """

    def __init__(self, picture: Image) -> None:
        self.noise = _noise(picture) ** 2
        borders = [min(_BORDER_PX, side // 4) for side in picture.shape]
        inner = tuple(slice(border, -border or None) for border in borders)
        slopes: list[Image] = []
        smooth: list[Image] = []
        for angle in _DIRECTIONS:
            step = _step(angle)
            boxed = cv2.filter2D(picture, cv2.CV_32F, _box(angle))
            for found, seen in ((slopes, picture), (smooth, boxed)):
                slope = np.asarray(cv2.filter2D(seen, cv2.CV_32F, step)[inner], np.float32)
                found.append(_block_means(np.square(slope)))
        self.slopes = np.stack(slopes)
        """(directions, rows, columns): mean energy of each block, noise included."""
        self._smooth = np.stack(smooth)

    def energy(self, where: NDArray[np.bool_], least: float = _LEAST) -> NDArray[np.float64]:
        """Return the energy in some blocks for each direction, without that of noise, or `least`."""
        means = self.slopes[:, where].mean(axis=1, dtype=np.float64)
        return np.asarray(np.maximum(means - 2 * self.noise, least), np.float64)

    def blur(self, where: NDArray[np.bool_]) -> float:
        """Return the length of the blur in some blocks in the worst direction, pixels; 0 for none."""
        after = self._smooth[:, where].mean(axis=1, dtype=np.float64) - 2 * self.noise / _BOX**2
        kept = np.maximum(after, 1e-8) / self.energy(where)
        worst = float(np.interp(kept.max(), _KEPT, _LENGTHS))
        return 0.0 if worst <= _LENGTHS[0] else worst


def _in_blocks(
    target: _Gradients, reference: _Gradients, where: NDArray[np.bool_], scale: float, least: float = _LEAST
) -> Comparison:
    """Return the sharpness of both views in some blocks. least: energy that counts as detail."""
    ratios = reference.energy(where, least) / target.energy(where, least)
    advantage = float(10 * np.log10(ratios.max()))
    return Comparison(target.blur(where) * scale, reference.blur(where) * scale, advantage)


def _advantages(target: _Gradients, reference: _Gradients, least: float) -> NDArray[np.float32]:
    """Return (rows, columns): the ratio of energies in each block, in the direction where it is greatest."""
    own, other = (np.maximum(view.slopes - 2 * view.noise, least) for view in (target, reference))
    return np.asarray((other / own).max(axis=0), np.float32)


def _block_means(picture: Image) -> Image:
    """Return the means (rows, columns) of about square blocks, _BLOCKS along the shorter side."""
    height, width = picture.shape
    block = min(height, width) / _BLOCKS
    blocks = max(1, round(width / block)), max(1, round(height / block))
    return np.asarray(cv2.resize(picture, blocks, interpolation=cv2.INTER_AREA), np.float32)


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
