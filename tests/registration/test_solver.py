"""The solver of the map between the views."""

import cv2
import numpy as np
import pytest

from asled_cli.imaging.homography import Image, translation
from asled_cli.registration.geometry import solver
from asled_cli.registration.geometry.solver import LumaPair, refine


def texture(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).random((60, 80), np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.0), np.float32)


@pytest.mark.parametrize(("shift", "most"), [(0.0, 1), (0.8, 9)])
def test_refining_ends_where_no_corner_moves(
    monkeypatch: pytest.MonkeyPatch, shift: float, most: int
) -> None:
    steps = []
    solve = solver._System.solve
    monkeypatch.setattr(solver._System, "solve", lambda self, *now: steps.append(1) or solve(self, *now))
    reference = texture()
    target = cv2.warpAffine(
        reference, translation(shift, 0)[:2], (80, 60), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    found = refine([LumaPair(np.asarray(target, np.float32), reference)], np.eye(3), 20, free=2)
    assert 1 <= len(steps) <= most
    assert found.matrix[0, 2] / found.matrix[2, 2] == pytest.approx(shift, abs=0.05)


def test_the_largest_move_is_that_of_a_corner() -> None:
    assert solver._largest_move(np.eye(3), translation(0.2, -0.5), (1.0, 0.5)) == pytest.approx(0.5)
