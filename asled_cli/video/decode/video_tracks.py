"""The video tracks of a file that a lens recorded, and the choice of one of them."""

from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from asled_cli.errors import InputError
from asled_cli.video.decode.open_clip import MAX_PIXELS, open_clip
from asled_cli.video.decode.side_data import read_view
from asled_cli.video.frames import Eye, StereoInfo
from asled_cli.video.mp4_boxes import read_tracks
from asled_cli.video.spatial.boxes import describe
from asled_cli.video.spatial.nal_units import count_layers, parameter_sets

DEPTH_MAP_SHARE = 8  # a track with less than 1/8 of the pixels of the largest is a depth map
ALL_VIEWS = -1  # FFmpeg's own word for every view of MV-HEVC
MAX_VIEWS = 8  # that are looked for in one moment
RERECORD = "Use another copy of the clip, or record it again."


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video tracks recorded by a lens, without attached pictures and depth maps."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    largest = max(map(_area, streams), default=0)
    return [s for place, s in enumerate(streams) if place == 0 or not _is_depth_map(s, largest)]


def _is_depth_map(stream: VideoStream, largest: int) -> bool:
    """Return whether a further track is a depth map, such as the disparity of a Cinematic clip.

    A depth map is grey or much smaller than the picture. largest: pixels of the largest track.
    """
    pix_fmt = getattr(stream.codec_context, "pix_fmt", None) or ""
    return pix_fmt.startswith("gray") or _area(stream) * DEPTH_MAP_SHARE <= largest


def _area(stream: VideoStream) -> int:
    """Return the pixels of a frame, 0 if the codec is unknown."""
    context = stream.codec_context
    return 0 if context is None else context.width * context.height


def count_video_tracks(path: Path) -> int:
    """Return the number of video tracks recorded by a lens. Raises InputError if it cannot be opened."""
    with open_clip(path) as container:
        return len(video_streams(container))


def count_views(path: Path) -> int:
    """Return the number of pictures of one moment in a file: its video tracks, or the views of the only one.

    Raises InputError if it cannot be opened.
    """
    tracks = count_video_tracks(path)
    return tracks if tracks != 1 else len(read_stereo(path, 0).view_ids)


def read_stereo(path: Path, track: int) -> StereoInfo:
    """Return the views of a track: those that can be decoded, and what the boxes say.

    A track with one view gives a single id. Raises InputError if the file cannot be opened.
    """
    views: dict[int, Eye] = {}
    with open_clip(path) as container:
        stream = select_stream(container, path, track, ALL_VIEWS)
        number = stream.id
        if stream.codec_context.codec.canonical_name == "hevc":
            views = _decoded_views(container, stream)
    boxes = read_tracks(path)
    own = boxes[number].view_boxes if number in boxes else {}
    layers = count_layers(parameter_sets(own.get(b"hvcC", b"")))
    eyes = tuple(views.values())
    info = StereoInfo(tuple(views) or (0,), eyes if any(eyes) else (), layers=max(layers, len(views)))
    return describe(info, own)


def _decoded_views(container: InputContainer, stream: VideoStream) -> dict[int, Eye]:
    """Return the views of the first pictures, id and eye, the main one first."""
    views: dict[int, Eye] = {}
    try:
        for count, frame in enumerate(container.decode(stream)):
            found = read_view(frame)
            if found is None or found[0] in views or count > MAX_VIEWS:
                break
            views[found[0]] = found[1]
    except av.FFmpegError:
        pass  # damage is reported where the clip is read
    return views


def has_depth_map(path: Path) -> bool:
    """Return whether the file has a depth map. Raises InputError if it cannot be opened."""
    with open_clip(path) as container:
        films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        return len(films) > len(video_streams(container))


def select_stream(
    container: InputContainer, path: Path, track: int, view_id: int | None = None
) -> VideoStream:
    """Return the n-th video track recorded by a lens.

    view_id: the view of a spatial clip to decode; ALL_VIEWS: each picture of it; None: the main view.
    Raises InputError if it is missing, empty, of an unknown codec or larger than MAX_PIXELS.
    """
    streams = video_streams(container)
    if not streams:
        if not container.streams:
            raise InputError(f"{path} holds no frames at all.", RERECORD)
        kinds = ", ".join(sorted({s.type for s in container.streams}))
        raise InputError(f"{path} has no video track, only: {kinds}.", "Name the clip with the picture.")
    if not 0 <= track < len(streams):
        raise InputError(f"{path} has {len(streams)} video track(s), there is no track {track}.")
    stream = streams[track]
    if stream.codec_context is None:
        raise InputError(f"{path}: the codec of the video track is not known.", RERECORD)
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} declares a picture of {width}x{height}, more than any camera makes.", RERECORD
        )
    options = {"max_pixels": str(MAX_PIXELS)}
    if view_id is not None:
        options["view_ids"] = str(view_id)
    stream.codec_context.options = options
    stream.thread_type = "AUTO"
    return stream
