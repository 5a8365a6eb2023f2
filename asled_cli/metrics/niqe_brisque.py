"""NIQE and BRISQUE: no-reference image quality from natural scene statistics; lower is better.

NIQE: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer" (2013). BRISQUE:
Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain" (2012). Both fit
generalised Gaussians to the divisively normalised luma and to the products of its neighbours, at two scales.
This gives 36 numbers. NIQE compares their distribution over the blocks of the image with that of undistorted
photos. BRISQUE applies a support vector regression. The statistics of the photos and the regression are those
that the authors released.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from asled_cli.errors import WeightsError
from asled_cli.metrics.psnr_ssim import Picture
from asled_cli.zoo.checkpoint import hash_file, weight_folders

Luma = NDArray[np.float64]
"""Luma (H, W), 0..255."""
Features = NDArray[np.float64]

# Converted from utlive/niqe and utlive/BRISQUE, see weights/README.md.
MODELS_FILE = "natural_scenes.safetensors"
MODELS_SHA256 = "f90474ce19f8b15d9eae3c7d0c208913afe44447a2f7bdef784c4d96c3f71090"
BLOCK_PX = 96  # side of a NIQE block at full size, as in the paper
# Luma weights of the authors' programs: Rec. 601 with more digits.
_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
_WINDOW = cv2.getGaussianKernel(7, 7 / 6)  # of the local mean and deviation, as in both papers
_SHAPES = np.arange(200, 10001) / 1000.0  # grid of the shape parameter, as in the authors' code
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1))  # to the left, above, above left; the fourth differs, see _products
_ROUNDING = 1e-9  # of values up to 255 in float64, with ample room
# BRISQUE's radial basis functions: width and offset of the released regression.
_RBF_GAMMA = 0.05
_RBF_RHO = -153.591


def load_natural(name: Literal["niqe", "brisque"]) -> Callable[[Picture], float]:
    """Return the metric `name` as a function of an image (H, W, 3), 0..1.

    The score is not a number for images that are too small or flat. Raises WeightsError if the models that
    come with the program are missing or damaged.
    """
    models = _models()
    score = niqe if name == "niqe" else brisque
    return lambda picture: score(to_luma(picture), models)


def to_luma(picture: Picture) -> Luma:
    """Return the luma of an image (H, W, 3), 0..1, in whole 8-bit steps as in the authors' programs."""
    return np.asarray(np.rint(picture @ _LUMA * 255.0), np.float64)


def niqe(luma: Luma, models: dict[str, Features]) -> float:
    """Return the NIQE score: the distance of the Gaussians of blocks and natural photos (equation 10).

    The score is not a number for fewer than two textured blocks of 96x96, because they have no covariance.
    """
    rows, columns = (length // BLOCK_PX for length in luma.shape)
    if rows * columns < 2:
        return math.nan
    luma = luma[: rows * BLOCK_PX, : columns * BLOCK_PX]
    scales = []
    for size in (BLOCK_PX, BLOCK_PX // 2):
        normal = normalise(luma, cv2.BORDER_REPLICATE)
        blocks = normal.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
        scales.append([_niqe_features(block) for block in blocks])
        luma = halve(luma)
    features = np.concatenate(scales, axis=1)
    features = features[np.isfinite(features).all(axis=1)]  # flat blocks have no shape
    if len(features) < 2:
        return math.nan
    away = models["niqe.mean"] - features.mean(axis=0)
    spread = (models["niqe.covariance"] + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(away @ np.linalg.pinv(spread) @ away))


def brisque(luma: Luma, models: dict[str, Features]) -> float:
    """Return the BRISQUE score: 0 (natural) to 100 for most images, without a hard limit.

    The score is not a number for a flat image.
    """
    features: list[float] = []
    for _ in range(2):
        features += _brisque_features(normalise(luma, cv2.BORDER_CONSTANT))
        luma = halve(luma)
    low, high = models["brisque.ranges"].T
    # The authors' program hands both on through text files: 6 decimals, then 6 digits.
    scaled = (np.round(features, 6) - low) / (high - low) * 2 - 1
    scaled = np.array([float(f"{value:g}") for value in scaled])
    distance = np.square(models["brisque.vectors"] - scaled).sum(axis=1)
    return float(np.exp(-_RBF_GAMMA * distance) @ models["brisque.coefficients"] - _RBF_RHO)


def normalise(luma: Luma, border: int) -> Luma:
    """Return (luma - local mean) / (local standard deviation + 1), equation 1 of both papers.

    The result is exactly 0 where the image is flat. Without that, the sign of rounding errors would decide on
    which side of zero flat areas are counted, and the authors' programs then differ between machines.
    """

    def blur(values: Luma) -> Luma:
        return np.asarray(cv2.sepFilter2D(values, -1, _WINDOW, _WINDOW, borderType=border), np.float64)

    mean = blur(luma)
    deviation = np.sqrt(np.abs(blur(luma * luma) - mean * mean))
    normal = (luma - mean) / (deviation + 1.0)
    return np.where(np.abs(normal) < _ROUNDING, 0.0, normal)


def halve(luma: Luma) -> Luma:
    """Return the image at half size, reduced by an antialiased cubic kernel.

    Edges are mirrored. Odd sizes are rounded up.
    """
    for axis in (0, 1):
        padded = np.pad(luma, [(3, 5) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        count = -(-luma.shape[axis] // 2)
        taps = [np.take(padded, np.arange(tap, tap + 2 * count, 2), axis) for tap in range(8)]
        weights = [_cubic((tap - 3.5) / 2) / 2 for tap in range(8)]
        total = sum(weights)
        luma = np.asarray(sum(w / total * values for w, values in zip(weights, taps, strict=True)))
    return luma


def _cubic(x: float) -> float:
    """Return Keys' cubic kernel with a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def _niqe_features(block: Luma) -> list[float]:
    """Return the 18 features of one block at one scale."""
    shape, left, right = _fit_asymmetric(block)
    width = _width(shape)
    features = [shape, (left + right) * width / 2]
    for product in _products(block, (1, -1)):
        shape, left, right = _fit_asymmetric(product)
        width = _width(shape)
        mean = (right - left) * width * math.exp(math.lgamma(2 / shape) - math.lgamma(1 / shape))
        features += [shape, mean, left * width, right * width]
    return features


def _brisque_features(normal: Luma) -> list[float]:
    """Return the 18 features of the whole image at one scale."""
    square, magnitude = float(np.mean(normal * normal)), float(np.mean(np.abs(normal)))
    if not magnitude:
        return [math.nan] * 18
    peak = square / magnitude**2
    features = [float(_SHAPES[np.argmin(np.abs(peak - 1 / _shape_ratios()))]), square]
    for product in _products(normal, (-1, 1)):
        shape, left, right = _fit_asymmetric(product)
        mean = (right - left) * math.exp(math.lgamma(2 / shape) - math.lgamma(1 / shape)) * _width(shape)
        features += [shape, mean, left * left, right * right]
    return features


def _products(normal: Luma, fourth: tuple[int, int]) -> Iterator[Luma]:
    """Return the values times their neighbours to the left, above and on both diagonals, around the edges.

    fourth: the second diagonal. The two programs take it in opposite directions.
    """
    for shift in (*_NEIGHBOURS, fourth):
        yield normal * np.roll(normal, shift, axis=(0, 1))


def _fit_asymmetric(values: Luma) -> tuple[float, float, float]:
    """Fit an asymmetric generalised Gaussian by moments.

    Returns its shape and the standard deviations left and right of zero.
    """
    below, above = values[values < 0], values[values > 0]
    if not below.size or not above.size:
        return (math.nan,) * 3
    left, right = math.sqrt(np.mean(below * below)), math.sqrt(np.mean(above * above))
    skew = left / right
    ratio = float(np.mean(np.abs(values))) ** 2 / float(np.mean(values * values))
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    return float(_SHAPES[np.argmin(np.abs(_shape_ratios() - ratio))]), left, right


def _width(shape: float) -> float:
    """Return the scale of a generalised Gaussian divided by its standard deviation."""
    return math.exp((math.lgamma(1 / shape) - math.lgamma(3 / shape)) / 2)


@cache
def _shape_ratios() -> Features:
    """Return the squared mean magnitude over the mean square for every shape."""
    return np.array(
        [math.exp(2 * math.lgamma(2 / s) - math.lgamma(1 / s) - math.lgamma(3 / s)) for s in _SHAPES]
    )


@cache
def _models() -> dict[str, Features]:
    path = next((f / MODELS_FILE for f in weight_folders() if (f / MODELS_FILE).is_file()), None)
    if path is None or hash_file(path) != MODELS_SHA256:
        raise WeightsError(f"{MODELS_FILE} is missing or damaged.", "Install the program again.")
    return dict(load_file(path))
