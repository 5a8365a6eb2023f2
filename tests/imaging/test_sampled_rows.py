"""Sampling of large pictures some rows at a time, against one call of OpenCV for the whole picture."""

import cv2
import numpy as np
import pytest

from asled_cli.imaging.warp import MovedRows, sample_rows


@pytest.mark.parametrize("size", [(64, 75), (65, 33), (40, 32), (12, 9)])
def test_rows_are_moved_and_sampled_as_the_whole_picture_is(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    width, height = size
    picture = rng.integers(0, 65536, (height, width, 3)).astype(np.uint16)
    flow = rng.normal(0, 3, (9, 12, 2)).astype(np.float32)
    places = np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR), np.float32)
    places += np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    moved = MovedRows(flow, size)
    found = np.concatenate([moved(slice(top, min(top + 7, height))) for top in range(0, height, 7)])
    np.testing.assert_allclose(found, places, atol=1e-4)
    whole = cv2.remap(picture, found[..., 0], found[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(sample_rows(picture, size, lambda rows: found[rows]), whole)
