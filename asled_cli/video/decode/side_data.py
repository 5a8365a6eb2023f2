"""What a decoder attaches to a frame: display matrix, HDR metadata, Dolby Vision, the view of a pair."""

from enum import Enum
from typing import cast

import av
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideType


def read_side_data(frame: av.VideoFrame, kind: SideType) -> bytes | None:
    """Return the bytes of one kind of side data, None where the frame has none of it."""
    try:
        data = cast("dict[SideType, SideData]", frame.side_data).get(kind)
    except ValueError:  # a kind that PyAV does not know hides all others
        return None
    return None if data is None else bytes(data)


def _unknown(kind: type[Enum], value: object) -> Enum:
    """Return a member for a number that FFmpeg has and PyAV has not, such as the view id of MV-HEVC (29)."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    kind._value2member_map_[value] = member  # the same one each time: members are compared by identity
    return member


# PyAV 18 raises ValueError for a frame with any newer kind of side data; from PyAV 19 on it does as here.
if "_missing_" not in vars(SideType):
    setattr(SideType, "_missing_", classmethod(_unknown))  # noqa: B010, mypy does not let a method be assigned

VIEW_ID = SideType(29)  # AV_FRAME_DATA_VIEW_ID (libavutil 60), on frames of streams with several views
