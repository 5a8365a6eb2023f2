"""Where in the picture the change is largest, followed calmly from frame to frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

STEP = 4  # pixels between the samples of a change that are looked at
_FADE = 0.9  # of what was seen before, from frame to frame
_CLEARLY = 1.3  # times the change inside the region of now that another region must have
_GLIDE = 0.15  # of the way to a new region, from frame to frame


def strength_map(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (h, w) float32, the mean absolute change of the colours at every STEP-th pixel."""
    return np.asarray(np.abs(change[::STEP, ::STEP]).mean(-1), np.float32)


class Region:
    """A window of `size` (width, height) pixels of pictures, over the largest change of late."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._seen: NDArray[np.float32] | None = None
        self._goal = self._at = np.zeros(2)  # left, top, samples
        self._started = False

    def follow(self, strength: NDArray[np.float32]) -> tuple[int, int]:
        """Take the `strength_map` of the next frame and return (left, top) of the window, pixels."""
        self._seen = strength if self._seen is None else _FADE * self._seen + (1 - _FADE) * strength
        rows, columns = strength.shape
        width, height = (
            max(1, min(side // STEP, most)) for side, most in zip(self._size, (columns, rows), strict=True)
        )
        sums = cv2.blur(self._seen, (width, height), anchor=(0, 0))[
            : rows - height + 1, : columns - width + 1
        ]
        top, left = np.unravel_index(int(sums.argmax()), sums.shape)
        x, y = self._goal.astype(int)
        if not self._started or sums[top, left] > _CLEARLY * sums[y, x]:
            self._goal = np.array([left, top], float)
        self._at = self._at + _GLIDE * (self._goal - self._at) if self._started else self._goal
        self._started = self._started or bool(sums[top, left] > 0)
        return int(self._at[0] * STEP), int(self._at[1] * STEP)
