"""Side data of frames: display matrix, HDR metadata, Dolby Vision, view of a spatial pair."""

from enum import Enum
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideType

from asled_cli.video.frames import Eye


def read_side_data(frame: av.VideoFrame, kind: SideType) -> bytes | None:
    """Return the bytes of one kind of side data, None without it."""
    try:
        data = cast("dict[SideType, SideData]", frame.side_data).get(kind)
    except ValueError:  # a kind that PyAV does not know hides all others
        return None
    return None if data is None else bytes(data)


def read_ambient_light(frame: av.VideoFrame) -> tuple[int, int, int] | None:
    """Return the ambient viewing environment: illuminance in 0.0001 lux, x and y of its colour in 0.00002."""
    raw = read_side_data(frame, SideType.AMBIENT_VIEWING_ENVIRONMENT)
    if raw is None or len(raw) < 24:
        return None
    numbers = np.frombuffer(raw[:24], np.int32).reshape(3, 2).astype(np.float64)
    if (numbers[:, 1] == 0).any():
        return None
    lux, x, y = (round(float(value)) for value in numbers[:, 0] / numbers[:, 1] * (10_000, 50_000, 50_000))
    fits = 0 <= lux < 1 << 32 and 0 <= x < 1 << 16 and 0 <= y < 1 << 16
    return (lux, x, y) if fits else None


def read_content_light(frame: av.VideoFrame) -> tuple[int, int] | None:
    """Return the largest and the average content light level (MaxCLL, MaxFALL), cd/m2."""
    raw = read_side_data(frame, SideType.CONTENT_LIGHT_LEVEL)
    if raw is None or len(raw) < 8:
        return None
    largest, average = np.frombuffer(raw[:8], np.uint32)
    return int(largest), int(average)


def read_view(frame: av.VideoFrame) -> tuple[int, Eye] | None:
    """Return the id of a frame's view and its eye, None for a frame of a clip with one view.

    AVStereo3D: type, flags, view (1: left, 2: right), primary eye, then numbers that the boxes state too.
    """
    raw = read_side_data(frame, VIEW_ID)
    if raw is None or len(raw) < 4:
        return None
    stereo = read_side_data(frame, SideType.STEREO3D)
    side = 0 if stereo is None or len(stereo) < 12 else int(np.frombuffer(stereo[:12], np.int32)[2])
    eyes: dict[int, Eye] = {1: "left", 2: "right"}
    return int(np.frombuffer(raw[:4], np.uint32)[0]), eyes.get(side, "")


def _unknown(kind: type[Enum], value: object) -> Enum:
    """Return an enum member for a value of FFmpeg that PyAV lacks, such as the view id of MV-HEVC (29)."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    kind._value2member_map_[value] = member  # the same one each time: members are compared by identity
    return member


# PyAV 18 raises ValueError for a frame with an unknown kind of side data. PyAV 19 adds members like this.
if "_missing_" not in vars(SideType):
    setattr(SideType, "_missing_", classmethod(_unknown))  # noqa: B010, mypy does not let a method be assigned

VIEW_ID = SideType(29)  # AV_FRAME_DATA_VIEW_ID (libavutil 60), on frames of streams with several views
