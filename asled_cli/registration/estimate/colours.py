"""Colour match of the reference to the target, and the correlation of the views after it."""

import cv2
import numpy as np

from asled_cli.imaging.homography import Image, Matrix, apply, pixel_grid
from asled_cli.imaging.light import luma, shrink, without_shades
from asled_cli.imaging.warp import sample_at, within
from asled_cli.registration.blur.reference_motion import halved_positions
from asled_cli.registration.estimate.observations import FrameObservation, evenly_spaced
from asled_cli.registration.model.exposure import Exposure
from asled_cli.registration.model.tone_curve import Tone, fit_tone
from asled_cli.runtime.stages import map_in_threads

_FRAMES = 9  # compared at most: each has more pixels than three curves need
# Share of the target that the reference must show, or a few pixels would decide.
_MIN_SHARE = 0.05
# Shades broader than this share of the longer side are left out of the correlation.
_SHADE_SHARE = 1 / 40
_MIN_SHADE_PX = 1.0  # of tiny pictures; a narrower filter would leave nothing but rounding errors
_FLAT = 1e-5  # standard deviation of luma, 0..1, below which there is nothing to compare


def match_colours(
    measured: list[FrameObservation], exposure: Exposure, matrix: Matrix, field: Image
) -> tuple[Tone, float, float]:
    """Return the tone curves, the residual (mean absolute luma difference, 0..1) and the correlation -1..1.

    measured: frames of the clip. exposure: of the target. matrix: reduced target pixel -> canvas pixel.
    field: (h, w, 2) parallax in reduced target pixels.
    """
    height, width = measured[0].grey.shape
    x, y = pixel_grid((width, height))
    u, v = apply(matrix, x + field[..., 0], y + field[..., 1])
    inside = shrink(within(measured[0].fine.frames[0].image, u, v).astype(np.float32), 2)
    places = np.dstack(halved_positions(u, v, (inside.shape[1], inside.shape[0])))

    def compared(m: FrameObservation) -> tuple[Image, Image]:
        """Return target and warped reference at half size, which must be equally sharp.

        Bilinear sampling softens: with it contrast was found 1 % too high, with bicubic 0.2 % too low.
        """
        return shrink(m.picture, 2), sample_at(m.exposed_small(exposure), places, cv2.INTER_CUBIC)

    some = evenly_spaced(measured, _FRAMES)
    targets, references = zip(*map_in_threads(compared, some), strict=True)
    weights = [inside] * len(some)
    tone = fit_tone(targets, references, weights)
    a = np.stack([luma(t) for t in targets])
    b = np.stack(map_in_threads(lambda reference: luma(tone(reference)), references))
    w = np.stack(weights) > 0.99
    if w.mean() < _MIN_SHARE:
        return tone, 1.0, 0.0
    return tone, float(np.mean(np.abs(a - b)[w])), _correlation(_details(a)[w], _details(b)[w])


def _correlation(a: Image, b: Image) -> float:
    """Return the correlation of two sets of samples, -1..1; 0 where one of them shows nothing."""
    if min(a.std(), b.std()) < _FLAT:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _details(pictures: Image) -> Image:
    """Return (T, h, w): luma without its coarse shades, in which any two scenes may agree."""
    sigma = max(max(pictures.shape[1:]) * _SHADE_SHARE, _MIN_SHADE_PX)
    return np.stack([without_shades(p, sigma) for p in pictures])
