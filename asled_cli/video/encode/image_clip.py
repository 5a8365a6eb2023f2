"""Writing of pictures as a small clip that any player shows."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from asled_cli.video.open_output import open_output


def write_pictures(path: Path, pictures: Iterable[NDArray[np.uint8]], rate: int) -> None:
    """Write pictures, (H, W, 3) uint8 RGB of one even size, as H.264. rate: frames per second.

    They are taken one by one.
    """
    source = iter(pictures)
    first = next(source)
    with open_output(path, "mp4") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "fast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(chain((first,), source)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
