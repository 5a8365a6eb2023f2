"""Tiles cover a picture once, softly, and stay on the guide's grid."""

import pytest
import torch

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.restoration.tiles import cut_tiles

SIZES = [(64, 96), (101, 67), (7, 5), (300, 130)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("tile", [0, 48, 64])
def test_parts_add_up_to_the_picture(height: int, width: int, tile: int) -> None:
    picture = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(height * width))
    guide = torch.zeros(-(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE))
    total = torch.zeros(height, width, 3)
    for part in cut_tiles(height, width, tile, halo_px=20):
        cut = picture[part.full]
        assert guide[part.grid].shape == tuple(-(-side // GUIDE_STRIDE) for side in cut.shape[:2])
        part.add(total, cut)
    torch.testing.assert_close(total, picture)


def test_no_tile_is_larger_than_asked_for() -> None:
    for part in cut_tiles(1080, 1920, 500, halo_px=64):
        for span in (part.rows, part.columns):
            assert span.inner_stop - span.inner_start <= 500 + GUIDE_STRIDE
            assert span.start % GUIDE_STRIDE == 0


def test_zero_means_one_tile() -> None:
    (only,) = cut_tiles(1080, 1920, 0, halo_px=64)
    assert (only.rows.stop, only.columns.stop) == (1080, 1920)
