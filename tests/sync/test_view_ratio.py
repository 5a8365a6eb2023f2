"""The ratio of two fields of view, from pictures alone."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from factories.shaken_clip import make_scene

from asled_cli.imaging.light import linear_to_srgb
from asled_cli.registration.geometry.canvas import reduce_for_analysis
from asled_cli.sync.lens_order import find_ratio
from asled_cli.video.frames import Frame, FramePair

SIZE = (256, 160)


def pair(ratio: float, *, stranger: bool = False) -> FramePair:
    """Return the middle of a scene, and all of it at `ratio` times the field of view."""
    whole = linear_to_srgb(make_scene((2 * SIZE[0], 2 * SIZE[1])))
    wide = cv2.resize(whole, (round(2 * SIZE[0] * ratio / 2), round(2 * SIZE[1] * ratio / 2)))
    top, left = (wide.shape[0] - SIZE[1]) // 2, (wide.shape[1] - SIZE[0]) // 2
    target = wide[top : top + SIZE[1], left : left + SIZE[0]]
    other = linear_to_srgb(make_scene((2 * SIZE[0], 2 * SIZE[1]), seed=5)) if stranger else whole
    reference = cv2.resize(other, SIZE, interpolation=cv2.INTER_AREA)
    frames = [Frame(0, 0, Fraction(0), np.asarray(p * 65535, np.uint16), None) for p in (target, reference)]
    return reduce_for_analysis(FramePair(*frames))


@pytest.mark.parametrize(("ratio", "found"), [(1.0, 1.0), (2.0, None), (3.2, 3.2)])
def test_uncommon_ratios_are_found(ratio: float, found: float | None) -> None:
    assert find_ratio([pair(ratio)] * 2) == (None if found is None else pytest.approx(found, rel=0.05))


def test_strangers_have_none() -> None:
    assert find_ratio([pair(2.0, stranger=True)] * 2) is None
