"""The base of all restorers: a frame with its change, and a stream of frames through a restorer.

Restorers have push and flush, so that the result never depends on how frames arrive.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asled_cli.guide import Guide
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.registration.rendering.temporal_fusion import FrameWindows, fuse_window
from asled_cli.restoration.tiles import Tile
from asled_cli.video.frames import Frame

FULL_SCALE = 65535.0  # of a 16-bit picture


@dataclass(frozen=True, slots=True)
class RestoredFrame:
    """A frame and what is to be added to it.

    change: (H, W, 3) float32, RGB with 1.0 as full scale, gamma as coded; None: leave the frame as it is.
    has_reference: whether the other view was there to help. memory: what must be known to continue after this
    frame in another process, at the end of a segment; None where nothing must.
    confidence: (h, w) float16, 0..1, of the reference, on the grid of the guide; None without a reference.
    is_kept: nothing is changed, since the target is as sharp as its reference.
    """

    target: Frame
    change: NDArray[np.float32] | None
    has_reference: bool
    memory: "Memory | None" = None
    confidence: NDArray[np.float16] | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """The recurrent state of a network after a frame: for each tile; and the current piece sizes."""

    states: dict[Tile, Any]  # each a named tuple of tensors
    chunk: int
    tile: int


class Restorer(Protocol):
    """Turns aligned frames into restored ones, in order, possibly some frames later."""

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Take the next frame; return those that are finished now."""
        ...

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that are still inside; the clip is over."""
        ...


def restore(frames: Iterable[AlignedFrame], restorer: Restorer) -> Iterator[RestoredFrame]:
    """Run a whole stream of frames through a restorer."""
    for frame in frames:
        yield from restorer.push(frame)
    yield from restorer.flush()


class FusingRestorer:
    """Hands every frame on with its reference averaged over `radius` frames on either side."""

    def __init__(self, restorer: Restorer, radius: int) -> None:
        self.restorer = restorer
        self._windows = FrameWindows(radius)

    def push(self, aligned: AlignedFrame) -> list[RestoredFrame]:
        """Return what the restorer finishes with the frames that have seen their neighbours now."""
        return [done for w in self._windows.push(aligned) for done in self.restorer.push(fuse_window(w))]

    def flush(self) -> list[RestoredFrame]:
        """Finish the frames that are still inside either of the two."""
        last = [done for w in self._windows.flush() for done in self.restorer.push(fuse_window(w))]
        return last + self.restorer.flush()


class FrameByFrame:
    """Restores every frame independently, at once.

    change: what is added to a frame, (H, W, 3) float32, RGB with 1.0 as full scale; None: nothing.
    """

    def __init__(self, change: Callable[[AlignedFrame[Any]], NDArray[np.float32] | None]) -> None:
        self._change = change

    def push(self, aligned: AlignedFrame[Any]) -> list[RestoredFrame]:
        """Return this frame at once."""
        return [restored_frame(aligned, self._change(aligned))]

    def flush(self) -> list[RestoredFrame]:
        """Return nothing: no frame waits inside."""
        return []


def restored_frame(aligned: AlignedFrame[Any], change: NDArray[np.float32] | None) -> RestoredFrame:
    has_reference = aligned.reference is not None
    confidence = aligned.guide[..., Guide.CONFIDENCE].copy() if has_reference else None
    return RestoredFrame(aligned.pair.target, change, has_reference, confidence=confidence)
