"""The operations on changes at full size, by OpenCV on the CPU. `device_changes` does the same by torch.

A change (H, W, 3) float32 is what is added to a target, 1.0 as full scale. Blocks are small arrays for both.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from asled_cli.imaging.homography import Image
from asled_cli.registration.rendering.aligned_frame import AlignedFrame, swap_weight
from asled_cli.restoration.base import FULL_SCALE

_ROWS = 32  # of a picture changed at a time


class Shaped(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Any:
        """Return the length of each axis."""
        ...


Change = TypeVar("Change", bound=Shaped, default=NDArray[np.float32])


class ChangePictures(Protocol[Change]):
    """The operations; blocks are (rows, columns[, 3]) float32."""

    def block_means(self, change: Change, blocks: tuple[int, int]) -> Image:
        """Return the mean change (rows, columns, 3) of each block. blocks: in a row and in a column."""
        ...

    def without(self, change: Change, excess: Image) -> Change:
        """Return the change minus `excess` (rows, columns, 3), enlarged bilinearly."""
        ...

    def faded(self, change: Change, sharp: Image) -> Change:
        """Return the change times 1 - `sharp` (rows, columns), enlarged bilinearly."""
        ...

    def swap(self, aligned: AlignedFrame[Any], strength: float) -> Change:
        """Return what the plain swap adds to a frame that has a reference, times `strength`."""
        ...

    def through_swap(
        self, change: Change, sharp: Image, aligned: AlignedFrame[Any], strength: float
    ) -> Change:
        """Return the change where `sharp` (rows, columns) is 0; towards 1, it fades to swap, then to 0."""
        ...

    def array(self, change: Change) -> NDArray[np.float32]:
        """Return the change as an array on the CPU."""
        ...


class OpenCvChanges:
    """The operations on arrays."""

    def block_means(self, change: NDArray[np.float32], blocks: tuple[int, int]) -> Image:
        """Return the mean change of each block, see `ChangePictures`."""
        means = cv2.resize(change, blocks, interpolation=cv2.INTER_AREA)
        return np.asarray(means, np.float32).reshape(*blocks[::-1], 3)

    def without(self, change: NDArray[np.float32], excess: Image) -> NDArray[np.float32]:
        """Return the change minus the excess of each block, see `ChangePictures`."""
        return np.asarray(change - _enlarged(excess, change), np.float32)

    def faded(self, change: NDArray[np.float32], sharp: Image) -> NDArray[np.float32]:
        """Return the change where nothing is sharp, see `ChangePictures`."""
        share, out = 1 - _enlarged(sharp, change), np.empty_like(change)
        for rows in _bands(change):
            np.multiply(change[rows], _for_colours(share[rows]), out=out[rows])
        return out

    def swap(self, aligned: AlignedFrame, strength: float) -> NDArray[np.float32]:
        """Return what the plain swap adds, see `ChangePictures`."""
        return swap_change(aligned, strength)

    def through_swap(
        self, change: NDArray[np.float32], sharp: Image, aligned: AlignedFrame, strength: float
    ) -> NDArray[np.float32]:
        """Return the change, faded through swap where sharp, see `ChangePictures`."""
        sharpness, out = _enlarged(sharp, change), np.empty_like(change)
        swapped = _swapped_rows(aligned, strength)
        for rows in _bands(change):
            share, part = _for_colours(sharpness[rows]), out[rows]
            np.multiply(1 - share, swapped(rows), out=part)
            part -= change[rows]
            part *= share
            part += change[rows]
        return out

    def array(self, change: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the change itself."""
        return change


OPENCV_CHANGES = OpenCvChanges()


def swap_change(aligned: AlignedFrame, strength: float) -> NDArray[np.float32]:
    """Return (H, W, 3): what the plain swap adds to a frame that has a reference."""
    change = np.empty(aligned.pair.target.rgb.shape, np.float32)
    swapped = _swapped_rows(aligned, strength)
    for rows in _bands(change):
        change[rows] = swapped(rows)
    return change


def _swapped_rows(aligned: AlignedFrame, strength: float) -> Callable[[slice], Image]:
    """Return what gives some rows (n, W, 3) of `swap_change`, which stay in a processor's cache."""
    reference, target = aligned.reference, aligned.pair.target.rgb
    assert reference is not None
    weight = swap_weight(aligned) * np.float32(strength / FULL_SCALE)

    def swapped(rows: slice) -> Image:
        change = reference[rows].astype(np.float32)
        change -= target[rows]
        change *= _for_colours(weight[rows])
        return change

    return swapped


def _bands(picture: Image) -> Iterator[slice]:
    """Yield all rows of a picture, some at a time."""
    for top in range(0, len(picture), _ROWS):
        yield slice(top, min(top + _ROWS, len(picture)))


def _for_colours(weight: Image) -> Image:
    """Return (H, W, 3): a weight (H, W) once for each colour."""
    return np.asarray(cv2.merge([weight] * 3), np.float32)


def _enlarged(blocks: Image, like: NDArray[np.float32]) -> Image:
    """Return blocks (rows, columns[, 3]) at the size of a change, bilinear."""
    height, width = like.shape[:2]
    return np.asarray(cv2.resize(blocks, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
