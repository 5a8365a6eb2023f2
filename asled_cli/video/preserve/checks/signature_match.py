"""Fit of the signature of a written frame to its source frame, compared with other hypotheses.

Each fault is a hypothesis: the written frame O shows X (the frame before, a mirrored picture ...) instead of
its source S. With luma cells as vectors, p = <O - S, X - S> / |X - S|^2 is 0 for O = S and 1 for O = X.
A denoised frame of a static scene has p = 1/2 towards any other frame. A deblurred frame that shows the end
of the exposure has p = 1/2 towards its neighbour. Only p above MIN_SHARE is therefore a fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.preserve.checks.frame_signature import Cells, Signature

MIN_SHARE = 0.75  # of p for a fault
MAX_SHARE = 1.4  # of p for a fault
# Cosine between O - S and X - S for a fault.
ALIGNED_TIME = 0.87  # of order; deblurred frames reach 0.81, frames at another place 0.95
ALIGNED_PLACE = 0.65  # of orientation; a shift between two of SHIFTS reaches 0.7
MIN_CHANGE = 2.0  # levels RMS by which X must differ from S
SHIFTS = (1, 2, 4, 8)  # cells, of 64 along the longer side
ZOOMS = (0.9, 0.95, 1.05, 1.1)  # scale of the picture


@dataclass(frozen=True, slots=True)
class Fit:
    """Differences of a written frame from its source frame, in levels if not stated otherwise.

    correlation: of luma cells, -1..1. spread: standard deviation of the source's luma cells.
    rms, brightness: RMS and mean difference of luma cells. contrast: ratio, by regression on the source.
    chroma, cast: RMS and mean difference of chroma cells. colourful: RMS of the source's chroma cells.
    sharpness: per level and direction, ratio of detail to that of the source without noise; NaN if the
    source has too little detail.
    """

    correlation: float
    spread: float  # standard deviation of the source's luma cells, levels
    rms: float
    brightness: float
    contrast: float
    chroma: float
    cast: float
    colourful: float
    sharpness: tuple[float, ...]


def measure_fit(source: Signature, out: Signature) -> Fit:
    """Return the differences of the written frame from its source frame."""
    one, two = _centred(source.luma), _centred(out.luma)
    power, cross = float(one @ one), float(one @ two)
    both = np.sqrt(power * float(two @ two))
    chroma, cast, colourful = 0.0, 0.0, 0.0
    if source.chroma is not None and out.chroma is not None:
        change = out.chroma - source.chroma
        chroma = float(np.sqrt(np.square(change).mean()))
        cast = float(np.linalg.norm(change.mean(axis=(1, 2))))
        colourful = float(np.sqrt(np.square(source.chroma).mean()))
    return Fit(
        correlation=cross / both if both > 0 else float(power == 0),
        spread=float(np.sqrt(power / one.size)),
        rms=float(np.sqrt(np.square(out.luma - source.luma).mean())),
        brightness=float(out.luma.mean() - source.luma.mean()),
        contrast=cross / power if power > 0 else 1.0,
        chroma=chroma,
        cast=cast,
        colourful=colourful,
        sharpness=tuple(
            _sharpness(*parts, level)
            for level, both in enumerate(zip(source.detail, out.detail, strict=False))
            for parts in zip(*both, strict=True)
        ),
    )


MAX_NOISE = 12.0  # levels of sigma; above that of phones in low light after denoising and compression
NOISE_PERCENTILE = 10  # of cells; the flattest ones show almost only noise
MIN_DETAIL = 0.6  # levels; less detail is not compared


def _sharpness(source: Cells, out: Cells, level: int) -> float:
    """Return the ratio of detail to that of the source without noise, of amplitudes; NaN below MIN_DETAIL."""
    # White noise of sigma s has, after averaging n x n pixels, curvature of (s / n)^2 * 3/8.
    most = 0.375 * (MAX_NOISE / 2 ** (level + 1)) ** 2
    noise = min(float(np.percentile(source, NOISE_PERCENTILE)), most)
    power = float(source.mean()) - noise
    if power < MIN_DETAIL**2:
        return float("nan")
    return float(np.sqrt(float(out.mean()) / power))


def _centred(luma: Cells) -> NDArray[np.float64]:
    values = luma.astype(np.float64).ravel()
    return np.asarray(values - values.mean())


@dataclass(frozen=True, slots=True)
class Match:
    """A picture shown instead of the source frame. change: its RMS difference from that frame, levels."""

    name: str
    cosine: float
    change: float


def best_match(
    source: Signature, out: Signature, others: Mapping[str, Cells], aligned: float
) -> Match | None:
    """Return which of `others` the frame shows instead of its source, None if none.

    others: luma cells by name. aligned: smallest accepted cosine.
    Brightness and contrast are removed first, so that fades and exposure changes pass.
    """
    base = _centred(source.luma)
    error = _without(_centred(out.luma), base)
    size = float(np.linalg.norm(error))
    best: Match | None = None
    for name, luma in others.items():
        change = _without(_centred(luma), base)
        length = float(np.linalg.norm(change))
        if size == 0 or length < MIN_CHANGE * np.sqrt(change.size):
            continue
        along = float(error @ change)
        share, cosine = along / length**2, along / (length * size)
        if MIN_SHARE < share < MAX_SHARE and cosine > aligned and (best is None or cosine > best.cosine):
            best = Match(name, cosine, length / np.sqrt(change.size))
    return best


def _without(values: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` without their part along `base`."""
    power = float(base @ base)
    return values if power == 0 else np.asarray(values - (float(values @ base) / power) * base)


def same_change(source: tuple[Cells, Cells], out: tuple[Cells, Cells]) -> float:
    """Return the correlation, -1..1, of the change between two frames in the source and in the copy."""
    one, two = (_centred(pair[1]) - _centred(pair[0]) for pair in (source, out))
    both = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / both if both > 0 else 0.0


def misfit(source: Cells, out: Cells) -> float:
    """Return the sum of squared differences after adjusting brightness and contrast, levels squared."""
    residual = _without(_centred(out), _centred(source))
    return float(residual @ residual)


def difference(one: Cells, two: Cells) -> float:
    """Return the RMS difference without the mean difference, levels."""
    change = _centred(one) - _centred(two)
    return float(np.sqrt(change @ change / change.size))


def mirrored_and_rotated(luma: Cells) -> dict[str, Cells]:
    """Return all mirrored and rotated versions of the picture that keep its shape, by name."""
    views = {
        "mirrored": luma[:, ::-1],
        "upside down and mirrored": luma[::-1],
        "rotated by 180 degrees": luma[::-1, ::-1],
    }
    if luma.shape[0] == luma.shape[1]:
        views |= {"rotated by 90 degrees": np.rot90(luma), "rotated by 270 degrees": np.rot90(luma, 3)}
    return {name: np.asarray(view) for name, view in views.items()}


def shifted_and_zoomed(luma: Cells, neighbours: Sequence[Cells]) -> dict[str, Cells]:
    """Return shifted and zoomed versions of the picture, by name.

    Only versions that differ more than the neighbours: a deblurred frame may show any time of its exposure.
    """
    motion = max((difference(luma, other) for other in neighbours), default=0.0)
    views = dict(_shifts(luma)) | {f"zoomed by {zoom:g}": _zoomed(luma, zoom) for zoom in ZOOMS}
    return {name: view for name, view in views.items() if difference(view, luma) >= motion}


def _shifts(luma: Cells) -> Iterator[tuple[str, Cells]]:
    height, width = luma.shape
    for name, axis, sign in (("left", 1, -1), ("right", 1, 1), ("up", 0, -1), ("down", 0, 1)):
        for step in SHIFTS:
            share = step / (width if axis else height)
            yield f"shifted {name} by {share:.0%}", _shifted(luma, axis, sign * step)


def _zoomed(luma: Cells, zoom: float) -> Cells:
    """Return the picture scaled about its centre, with the border repeated."""
    height, width = luma.shape
    x, y = (1 - zoom) * (width - 1) / 2, (1 - zoom) * (height - 1) / 2
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(luma, matrix, (width, height), borderMode=border), np.float32)


def _shifted(luma: Cells, axis: int, step: int) -> Cells:
    """Return the picture shifted by `step` cells, with the border repeated."""
    places = np.clip(np.arange(luma.shape[axis]) - step, 0, luma.shape[axis] - 1)
    return np.asarray(np.take(luma, places, axis=axis))
