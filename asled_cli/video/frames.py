"""Records of a clip and its frames.

Times are exact fractions of a second on the clip's own clock: `pts * time_base`.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

UNSPECIFIED = 2  # H.273 value "unspecified" of matrix, primaries and transfer
RANGE_LIMITED = 1  # AVCOL_RANGE_MPEG of FFmpeg
RANGE_FULL = 2  # AVCOL_RANGE_JPEG of FFmpeg
MATRIX_BT709 = 1  # H.273 table 4
MATRIX_BT601 = 6  # H.273 table 4
MATRIX_BT2020 = 9  # H.273 table 4, non-constant luminance
# BT.709, FCC, BT.470BG, BT.601, SMPTE 240M, BT.2020: the matrices of H.273 that swscale knows.
KNOWN_MATRICES = (MATRIX_BT709, 4, 5, MATRIX_BT601, 7, MATRIX_BT2020)
CHROMA_NAMES = ("left", "center", "topleft", "top", "bottomleft", "bottom")  # Chroma420SampleLocType 0 to 5
TRANSFER_PQ = 16  # H.273 table 3, SMPTE ST 2084
TRANSFER_HLG = 18  # H.273 table 3, ARIB STD-B67
MAX_LAST_S = Fraction(1, 2)  # seconds; a longer last frame suggests that the file was truncated


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
    """Static HDR10 metadata (SMPTE ST 2086): chromaticities in 1/50000, luminances in 1/10000 cd/m2."""

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
    """Kind and codec of a further track of the file."""

    index: int
    kind: str  # "video", "picture" (attached cover), "audio", "subtitle", "data", "attachment", "unknown"
    codec: str  # "" where the decoder library does not know it
    tag: str = ""  # the file's own four-character code, such as "mebx"
    external: bool = False  # its media data is in another file (`dref`)

    def __str__(self) -> str:
        name = self.codec or self.tag
        place = ", in another file" if self.external else ""
        return f"track {self.index} ({self.kind}{', ' + name if name else ''}{place})"


Eye = Literal["left", "right", ""]


@dataclass(frozen=True, slots=True)
class StereoInfo:
    """The views of a spatial clip (MV-HEVC) and what its file says about them; None: not stated.

    view_ids: as the decoder names them, the main view first; a single one: the second cannot be decoded.
    eyes: which eye each view is for, "" where the file does not say.
    """

    view_ids: tuple[int, ...]
    eyes: tuple[Eye, ...] = ()
    baseline_mm: float | None = None  # distance between the lenses
    fov_deg: float | None = None  # horizontal field of view of either view
    disparity_shift: float | None = None  # by which a player is to move the views, share of their width
    layers: int = 2  # that the stream declares

    def eye(self, view: int) -> Eye:
        """Return the eye of the n-th view."""
        return self.eyes[view] if view < len(self.eyes) else ""


TimesFrom = Literal["presentation", "decoding", "counting"]  # the source of presentation times
Box = tuple[int, int, int, int]  # x, y of the first pixel, width and height, pixels


@dataclass(frozen=True)
class Clip:
    """Metadata of one video track, from the header of the file and its first decoded frame."""

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
    frame_estimate: int  # declared count, else that of the packets, without those hidden by an edit list
    track: int = 0  # n-th real video track of the file
    end_declared: bool = True  # False: duration_s is that of the file, whose sound may be longer
    header_tick: Fraction = Fraction(1, 1000)  # seconds; resolution of the lengths in the header
    index_complete: bool = False  # the index lists every frame, and the file contains all of them
    bit_rate: int | None = None  # bits per second of this track
    other_tracks: tuple[Track, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    focal_35mm: float | None = None  # 35 mm equivalent focal length, millimetres
    lens_model: str | None = None
    readout_s: float | None = None  # rolling-shutter read-out time of a frame
    dolby_vision: bool = False
    spatial: bool = False  # the track holds a second view (MV-HEVC)
    stereo: StereoInfo | None = None  # the views of a spatial clip
    view: int = 0  # of a spatial clip: the view that is read, 0: the main one
    interlaced: bool = False
    alpha: bool = False
    mastering: MasteringDisplay | None = None
    times_from: TimesFrom = "presentation"  # AVI has times of decoding only, raw streams have none
    content_light: tuple[int, int] | None = None  # MaxCLL and MaxFALL, cd/m2
    chroma_location: int | None = None  # Chroma420SampleLocType of H.273; None: unspecified
    crop: tuple[int, int, int, int] | None = None  # left, top, right, bottom that players are to cut off
    # Ambient viewing environment (H.274): illuminance in 0.0001 lux, chromaticity x, y in 0.00002
    ambient_light: tuple[int, int, int] | None = None
    turn: int = 0  # quarter turns, counter-clockwise, by which frames are turned as they are read
    box: Box | None = None  # the part of the picture that frames are to show; None: all of it
    warnings: tuple[str, ...] = ()  # sentences for the user

    @property
    def resolved_color(self) -> ColorTags:
        """Colour tags with defaults for an unspecified matrix and range, as players assume them.

        Matrix: BT.709 for HD and larger, else BT.601; also in place of matrices that swscale does not know.
        Range: limited, unless the pixel format implies full range.
        """
        hd = self.width >= 1280 or self.height > 576
        matrix = self.color.matrix
        if matrix not in KNOWN_MATRICES:
            matrix = MATRIX_BT709 if hd else MATRIX_BT601
        full = self.pix_fmt.startswith(("yuvj", "gbr", "rgb", "bgr", "gray"))  # whatever the tag says
        range_ = RANGE_FULL if full else self.color.range or RANGE_LIMITED
        return ColorTags(matrix, self.color.primaries, self.color.transfer, range_)

    @property
    def end_s(self) -> Fraction:
        """Return the declared end on the clip's own clock, seconds; else that of the expected frames."""
        return self.start_s + (self.duration_s or self.frame_estimate / self.average_rate)

    def last_duration(self, time: Fraction, step: Fraction) -> Fraction:
        """Return the duration of the last frame, seconds.

        time: of that frame, seconds. step: from the frame before it, seconds.
        The declared end of the track is used if there is one and if it is plausible, else `step`.
        """
        if self.duration_s is None or not self.end_declared:
            return step
        rest = self.start_s + self.duration_s - time
        plausible = rest > 0 and (self.index_complete or rest <= step + MAX_LAST_S)
        return rest if plausible else step

    @property
    def views(self) -> int:
        """Number of views that can be decoded from this track."""
        return 1 if self.stereo is None else len(self.stereo.view_ids)

    @property
    def view_id(self) -> int | None:
        """The decoder's name of the view to read; None: the only one."""
        return None if self.stereo is None or self.views < 2 else self.stereo.view_ids[self.view]

    @property
    def label(self) -> str:
        """The name of the file, and which of its views this is."""
        if self.stereo is None or self.views < 2:
            return self.path.name
        eye = self.stereo.eye(self.view)
        return f"{self.path.name}, view {self.view + 1}{f' ({eye} eye)' if eye else ''}"

    @property
    def mirrored(self) -> bool:
        """Whether the display matrix mirrors the picture (negative determinant)."""
        matrix = self.display_matrix
        return matrix is not None and matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0

    @property
    def seen_size(self) -> tuple[int, int]:
        """(width, height) of the frames as they are read: of the box if there is one, turned, pixels."""
        width, height = (self.width, self.height) if self.box is None else self.box[2:]
        return (height, width) if self.turn % 2 else (width, height)

    @property
    def has_audio(self) -> bool:
        """Whether the file has a sound track that can be decoded."""
        return any(t.kind == "audio" and t.codec and not t.external for t in self.other_tracks)

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer characteristics are HLG or PQ."""
        return self.color.transfer in (TRANSFER_PQ, TRANSFER_HLG)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its exact time.

    index: from 0 at the first frame read. pts: ticks. time: seconds.
    rgb: (H, W, 3) uint16, 0..65535, coded transfer curve and orientation; of the clip's box if it has one,
    turned as the clip says.
    source: decoded planes of the whole picture, which keep unchanged pixels bit-exact.
    corrupt: marked by the decoder.
    """

    index: int
    pts: int
    time: Fraction
    rgb: NDArray[np.uint16]
    source: av.VideoFrame | None
    corrupt: bool = False


@dataclass(frozen=True, slots=True)
class FramePair:
    """A target frame and the reference frame nearest in time, None if none is near enough.

    lag_s: reference time on the target's clock minus target time, seconds; 0.0 without a reference.
    """

    target: Frame
    reference: Frame | None
    lag_s: float = 0.0
