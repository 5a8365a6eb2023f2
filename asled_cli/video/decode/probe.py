"""Reading of a clip's metadata into a `Clip`, from its header and its first frame."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideType
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from asled_cli.errors import InputError, reason
from asled_cli.video.decode.crop import Crop, read_clap_crop, read_matroska_crop
from asled_cli.video.decode.open_clip import open_clip
from asled_cli.video.decode.packet_times import read_ticks, times_of_format
from asled_cli.video.decode.sequence_header import read_chroma_location
from asled_cli.video.decode.side_data import (
    VIEW_ID,
    read_ambient_light,
    read_content_light,
    read_side_data,
)
from asled_cli.video.decode.video_tracks import RERECORD, read_stereo, select_stream
from asled_cli.video.frames import (
    MATRIX_BT709,
    UNSPECIFIED,
    Clip,
    ColorTags,
    MasteringDisplay,
    TimesFrom,
    Track,
)
from asled_cli.video.mp4_boxes import (
    TrackBoxes,
    focal_35mm,
    lens_model,
    read_movie_timescale,
    read_tracks,
)

PROBE_PACKETS = 600  # in which the first frame is searched, 10 s at 60 fps


def probe_clip(path: Path, track: int = 0) -> Clip:
    """Return the metadata of the n-th video track of `path`, from its header and its first decoded frame.

    Raises InputError if the file is missing, unreadable, unfinished, without video or without frames, or if
    its media data is in another file.
    """
    with open_clip(path) as container:
        stream = select_stream(container, path, track)
        boxes = read_tracks(path)
        if stream.id in boxes and boxes[stream.id].external:
            raise InputError(
                f"{path} only refers to pictures in another file, which is not opened.",
                "Export it from the program that wrote it as a self-contained movie.",
            )
        frame, packet = _first_frame(container, stream, path)
        clip = _gather(path, track, container, stream, frame, boxes)
        clip = _with_times(clip, times_of_format(container, packet), packet)
    if not clip.frame_estimate:  # a live or raw stream, whose header was written before its end
        with open_clip(path) as container:
            ticks = read_ticks(container, select_stream(container, path, track), clip)
        clip = replace(clip, frame_estimate=max(1, len(ticks)))
    return clip


def _with_times(clip: Clip, times_from: TimesFrom, first: "Packet[VideoStream]") -> Clip:
    """Return the clip with the start of its first packet if its format stores no presentation times."""
    if times_from == "presentation":
        return clip
    return replace(clip, times_from=times_from, start_s=(first.dts or 0) * clip.time_base)


def _first_frame(
    container: InputContainer, stream: VideoStream, path: Path
) -> tuple[av.VideoFrame, "Packet[VideoStream]"]:
    """Return the first frame that can be decoded, and the first packet with content."""
    failure: Exception | None = None
    first: Packet[VideoStream] | None = None
    try:
        for count, packet in enumerate(container.demux(stream)):
            first = first or (packet if packet.size else None)
            try:
                for frame in packet.decode():
                    return frame, first or packet
            except av.FFmpegError as error:
                failure = error
            if count > PROBE_PACKETS:
                break
    except av.FFmpegError as error:
        failure = error
    if failure is None:
        raise InputError(f"{path} holds no frames.", RERECORD)
    raise InputError(
        f"{path}: no frame of the video track can be decoded ({reason(failure)}).", RERECORD
    ) from failure


def _gather(
    path: Path,
    track: int,
    container: InputContainer,
    stream: VideoStream,
    frame: av.VideoFrame,
    all_boxes: dict[int, TrackBoxes],
) -> Clip:
    boxes = all_boxes.get(stream.id, TrackBoxes(stream.id))
    if stream.time_base is None:
        raise InputError(f"{path}: the video track has no time base.", RERECORD)
    clip = _with_picture(
        _header(path, track, container, stream, stream.time_base, frame), stream, frame, boxes
    )
    others = [s for s in container.streams if s.index != stream.index]
    clip = replace(
        clip,
        other_tracks=tuple(_track_info(s, all_boxes.get(s.id)) for s in others),
        metadata=dict(container.metadata),
        focal_35mm=boxes.focal_35mm or focal_35mm(container.metadata),
        lens_model=boxes.lens_model or lens_model(container.metadata),
        readout_s=boxes.readout_s,
        crop=_crop(path, track, container, stream, frame),
    )
    if clip.spatial:
        clip = replace(clip, stereo=read_stereo(path, track))
    return replace(clip, warnings=_warnings(clip))


def _header(
    path: Path,
    track: int,
    container: InputContainer,
    stream: VideoStream,
    time_base: Fraction,
    frame: av.VideoFrame,
) -> Clip:
    """Return the clip with what the headers say about codec, times and index."""
    codec = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate or Fraction(30)
    start = Fraction(frame.pts or 0) * time_base
    duration, own_end = _duration_s(container, stream, start)
    complete, shown = _read_index(path, container, stream)
    return Clip(
        path=path,
        stream_index=stream.index,
        codec=codec.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        bit_depth=max(c.bits for c in frame.format.components),
        color=ColorTags(
            int(codec.colorspace), int(codec.color_primaries), int(codec.color_trc), int(codec.color_range)
        ),
        rotation=frame.rotation,
        display_matrix=None,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        time_base=time_base,
        average_rate=rate,
        start_s=start,
        duration_s=duration,
        frame_estimate=shown or stream.frames or round((duration or 0) * rate),
        track=track,
        end_declared=own_end,
        header_tick=Fraction(1, read_movie_timescale(path) or 1000),
        index_complete=complete,
        bit_rate=stream.bit_rate,
    )


def _with_picture(clip: Clip, stream: VideoStream, frame: av.VideoFrame, boxes: TrackBoxes) -> Clip:
    """Return the clip with what the first frame and its side data say about the picture."""
    matrix = read_side_data(frame, SideType.DISPLAYMATRIX)
    return replace(
        clip,
        display_matrix=None if matrix is None else tuple(int(v) for v in np.frombuffer(matrix, np.int32)),
        dolby_vision=boxes.dolby_vision or read_side_data(frame, SideType.DOVI_METADATA) is not None,
        spatial=boxes.spatial or read_side_data(frame, VIEW_ID) is not None,
        interlaced=frame.interlaced_frame,
        alpha=any(c.is_alpha for c in frame.format.components),
        mastering=_mastering(frame),
        content_light=read_content_light(frame),
        chroma_location=read_chroma_location(clip.codec, stream.codec_context.extradata),
        ambient_light=read_ambient_light(frame),
    )


def _duration_s(container: InputContainer, stream: Stream, start: Fraction) -> tuple[Fraction | None, bool]:
    """Return the declared length, seconds, and whether it belongs to this track and not to the longest one.

    start: of the track, seconds. In Matroska the DURATION tag is read, in which FFmpeg writes the end.
    """
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base, True
    tags = {key.upper(): value for key, value in stream.metadata.items()}
    tagged = _clock_seconds(tags.get("DURATION", ""))
    if tagged:
        return tagged - (0 if any(key.startswith("_STATISTICS_") for key in tags) else start), True
    if not container.duration:
        return None, False
    return Fraction(container.duration, av.time_base), len(container.streams) == 1


def _clock_seconds(text: str) -> Fraction | None:
    """Return the seconds of a Matroska DURATION tag such as 00:01:02.345000000; None for other text."""
    found = re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,12})?)", text.strip())
    if found is None:
        return None
    return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])


def _read_index(path: Path, container: InputContainer, stream: Stream) -> tuple[bool, int]:
    """Return whether the file contains all frames of its index, and how many of them the edit list shows.

    (False, 0) for containers without such an index.
    """
    if "mov" not in container.format.name or not stream.frames:  # a fragmented file counts none
        return False, 0
    shown, end = 0, 0
    for entry in stream.index_entries:
        shown += not entry.is_discard
        end = max(end, entry.pos + entry.size)
    return 0 < end <= path.stat().st_size, shown


def _crop(
    path: Path, track: int, container: InputContainer, stream: Stream, frame: av.VideoFrame
) -> Crop | None:
    if "matroska" in container.format.name:
        return read_matroska_crop(path, track)
    return (
        read_clap_crop(path, stream.id, frame.width, frame.height) if "mov" in container.format.name else None
    )


def _track_info(stream: Stream, boxes: TrackBoxes | None) -> Track:
    kind = "picture" if stream.disposition & Disposition.attached_pic else stream.type
    context = stream.codec_context if hasattr(stream, "codec_context") else None
    codec = context.name if context is not None else ""
    if boxes is None:
        return Track(stream.index, kind, codec)
    return Track(stream.index, kind, codec, boxes.tag, external=boxes.external)


def _mastering(frame: av.VideoFrame) -> MasteringDisplay | None:
    """Return HDR10 metadata from AVMasteringDisplayMetadata (ten rationals) and AVContentLightMetadata."""
    raw = read_side_data(frame, SideType.MASTERING_DISPLAY_METADATA)
    if raw is None or len(raw) < 88:
        return None
    numbers = np.frombuffer(raw[:80], np.int32).reshape(10, 2).astype(np.float64)
    has_primaries, has_luminance = np.frombuffer(raw[80:88], np.int32)
    if not (has_primaries and has_luminance) or (numbers[:, 1] == 0).any():
        return None
    value = numbers[:, 0] / numbers[:, 1]
    red, green, blue, white = ((round(value[i] * 50000), round(value[i + 1] * 50000)) for i in (0, 2, 4, 6))
    max_cll, max_fall = read_content_light(frame) or (0, 0)
    return MasteringDisplay(
        green=green,
        blue=blue,
        red=red,
        white=white,
        max_luminance=round(value[9] * 10000),
        min_luminance=round(value[8] * 10000),
        max_content_light=max_cll,
        max_average_light=max_fall,
    )


def _warnings(clip: Clip) -> tuple[str, ...]:
    """Return one sentence for each property of the clip that the user should know."""
    name, notes = clip.path.name, _view_warnings(clip)
    if clip.interlaced:
        notes.append(f"{name} is interlaced: both fields are processed as one picture, so expect combing.")
    if clip.alpha:
        notes.append(f"{name} has transparency, which most encoders cannot write.")
    if clip.color.matrix == UNSPECIFIED and not clip.pix_fmt.startswith(("gbr", "rgb", "bgr", "gray")):
        taken = "BT.709" if clip.resolved_color.matrix == MATRIX_BT709 else "BT.601"
        notes.append(
            f"{name} has no colour matrix tag: {taken} is assumed, and the output has no tag either."
        )
    if clip.dolby_vision:
        notes.append(
            f"{name} has a Dolby Vision layer, which is dropped: the HLG or HDR10 base layer is kept."
        )
    return tuple(notes)


def _view_warnings(clip: Clip) -> list[str]:
    """Return sentences on views of a spatial clip that cannot be used."""
    if clip.stereo is None:
        return []
    if clip.views < 2 < clip.stereo.layers:
        return [
            f"{clip.path.name} declares {clip.stereo.layers} layers (MV-HEVC), of which only the main view "
            "can be decoded: it is used alone."
        ]
    if clip.views < 2:
        return [
            f"{clip.path.name} declares spatial video (MV-HEVC), but its second view is missing or cannot be "
            "decoded: its main view is used alone."
        ]
    if clip.stereo.layers > 2:
        return [f"{clip.path.name} has {clip.stereo.layers} layers: only its first two views are used."]
    return []
