"""The plain swap: the registered reference in the place of the target wherever its confidence is high."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.restoration.base import FULL_SCALE, FrameByFrame
from asled_cli.restoration.sharp_regions import limit_colour


class SwapRestorer(FrameByFrame):
    """Replaces the target by the aligned reference where confidence is high; no network."""

    def __init__(self, strength: float) -> None:
        super().__init__(partial(_swapped, strength))


def _swapped(strength: float, aligned: AlignedFrame) -> NDArray[np.float32] | None:
    nothing = aligned.reference is None or strength == 0
    return None if nothing else limit_colour(aligned, swap_change(aligned, strength))


def swap_change(aligned: AlignedFrame, strength: float) -> NDArray[np.float32]:
    """Return (H, W, 3): what the plain swap adds to a frame that has a reference."""
    assert aligned.reference is not None
    change = aligned.reference.astype(np.float32)
    change -= aligned.pair.target.rgb
    change *= (swap_weight(aligned) * np.float32(strength / FULL_SCALE))[..., None]
    return change
