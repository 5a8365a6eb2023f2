"""The plain swap: the registered reference in the place of the target wherever its confidence is high."""

from typing import Any

from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.restoration.base import RestoredFrame, restored_frame
from asled_cli.restoration.pictures.changes import OPENCV_CHANGES, ChangePictures
from asled_cli.restoration.sharp_regions import limit_colour


class SwapRestorer:
    """Replaces the target by the aligned reference where confidence is high; no network.

    pictures: does the work on full pictures, which are of its kind.
    """

    def __init__(self, strength: float, pictures: ChangePictures[Any] = OPENCV_CHANGES) -> None:
        self._strength, self._pictures = strength, pictures

    def push(self, aligned: AlignedFrame[Any]) -> list[RestoredFrame]:
        """Return this frame at once."""
        if aligned.reference is None or self._strength == 0:
            return [restored_frame(aligned, None)]
        change = limit_colour(aligned, self._pictures.swap(aligned, self._strength), self._pictures)
        return [restored_frame(aligned, self._pictures.array(change))]

    def flush(self) -> list[RestoredFrame]:
        """Return nothing: no frame waits inside."""
        return []
