"""The plain swap: the registered reference in the place of the target wherever its confidence is high."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import FrameByFrame
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES, ChangePictures
from asled_cli.restoration.sharp_regions import limit_colour


class SwapRestorer(FrameByFrame):
    """Replaces the target by the aligned reference where confidence is high; no network.

    pictures: does the work on full pictures, which are of its kind.
    """

    def __init__(self, strength: float, pictures: ChangePictures[Any] = OPENCV_CHANGES) -> None:
        super().__init__(partial(_swapped, strength, pictures))


def _swapped(
    strength: float, pictures: ChangePictures[Any], aligned: AlignedFrame[Any]
) -> NDArray[np.float32] | None:
    if aligned.reference is None or strength == 0:
        return None
    return pictures.array(limit_colour(aligned, pictures.swap(aligned, strength), pictures))
