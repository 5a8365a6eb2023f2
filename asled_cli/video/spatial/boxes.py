"""The boxes of a sample entry that describe two views: `lhvC`, `vexu`, `hfov`.

Layout: ISO/IEC 14496-15 (`lhvC`) and Apple's "Stereo video in ISO base media files" (`vexu`, `hfov`).
"""

import struct
from collections.abc import Mapping
from dataclasses import replace

from asled_cli.video.frames import StereoInfo
from asled_cli.video.mp4_boxes import child_of

MAX_FOV_MILLIDEGREES = 360_000
FULL_DISPARITY = 10_000  # `dadj` counts in shares of the picture's width


def describe(info: StereoInfo, boxes: Mapping[bytes, bytes]) -> StereoInfo:
    """Return `info` with what `vexu` and `hfov` say. boxes: bodies by kind, of the sample entry."""
    vexu = memoryview(boxes.get(b"vexu", b""))
    baseline = _number(child_of(vexu, b"eyes", b"cams", b"blin")[4:], ">I")
    adjustment = _number(child_of(vexu, b"eyes", b"cmfy", b"dadj")[4:], ">i")
    fov = _number(memoryview(boxes.get(b"hfov", b"")), ">I")
    return replace(
        info,
        baseline_mm=baseline / 1000 if baseline else info.baseline_mm,
        disparity_shift=info.disparity_shift if adjustment is None else adjustment / FULL_DISPARITY,
        fov_deg=fov / 1000 if fov and fov < MAX_FOV_MILLIDEGREES else info.fov_deg,
    )


def _number(data: memoryview, form: str) -> int | None:
    """Return the whole number that a box holds, None if it is too short."""
    return int(struct.unpack_from(form, data)[0]) if len(data) >= struct.calcsize(form) else None
