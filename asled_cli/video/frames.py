"""Plain records of what a clip is and of the pictures that come out of it.

Times are exact fractions of a second on the clip's own clock: `pts * time_base`, nothing else.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

UNSPECIFIED = 2  # H.273 number for "not told" in matrix, primaries and transfer
RANGE_LIMITED, RANGE_FULL = 1, 2
MATRIX_BT709, MATRIX_BT601, MATRIX_BT2020 = 1, 6, 9
# BT.709, FCC, BT.470BG, BT.601, SMPTE 240M, BT.2020: those with a plain 3x3 matrix that swscale knows too.
KNOWN_MATRICES = (MATRIX_BT709, 4, 5, MATRIX_BT601, 7, MATRIX_BT2020)
TRANSFER_PQ, TRANSFER_HLG = 16, 18
MAX_LAST_S = Fraction(1, 2)  # a longer rest of the declared length may mean that the file was cut off


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Colour description as coded, in H.273 numbers.

    matrix, primaries, transfer: 2 = unspecified. range: 0 = unspecified, 1 = limited, 2 = full.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """Static HDR10 facts (SMPTE ST 2086): chromaticities in 1/50000, luminances in 1/10000 cd/m2."""

    green: tuple[int, int]
    blue: tuple[int, int]
    red: tuple[int, int]
    white: tuple[int, int]
    max_luminance: int
    min_luminance: int
    max_content_light: int = 0
    max_average_light: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """One further track of the file: what it is, not what is in it."""

    index: int
    kind: str  # "video", "picture" (attached cover), "audio", "subtitle", "data", "attachment", "unknown"
    codec: str  # "" where the decoder library does not know it
    tag: str = ""  # the file's own four-character code, such as "mebx"

    def __str__(self) -> str:
        name = self.codec or self.tag
        return f"track {self.index} ({self.kind}{', ' + name if name else ''})"


TimesFrom = Literal["presentation", "decoding", "counting"]  # what tells when a picture is shown
Box = tuple[int, int, int, int]  # x, y of the first pixel, width and height, pixels


@dataclass(frozen=True)
class Clip:
    """Facts of one video track in one file, from its header and its first decoded frame."""

    path: Path
    stream_index: int
    codec: str
    width: int  # coded orientation, pixels
    height: int
    pix_fmt: str
    bit_depth: int
    color: ColorTags  # as coded; `resolved_color` fills the gaps
    rotation: int  # degrees counter-clockwise that a player turns the picture
    display_matrix: tuple[int, ...] | None
    sample_aspect_ratio: Fraction
    time_base: Fraction
    average_rate: Fraction  # frames per second, nominal only
    start_s: Fraction  # time of the first frame
    duration_s: Fraction | None  # declared length of the track
    frame_estimate: int  # declared count, else that of the packets; without those an edit list hides
    track: int = 0  # n-th real video track of the file
    end_declared: bool = True  # False: duration_s is that of the file, whose sound may be longer
    header_tick: Fraction = Fraction(1, 1000)  # seconds to which the file rounds the lengths in its header
    index_complete: bool = False  # the index names every frame, and the file holds all that it names
    bit_rate: int | None = None  # bits per second of this track
    other_tracks: tuple[Track, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    focal_35mm: float | None = None  # 35 mm equivalent focal length, millimetres
    lens_model: str | None = None
    readout_s: float | None = None  # rolling-shutter read-out time of a frame
    dolby_vision: bool = False
    spatial: bool = False  # the track holds a second view, which is not decoded
    interlaced: bool = False
    alpha: bool = False
    mastering: MasteringDisplay | None = None
    times_from: TimesFrom = "presentation"  # AVI has times of decoding only, raw streams have none
    content_light: tuple[int, int] | None = None  # MaxCLL and MaxFALL, cd/m2
    chroma_location: int | None = None  # H.273 number; None: not told
    crop: tuple[int, int, int, int] | None = None  # left, top, right, bottom that players are to cut off
    # Light around the display for which the picture was made: 0.0001 lux, and x, y in 0.00002 (H.274)
    ambient_light: tuple[int, int, int] | None = None
    box: Box | None = None  # the part of the picture that frames are to show; None: all of it
    warnings: tuple[str, ...] = ()  # sentences worth showing to the user

    @property
    def resolved_color(self) -> ColorTags:
        """The tags with the matrix and range that an untagged clip is taken to have.

        HD and larger: BT.709, else BT.601, as players assume; range limited unless the format says full.
        A matrix that is not a plain 3x3 one (ICtCp, YCgCo) is replaced in the same way.
        """
        hd = self.width >= 1280 or self.height > 576
        matrix = self.color.matrix
        if matrix not in KNOWN_MATRICES:
            matrix = MATRIX_BT709 if hd else MATRIX_BT601
        full = self.pix_fmt.startswith(("yuvj", "gbr", "rgb", "bgr", "gray"))  # whatever the tag says
        range_ = RANGE_FULL if full else self.color.range or RANGE_LIMITED
        return ColorTags(matrix, self.color.primaries, self.color.transfer, range_)

    def last_duration(self, time: Fraction, step: Fraction) -> Fraction:
        """Return how long the last frame is shown, seconds.

        time: of that frame. step: from the frame before it. The declared end counts, unless it is not that of
        this track, or cannot be true.
        """
        if self.duration_s is None or not self.end_declared:
            return step
        rest = self.start_s + self.duration_s - time
        believed = rest > 0 and (self.index_complete or rest <= step + MAX_LAST_S)
        return rest if believed else step

    @property
    def mirrored(self) -> bool:
        """Whether a player shows the picture mirrored: its display matrix turns one side over."""
        matrix = self.display_matrix
        return matrix is not None and matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0

    @property
    def seen_size(self) -> tuple[int, int]:
        """Width and height of the pictures that frames show, pixels."""
        return (self.width, self.height) if self.box is None else self.box[2:]

    @property
    def has_audio(self) -> bool:
        """Whether any sound track that can be decoded lies beside the picture."""
        return any(track.kind == "audio" and track.codec for track in self.other_tracks)

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer curve is HLG or PQ."""
        return self.color.transfer in (TRANSFER_PQ, TRANSFER_HLG)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its exact time.

    index counts from 0 at the first frame read. rgb: (H, W, 3) uint16, full range 0..65535, transfer
    curve as coded, coded orientation; of the clip's box, if it has one. source: the decoded planes of the
    whole picture, for writing back what is unchanged.
    """

    index: int
    pts: int
    time: Fraction
    rgb: NDArray[np.uint16]
    source: av.VideoFrame | None
    corrupt: bool = False


@dataclass(frozen=True, slots=True)
class FramePair:
    """A frame to mend and the frame of the other camera that is nearest in time, if one is near enough.

    lag_s: reference time (after the offset) minus target time, seconds; 0.0 without a reference.
    """

    target: Frame
    reference: Frame | None
    lag_s: float = 0.0
