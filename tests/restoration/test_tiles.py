"""Tiles cover a picture once, softly, and stay on the guide's grid."""

import pytest
import torch

from asled_cli.guide import GUIDE_STRIDE
from asled_cli.nets.interface import ChunkInputs
from asled_cli.restoration.tiles import cut_tiles

SIZES = [(64, 96), (101, 67), (7, 5), (300, 130)]


def inputs_of(height: int, width: int) -> ChunkInputs:
    rows, columns = -(-height // GUIDE_STRIDE), -(-width // GUIDE_STRIDE)
    generator = torch.Generator().manual_seed(height * width)
    pictures = torch.rand(1, 2, 3, height, width, generator=generator)
    return ChunkInputs(
        target=pictures,
        reference=pictures,
        guide=torch.zeros(1, 2, 6, rows, columns),
        flow_previous=torch.zeros(1, 2, 2, rows, columns),
        flow_next=torch.zeros(1, 2, 2, rows, columns),
        reset=torch.zeros(1, 2, dtype=torch.bool),
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("tile", [0, 48, 64])
def test_parts_add_up_to_the_picture(height: int, width: int, tile: int) -> None:
    inputs = inputs_of(height, width)
    total = torch.zeros(height, width, 3)
    for part in cut_tiles(height, width, tile, halo_px=20):
        cut = part.of(inputs)
        assert cut.guide.shape[-2] == -(-cut.target.shape[-2] // GUIDE_STRIDE)
        assert cut.guide.shape[-1] == -(-cut.target.shape[-1] // GUIDE_STRIDE)
        part.add(total, cut.target[0, 0].permute(1, 2, 0))
    torch.testing.assert_close(total, inputs.target[0, 0].permute(1, 2, 0))


def test_no_tile_is_larger_than_asked_for() -> None:
    for part in cut_tiles(1080, 1920, 500, halo_px=64):
        for span in (part.rows, part.columns):
            assert span.inner_stop - span.inner_start <= 500 + GUIDE_STRIDE
            assert span.start % GUIDE_STRIDE == 0


def test_zero_means_one_tile() -> None:
    (only,) = cut_tiles(1080, 1920, 0, halo_px=64)
    assert (only.rows.stop, only.columns.stop) == (1080, 1920)
