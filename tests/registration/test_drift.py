"""Views that move against each other within a clip, as stabilisation makes them."""

from fractions import Fraction

import numpy as np
import pytest
from factories.textures import texture

from asled_cli.imaging.homography import apply, pixel_grid
from asled_cli.lab.camera.dual_lens import LensRig
from asled_cli.lab.camera.filming import Lens, draw_hand_motion, film
from asled_cli.registration.analyse import analyse
from asled_cli.registration.geometry.lenses import LensPrior
from asled_cli.video.decode.pixel_format import to_16_bit
from asled_cli.video.frames import Frame, FramePair

SIZE, RATIO = (192, 108), 1.6
STARTS_S, SPAN_S = (0.2, 2.5, 4.8), 5
FRAMES, RATE, EXPOSURE_S = 8, 30, 0.8 / 30
SPEED_PX_S = 93.0  # a blur of 3.5 pixels, 35 of a picture of 1920
TOLERANCE_PX = 0.06


def rig(time_s: float) -> LensRig:
    """Zooms by 3 % and shifts by 4 pixels over the clip."""
    share = time_s / SPAN_S - 0.5
    return LensRig(RATIO * (1 + 0.03 * share), 1.0, (2 + 4 * share, -1 - 2 * share))


def filmed_run(start_s: float, seed: int) -> list[FramePair]:
    """A few neighbouring pairs of a wall filmed by hand."""
    wall, hand = texture(700, 450, seed=6), draw_hand_motion(seed, SPEED_PX_S)
    times = [start_s + i / RATE for i in range(FRAMES)]
    lenses = Lens(SIZE, None, EXPOSURE_S), Lens(SIZE, rig, 0.1 * EXPOSURE_S)
    views = [to_16_bit(film(wall, hand, lens, times, SIZE)) for lens in lenses]
    stamps = [Fraction(time).limit_denominator(90_000) for time in times]
    return [
        FramePair(Frame(i, i, stamp, views[0][i], None), Frame(i, i, stamp, views[1][i], None))
        for i, stamp in enumerate(stamps)
    ]


@pytest.mark.slow
def test_drift_is_not_taken_for_an_exposure_off_its_timestamp() -> None:
    found = analyse([filmed_run(start, seed=2) for start in STARTS_S], LensPrior())
    assert abs(found.exposure.shift) < 0.02
    x, y = pixel_grid(SIZE)
    for knot in found.knots:
        u, v = apply(knot.homography, x + knot.field[..., 0], y + knot.field[..., 1])
        true_u, true_v = apply(Lens(SIZE, rig).from_wide(knot.time_s, SIZE), x, y)
        assert np.median(np.hypot(u - true_u, v - true_v)) * RATIO < TOLERANCE_PX
