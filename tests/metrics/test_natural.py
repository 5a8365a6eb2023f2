"""NIQE and BRISQUE against values that other programs print, and against the papers written out in SciPy."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import gamma
from skimage import data

from asled_cli.errors import WeightsError
from asled_cli.metrics import niqe_brisque as natural
from asled_cli.metrics.niqe_brisque import brisque, halve, load_natural, niqe, to_luma

MODELS = load_file(Path(__file__).parents[2] / "weights" / natural.MODELS_FILE)
Array = NDArray[np.float64]


def half(luma: Array) -> Array:
    """MATLAB's imresize(luma, 0.5) as one dense matrix per axis."""

    def matrix(length: int) -> Array:
        rows = np.zeros((-(-length // 2), length))
        for i, row in enumerate(rows):
            for j in range(2 * i - 5, 2 * i + 7):
                x = abs(2 * i + 0.5 - j) / 2
                near = 1.5 * x**3 - 2.5 * x**2 + 1
                far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
                mirrored = -1 - j if j < 0 else 2 * length - 1 - j if j >= length else j
                row[mirrored] += near if x <= 1 else far if x <= 2 else 0
            row /= row.sum()
        return rows

    return np.asarray(matrix(luma.shape[0]) @ luma @ matrix(luma.shape[1]).T)


def normal(luma: Array, mode: str) -> Array:
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    mean = scipy.ndimage.correlate(luma, window, mode=mode)
    square = scipy.ndimage.correlate(luma**2, window, mode=mode)
    found: Array = (luma - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)
    found[np.abs(found) < 1e-9] = 0
    return found


def fit(values: Array) -> tuple[float, float, float]:
    shapes = np.arange(0.2, 10.0005, 0.001)
    table = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = (np.sqrt(np.mean(values[side] ** 2)) for side in (values < 0, values > 0))
    g = left / right
    r = np.mean(np.abs(values)) ** 2 / np.mean(values**2) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    return shapes[np.argmin((table - r) ** 2)], left, right


def features(z: Array, *, deviations: bool) -> list[float]:
    """The 18 features; deviations: as BRISQUE has them, else as NIQE."""
    if deviations:
        shapes = np.arange(0.2, 10.0005, 0.001)
        table = gamma(1 / shapes) * gamma(3 / shapes) / gamma(2 / shapes) ** 2
        found = [shapes[np.argmin(np.abs(np.mean(z**2) / np.mean(np.abs(z)) ** 2 - table))], np.mean(z**2)]
    else:
        a, left, right = fit(z)
        found = [a, (left + right) / 2 * np.sqrt(gamma(1 / a) / gamma(3 / a))]
    for shift in ((0, 1), (1, 0), (1, 1), (-1, 1) if deviations else (1, -1)):
        a, left, right = fit(z * np.roll(z, shift, (0, 1)))
        width = np.sqrt(gamma(1 / a) / gamma(3 / a))
        mean = (right - left) * gamma(2 / a) / gamma(1 / a) * width
        found += [a, mean, left**2, right**2] if deviations else [a, mean, left * width, right * width]
    return found


def niqe_by_hand(luma: Array) -> float:
    rows, columns = luma.shape[0] // 96, luma.shape[1] // 96
    luma = luma[: rows * 96, : columns * 96]
    scales = []
    for size in (96, 48):
        z = normal(luma, "nearest")
        scales.append(
            [features(z[y : y + size, x : x + size], deviations=False)
             for y in range(0, rows * size, size) for x in range(0, columns * size, size)]
        )  # fmt: skip
        luma = half(luma)
    table = np.hstack(scales)
    d = MODELS["niqe.mean"] - table.mean(0)
    return float(np.sqrt(d @ np.linalg.pinv((MODELS["niqe.covariance"] + np.cov(table.T)) / 2) @ d))


def brisque_by_hand(luma: Array) -> float:
    found = features(normal(luma, "constant"), deviations=True)
    found += features(normal(half(luma), "constant"), deviations=True)
    low, high = MODELS["brisque.ranges"].T
    x = np.array([float(f"{v:.6f}") for v in found])
    x = np.array([float(f"{v:.6g}") for v in -1 + 2 * (x - low) / (high - low)])
    kernel = np.exp(-0.05 * ((MODELS["brisque.vectors"] - x) ** 2).sum(1))
    return float((MODELS["brisque.coefficients"] * kernel).sum() + 153.591)


@pytest.mark.parametrize(("height", "width"), [(200, 300), (193, 299)])
def test_equal_the_papers_written_out(height: int, width: int) -> None:
    luma = to_luma(data.chelsea()[40 : 40 + height, :width] / 255)
    assert niqe(luma, MODELS) == pytest.approx(niqe_by_hand(luma), rel=1e-6)
    assert brisque(luma, MODELS) == pytest.approx(brisque_by_hand(luma), abs=1e-6)
    np.testing.assert_allclose(halve(luma), half(luma), atol=1e-10)


@pytest.mark.parametrize(("name", "niqe_value", "brisque_value"),
                         [("chelsea", 2.57208404, 2.5731633), ("coffee", 4.05846201, 30.066435)])  # fmt: skip
def test_equal_the_authors_programs(name: str, niqe_value: float, brisque_value: float) -> None:
    """What the authors' own releases (MATLAB code, run in GNU Octave 7.3 with LIBSVM's tools) print."""
    picture = getattr(data, name)() / 255
    assert load_natural("niqe")(picture) == pytest.approx(niqe_value, abs=1e-8)
    assert load_natural("brisque")(picture) == pytest.approx(brisque_value, rel=5e-8)


def test_blur_and_noise_are_worse() -> None:
    luma = to_luma(data.chelsea() / 255)
    blurred = scipy.ndimage.gaussian_filter(luma, 2.0)
    noisy = luma + np.random.default_rng(0).normal(0, 25, luma.shape)
    for score in (niqe, brisque):
        assert max(score(luma, MODELS) + 1, 5) < min(score(blurred, MODELS), score(noisy, MODELS))


def test_too_small_or_flat_has_no_score() -> None:
    assert math.isnan(load_natural("niqe")(data.chelsea()[:180, :191] / 255))
    for name in ("niqe", "brisque"):
        assert math.isnan(load_natural(name)(np.full((200, 200, 3), 0.4)))  # type: ignore[arg-type]


def test_flat_parts_do_not_hang_on_rounding() -> None:
    """A clipped sky: adding what rounding may add must not decide which side of zero it counts to."""
    luma = to_luma(data.chelsea() / 255)
    luma[:100] = 255.0
    with_intra_frame_shake = luma * (1 + 1e-15 * np.random.default_rng(0).choice([-1, 1], luma.shape))
    for score in (niqe, brisque):
        assert score(with_intra_frame_shake, MODELS) == pytest.approx(score(luma, MODELS), rel=1e-6)


def test_damaged_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / natural.MODELS_FILE).write_bytes(b"x")
    monkeypatch.setenv("ASLED_WEIGHTS", str(tmp_path))
    natural._models.cache_clear()
    with pytest.raises(WeightsError, match="missing or damaged"):
        load_natural("niqe")
