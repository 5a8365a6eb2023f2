"""Spatial video (MV-HEVC) of two clips of one size: their coded pictures as two layers of one track.

Both clips must be coded by one encoder with the same settings and without B-frames, see `spatial_encoding`.
The views do not depend on each other. Sound, metadata and the boxes about the views come from the source.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from asled_cli.errors import AsledError, UsageError
from asled_cli.runtime.atomic_file import cannot_write
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.reader import frame_times
from asled_cli.video.decode.video_tracks import select_stream
from asled_cli.video.encode.concat import movie_options
from asled_cli.video.encode.encoder import ENCODERS, OWN_RATE, QUALITY, EncodeConfig
from asled_cli.video.frames import Clip
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.open_output import open_output
from asled_cli.video.output_file import FORMATS
from asled_cli.video.preserve.movie_boxes import graft_boxes
from asled_cli.video.preserve.quicktime_keys import MOVIES
from asled_cli.video.preserve.tracks import CopiedTracks
from asled_cli.video.preserve.view_boxes import set_view_boxes
from asled_cli.video.spatial.nal_units import (
    FIRST_KEYFRAME,
    LAST_KEYFRAME,
    PPS,
    SPS,
    VPS,
    annex_b,
    kind_of,
    layered_box,
    on_layer,
    parameter_sets,
    units_in,
    with_parameter_sets,
)
from asled_cli.video.spatial.parameter_sets import displays_message, two_view_vps

# What makes the pictures of two encoders fit together: the same order, keyframes and parameter sets.
_X265 = "bframes=0:ref=3:scenecut=0:open-gop=0:info=0:aud=0:hrd=0:repeat-headers=0"
# Steps of CRF by which a view without a change is coded finer: clips with noise lose 0.3 dB at most against
# the scene (benchmarks/results/spatial_gains.json), where five steps lost 0.5, for about 2.3 times the bits.
_FINER_CRF = 8
_FORMATS = {8: "yuv420p", 10: "yuv420p10le"}  # of Main and Main 10, by bit depth


class CodedFrame(NamedTuple):
    """The NAL units of one picture. pts, duration: ticks."""

    pts: int
    duration: int
    slices: list[bytes]


@dataclass(frozen=True)
class CodedView:
    """A clip of one view as it was encoded. sets: its parameter sets. box: the body of its `hvcC` box."""

    path: Path
    sets: tuple[bytes, ...]
    box: bytes

    def frames(self) -> Iterator[CodedFrame]:
        """Yield the pictures in order."""
        with open_clip(self.path) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and packet.pts is not None:
                    slices = [unit for unit in units_in(bytes(packet)) if kind_of(unit) < VPS]
                    yield CodedFrame(packet.pts, packet.duration or 0, slices)


def spatial_encoding(source: Clip, config: EncodeConfig) -> EncodeConfig:
    """Return how each view of a spatial clip is encoded, as `config` asks.

    Raises UsageError for what MV-HEVC cannot hold.
    """
    if config.codec not in ("auto", "hevc", ENCODERS["hevc"]):
        raise UsageError(
            f"--codec is {config.codec!r}, but spatial video is coded as hevc (MV-HEVC).",
            "Drop --codec, or write one view with --output-views wide.",
        )
    pix_fmt = _FORMATS[10 if source.bit_depth > 8 else 8]
    if config.pix_fmt not in ("auto", pix_fmt):
        raise UsageError(
            f"--pix-fmt is {config.pix_fmt!r}, but the views of this clip are written as {pix_fmt}.",
            "Drop --pix-fmt, or write one view with --output-views wide.",
        )
    params = ":".join(filter(None, (config.options.get("x265-params", ""), _X265)))
    return replace(
        config, codec=ENCODERS["hevc"], pix_fmt=pix_fmt, options={**config.options, "x265-params": params}
    )


def unchanged_encoding(config: EncodeConfig) -> EncodeConfig:
    """Return how a view without a change is encoded: finer, since all that coding it again can do is harm.

    config: from `spatial_encoding`. A quality that the user chose is kept.
    """
    if config.crf is not None or OWN_RATE.intersection(config.options):
        return config
    return replace(config, crf=QUALITY[ENCODERS["hevc"]].default - _FINER_CRF)


def check_spatial_output(out: Path) -> None:
    """Raise UsageError for a file format in which a second view would be lost."""
    if out.suffix.lower() not in MOVIES:
        raise UsageError(
            f"{out.name}: the file format {out.suffix.lower()} has no place for the second view of spatial "
            f"video, expected one of: {', '.join(MOVIES)}.",
            "Choose another ending, or write one view with --output-views wide.",
        )


def join_views(
    source: Clip, views: Sequence[Path], out: Path, *, start_s: Fraction | None, end_s: Fraction | None
) -> list[str]:
    """Write `out`, a movie of two views, and return the names of tracks of the source that it lacks.

    views: clips of the main and of the second view, H.265, equally encoded. start_s, end_s: range of the
    source that they show, seconds. A picture without a second view stays alone.
    Raises AsledError if the views were not encoded alike, or if `out` cannot be written.
    """
    main, second = (_read_view(path) for path in views)
    for kind in (SPS, PPS):
        if [u for u in main.sets if kind_of(u) == kind] != [u for u in second.sets if kind_of(u) == kind]:
            raise AsledError("The encoder wrote other headers for each view, so they cannot be joined.")
    vps = next(unit for unit in main.sets if kind_of(unit) == VPS)
    shared = [unit for unit in main.sets if kind_of(unit) in (SPS, PPS)]
    message = None if source.stereo is None else displays_message(source.stereo, _source_sets(source))
    extra = [] if message is None else [message]
    head = [two_view_vps(vps, (source.width, source.height), source.bit_depth), *shared, *extra]
    hvcc = with_parameter_sets(main.box, head)
    lhvc = layered_box(main.box, [on_layer(unit, 1) for unit in shared])
    try:
        dropped = _write(source, (main, second), out, head, start_s, end_s)
        graft_boxes(source, out)
        set_view_boxes(source, out, {b"hvcC": hvcc, b"lhvC": lhvc})
    except (OSError, av.FFmpegError) as error:
        raise cannot_write(out, error) from error
    return dropped


def _write(
    source: Clip,
    views: tuple[CodedView, CodedView],
    out: Path,
    head: Sequence[bytes],
    start_s: Fraction | None,
    end_s: Fraction | None,
) -> list[str]:
    """Write the packets of both views and of the copied tracks; return the names of dropped tracks."""
    first = next(views[0].frames())
    raw = BytesIO(annex_b([*head, *first.slices]))
    with contextlib.ExitStack() as stack:
        template = stack.enter_context(open_clip(raw))
        form = FORMATS[out.suffix.lower()]
        movie: OutputContainer = stack.enter_context(open_output(out, form, movie_options(source)))
        stream = movie.add_stream_from_template(template.streams.video[0])
        assert isinstance(stream, VideoStream)
        stream.time_base = source.time_base
        stream.codec_context.codec_tag = "hvc1"
        if source.display_matrix is not None:
            stream.set_display_matrix(source.display_matrix)
        tracks = CopiedTracks(source, movie, start_s=start_s, end_s=end_s)
        stack.callback(tracks.close)
        movie.start_encoding()
        shift = Fraction(0) if start_s is None else _first_time(source, start_s)
        tracks.start(shift)
        for frame in _joined(*views):
            keyframe = FIRST_KEYFRAME <= kind_of(frame.slices[0]) <= LAST_KEYFRAME
            message = head[3:] if keyframe else ()
            packet: Packet[Stream] = Packet(annex_b([*message, *frame.slices]))
            packet.pts = packet.dts = frame.pts
            packet.duration, packet.time_base = frame.duration, source.time_base
            packet.is_keyframe, packet.stream = keyframe, stream
            movie.mux(packet)
            tracks.write_until(frame.pts * source.time_base + shift)
        tracks.write_until(None)
        return tracks.dropped


def _joined(main: CodedView, second: CodedView) -> Iterator[CodedFrame]:
    """Yield the pictures of the main view, each with that of the second view at its time."""
    others = second.frames()
    other = next(others, None)
    for frame in main.frames():
        while other is not None and other.pts < frame.pts:
            other = next(others, None)
        if other is not None and other.pts == frame.pts:
            slices = [*frame.slices, *(on_layer(unit, 1) for unit in other.slices)]
            frame = frame._replace(slices=slices)
        yield frame


def _read_view(path: Path) -> CodedView:
    box = next(boxes.view_boxes.get(b"hvcC", b"") for boxes in read_tracks(path).values() if boxes.view_boxes)
    return CodedView(path, tuple(parameter_sets(box)), box)


def _source_sets(source: Clip) -> list[bytes]:
    with open_clip(source.path) as container:
        number = select_stream(container, source.path, source.track).id
    boxes = read_tracks(source.path).get(number)
    return [] if boxes is None else parameter_sets(boxes.view_boxes.get(b"hvcC", b""))


def _first_time(source: Clip, start_s: Fraction) -> Fraction:
    """Return the time of the first frame at or after `start_s`, seconds."""
    return next(time for time in frame_times(source) if time >= start_s)
