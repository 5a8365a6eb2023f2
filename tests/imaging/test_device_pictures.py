"""The picture operations of a GPU, on torch's CPU device: each against OpenCV's."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asled_cli.imaging import light
from asled_cli.imaging.on_device import sampling
from asled_cli.imaging.on_device.codes import by_table, download, to_codes, upload, values
from asled_cli.imaging.on_device.resizing import averaged, enlarged
from asled_cli.imaging.on_device.sampling import pixel_grid, sample

CPU = torch.device("cpu")
ALL_CODES = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(height).random((height, width, channels), np.float32)


def test_every_code_survives_the_way_to_the_device_and_back() -> None:
    there = upload(ALL_CODES, CPU)
    np.testing.assert_array_equal(download(there), ALL_CODES)
    np.testing.assert_array_equal(values(there).numpy(), ALL_CODES.astype(np.float32))
    np.testing.assert_array_equal(download(to_codes(values(there))), ALL_CODES)


def test_numbers_are_rounded_and_clipped_as_by_opencv() -> None:
    numbers = np.array([[-3.0, 0.49, 0.5, 1.5, 2.5, 32767.5, 32768.4, 65534.5, 65535.4, 9e4]], np.float32)
    wanted = cv2.add(numbers.astype(np.float64), np.zeros_like(numbers, np.float64), dtype=cv2.CV_16U)
    np.testing.assert_array_equal(download(to_codes(torch.from_numpy(numbers))), wanted)


def test_a_read_only_picture_is_uploaded() -> None:
    picture = ALL_CODES.copy()
    picture.flags.writeable = False
    np.testing.assert_array_equal(download(upload(picture[::-1], CPU)), ALL_CODES[::-1])


def test_only_numbers_that_every_device_knows_are_uploaded() -> None:
    for given, known in ((np.float64, torch.float32), (np.float16, torch.float16), (np.uint16, torch.int16)):
        assert upload(np.ones((2, 3), given), CPU).dtype == known


def test_codes_are_replaced_by_table() -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 65536, (3, 65536)).astype(np.uint16)
    picture = rng.integers(0, 65536, (40, 30, 3)).astype(np.uint16)
    found = by_table(upload(picture, CPU), upload(table, CPU))
    np.testing.assert_array_equal(download(found), light.by_table(picture, table))


@pytest.mark.parametrize(("cubic", "interpolation"), [(False, cv2.INTER_LINEAR), (True, cv2.INTER_CUBIC)])
def test_pictures_are_sampled_as_by_opencv_inside_and_far_outside(cubic: bool, interpolation: int) -> None:
    picture, rng = noise(40, 60), np.random.default_rng(1)
    u, v = (rng.uniform(-9, side + 9, (30, 50)).astype(np.float32) for side in (60, 40))
    u[0, :4], v[0, :4] = (-1e7, 1e7, 59, 0), (5, 1e7, 39, 0)
    found = sample(torch.from_numpy(picture), torch.from_numpy(u), torch.from_numpy(v), cubic=cubic)
    near = (
        np.clip(u, -99, 99),
        np.clip(v, -99, 99),
    )  # OpenCV keeps whole parts in 16 bits, and 4 rounds to 1/32
    wanted = cv2.remap(picture, *near, interpolation, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5 if cv2.__version__ >= "5" else 0.1)


def test_large_pictures_are_sampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, rng = torch.from_numpy(noise(40, 60)), np.random.default_rng(2)
    u, v = (torch.from_numpy(rng.uniform(0, side, (31, 50)).astype(np.float32)) for side in (60, 40))
    whole = sample(picture, u, v, cubic=True)
    monkeypatch.setattr(sampling, "_PIXELS", 4 * 50)
    assert torch.equal(sample(picture, u, v, cubic=True), whole)


def test_the_grid_names_every_pixel() -> None:
    x, y = pixel_grid(3, 4, CPU)
    np.testing.assert_array_equal((x + 10 * y).numpy(), np.arange(4) + 10 * np.arange(3)[:, None])


@pytest.mark.parametrize("size", [(120, 80), (75, 44), (23, 17)])
def test_grids_are_enlarged_as_by_opencv(size: tuple[int, int]) -> None:
    grid = noise(16, 22, 2)
    wanted = cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(enlarged(torch.from_numpy(grid), size).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(30, 20), (23, 17), (60, 13), (90, 71)])
def test_pictures_are_averaged_as_by_opencv(size: tuple[int, int]) -> None:
    """By whole factors, by others, along one side only, and enlarged."""
    picture = noise(40, 60)
    wanted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(averaged(torch.from_numpy(picture), size).numpy(), wanted, atol=1e-6)
