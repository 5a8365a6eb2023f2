"""Write docs/img/before_after.{jpg,gif} from the example pair and its result.

Usage: make_pictures.py RESULT, where RESULT is the example pair deblurred with the network.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[1]
FRAME = 20  # the most blurred frame of the wide clip
CROP = (slice(20, 260), slice(140, 440))  # rows, columns
GIF_FRAMES = slice(3, 33)  # one second
CAPTION = 28  # height in pixels

Picture = NDArray[np.uint8]


def frames(path: Path) -> list[Picture]:
    """Return the RGB frames of a clip."""
    with av.open(path) as clip:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in clip.decode(video=0)]


def captioned(picture: Picture, text: str) -> Picture:
    """Return the picture with a caption above it."""
    bar = np.full((CAPTION, picture.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([bar, picture])


def enlarged(picture: Picture) -> Picture:
    """Return the picture 1.2 times as large."""
    return np.asarray(cv2.resize(picture, None, fx=1.2, fy=1.2, interpolation=cv2.INTER_CUBIC), np.uint8)


def main(result: Path) -> None:
    pair = ROOT / "examples" / "pair"
    wide, restored, truth = (frames(path) for path in (pair / "wide.mp4", result, pair / "truth.mp4"))
    panels = [
        captioned(enlarged(clip[FRAME][CROP]), name)
        for clip, name in ((wide, "input"), (restored, "asled deblur"), (truth, "ground truth"))
    ]
    out = ROOT / "docs" / "img"
    out.mkdir(exist_ok=True)
    Image.fromarray(np.hstack(panels)).save(out / "before_after.jpg", quality=90)
    steps = [
        Image.fromarray(np.hstack([captioned(a[CROP], "input"), captioned(b[CROP], "asled deblur")]))
        for a, b in zip(wide[GIF_FRAMES], restored[GIF_FRAMES], strict=True)
    ]
    palette = [step.quantize(96, dither=Image.Dither.NONE) for step in steps[::2]]
    palette[0].save(out / "before_after.gif", save_all=True, append_images=palette[1:], duration=67, loop=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
