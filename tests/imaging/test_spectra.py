"""Transforms of many pictures against NumPy's, and the same bits from any number of threads."""

import numpy as np
import pytest

from asled_cli.imaging.spectra import real_pictures, real_spectra
from asled_cli.runtime.device import torch_threads


@pytest.mark.parametrize("size", [(64, 64), (30, 41), (7, 8)])
def test_spectra_are_those_of_numpy(size: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (3, 2, *size)).astype(np.float32)
    spectra = real_spectra(pictures)
    np.testing.assert_allclose(spectra, np.fft.rfft2(pictures), atol=1e-4)
    np.testing.assert_allclose(real_pictures(spectra, size), pictures, atol=1e-6)
    turned = pictures.transpose(1, 0, 2, 3)[:, ::-1]
    np.testing.assert_array_equal(real_spectra(turned), spectra.transpose(1, 0, 2, 3)[:, ::-1])


def test_spectra_do_not_depend_on_threads_or_on_how_many_pictures_there_are() -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (40, 128, 128)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            spectra = real_spectra(pictures)
            found.append((spectra, real_pictures(spectra, (128, 128))))
    for spectra, again in found[1:]:
        np.testing.assert_array_equal(spectra, found[0][0])
        np.testing.assert_array_equal(again, found[0][1])
    np.testing.assert_array_equal(real_spectra(pictures[17:18])[0], found[0][0][17])
