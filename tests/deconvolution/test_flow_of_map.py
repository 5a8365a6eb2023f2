"""Flow of a map between frames: exact for a translation, finite for a map that moves cells to infinity."""

import numpy as np

from asled_cli.deconvolution.own_reference import flow_of_map


def test_a_translation_moves_every_cell_alike() -> None:
    moved = flow_of_map(np.array([[1.0, 0.0, 8.0], [0.0, 1.0, -4.0], [0.0, 0.0, 1.0]]), (64, 48))
    assert moved is not None
    assert moved.shape == (12, 16, 2)
    np.testing.assert_allclose(moved, np.broadcast_to([2.0, -1.0], moved.shape), atol=1e-3)


def test_a_horizon_inside_the_frame_gives_finite_flow() -> None:
    horizon = np.array(
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1 / 33.49, 0.0, 1.0]]
    )  # near the centre of a cell
    moved = flow_of_map(horizon, (64, 48))
    assert moved is not None
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() == 32  # twice the longer side of the grid


def test_no_map_has_no_flow() -> None:
    assert flow_of_map(None, (64, 48)) is None
