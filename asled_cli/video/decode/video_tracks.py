"""The video tracks of a file that a lens recorded, and the choice of one of them."""

from pathlib import Path

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from asled_cli.errors import InputError
from asled_cli.video.decode.open_clip import MAX_PIXELS, open_clip

DEPTH_MAP_SHARE = 8  # a track with less than 1/8 of the pixels of the largest is a depth map
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


def has_depth_map(path: Path) -> bool:
    """Return whether the file has a depth map. Raises InputError if it cannot be opened."""
    with open_clip(path) as container:
        films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        return len(films) > len(video_streams(container))


def select_stream(container: InputContainer, path: Path, track: int) -> VideoStream:
    """Return the n-th video track recorded by a lens.

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
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    return stream
