"""Pictures of a registered pair: a checkerboard of both views, or both beside each other as a clip."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError
from asled_cli.job.show.drawing import check_drawing, write_drawing
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.encode.image_clip import write_pictures

_OPTION = "--preview"
_CELLS = 8  # of the checkerboard along the longer side
_RATE = 10  # frames per second of the preview clip, slow enough to compare by eye
_GAP = 4  # pixels between the views


def check_preview(path: Path, inputs: Sequence[Path], *, overwrite: bool = False) -> None:
    """Raise UsageError unless a preview can be written there, and may be."""
    check_drawing(_OPTION, path, inputs, overwrite=overwrite)


def draw_preview(frames: Sequence[AlignedFrame], path: Path, *, overwrite: bool = False) -> None:
    """Write the preview, complete or not at all.

    Raises InputError if no frame has a registered reference, UsageError if a file has appeared at `path` and
    `overwrite` is False, AsledError if it cannot be written.
    """
    usable = [frame for frame in frames if frame.reference is not None]
    if not usable:
        raise InputError("The two views could not be registered: there is nothing to preview.")
    if path.suffix.lower() == ".png":
        picture = checkerboard(usable[len(usable) // 2])
        data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()
        write: Callable[[Path], object] = partial(Path.write_bytes, data=data)
    else:
        pictures = [side_by_side(frame) for frame in usable]
        write = partial(write_pictures, pictures=pictures, rate=_RATE)
    write_drawing(_OPTION, path, write, overwrite=overwrite)


def checkerboard(frame: AlignedFrame) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8: fields of the target and of the registered reference in turn."""
    assert frame.reference is not None
    target, reference = frame.pair.target.rgb, frame.reference
    height, width = target.shape[:2]
    side = max(1, -(-max(height, width) // _CELLS))
    y, x = np.mgrid[:height, :width] // side
    return to_8_bit(np.where(((x + y) % 2 == 0)[..., None], target, reference))


def side_by_side(frame: AlignedFrame) -> NDArray[np.uint8]:
    """Return (H, 2 W + gap, 3) uint8: target left, registered reference right; even sides."""
    assert frame.reference is not None
    gap = np.zeros((frame.reference.shape[0], _GAP, 3), np.uint16)
    joined = to_8_bit(np.hstack([frame.pair.target.rgb, gap, frame.reference]))
    return joined[: joined.shape[0] // 2 * 2, : joined.shape[1] // 2 * 2]
