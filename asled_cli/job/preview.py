"""Pictures of a registered pair: a checkerboard of both views, or both beside each other as a clip."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asled_cli.errors import InputError, UsageError
from asled_cli.registration.rendering.aligned_frame import AlignedFrame
from asled_cli.video.decode.pixel_format import to_8_bit
from asled_cli.video.encode.image_clip import write_pictures

_CELLS = 8  # of the checkerboard along the longer side
_RATE = 10  # frames per second of the preview clip, slow enough to look at
_GAP = 4  # pixels between the views


def check_preview(path: Path, inputs: Sequence[Path]) -> None:
    """Raise UsageError unless a preview can be written there."""
    if path.suffix.lower() not in (".png", ".mp4"):
        raise UsageError(f"--preview is {path.name!r}, expected a name that ends in .png or .mp4.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--preview: the folder {path.absolute().parent} does not exist.")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise UsageError(f"--preview {path} is an input, expected another file.")


def draw_preview(frames: Sequence[AlignedFrame], path: Path) -> None:
    """Write the preview. Raises InputError if no frame has a registered reference."""
    usable = [frame for frame in frames if frame.reference is not None]
    if not usable:
        raise InputError("The two views could not be registered: there is nothing to preview.")
    if path.suffix.lower() == ".png":
        picture = checkerboard(usable[len(usable) // 2])
        _, coded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        path.write_bytes(coded.tobytes())
    else:
        write_pictures(path, [side_by_side(frame) for frame in usable], _RATE)


def checkerboard(frame: AlignedFrame) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: fields of the target and of the registered reference in turn."""
    assert frame.reference is not None
    target, reference = frame.pair.target.rgb, frame.reference
    height, width = target.shape[:2]
    side = max(1, -(-max(height, width) // _CELLS))
    y, x = np.mgrid[:height, :width] // side
    return to_8_bit(np.where(((x + y) % 2 == 0)[..., None], target, reference))


def side_by_side(frame: AlignedFrame) -> NDArray[np.uint8]:
    """(H, 2 W + gap, 3) uint8: target left, registered reference right; even sides."""
    assert frame.reference is not None
    gap = np.zeros((frame.reference.shape[0], _GAP, 3), np.uint16)
    joined = to_8_bit(np.hstack([frame.pair.target.rgb, gap, frame.reference]))
    return joined[: joined.shape[0] // 2 * 2, : joined.shape[1] // 2 * 2]
