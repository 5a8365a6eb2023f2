"""The one door through which files are opened for reading: a name is a name, and only real containers pass.

FFmpeg takes any name for a URL ("12:30 walk.mp4", "http:host?x.mp4"), and opens movies, playlists that name
other files, and patterns that match many, alike. Here the name becomes an absolute path behind `file:`, which
is taken as it is, and two lists say what may be opened.
"""

import stat
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from asled_cli.errors import InputError
from asled_cli.video.decode.file_kind import explain_unopened, is_heif_photo

MAX_PIXELS = 1 << 26  # 67 million, twice 8K: a larger size in a header is damage or malice
# Names of libavformat's demuxers. None of these reads any file but its own: no playlists (HLS, DASH, concat),
# no patterns (image2), no descriptions of streams (SDP), no devices, no filter graphs (lavfi).
CONTAINERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "asf", "mxf", "flv", "ogg", "nut", "dv", "gif",
    "yuv4mpegpipe", "ivf", "h264", "hevc", "obu", "m4v", "mpegvideo", "mjpeg",
)  # fmt: skip
_OPTIONS = {
    "max_pixels": str(MAX_PIXELS),  # makes the decoders refuse a huge declared size before they allocate
    "format_whitelist": ",".join(CONTAINERS),
    "protocol_whitelist": "file",
}
_NOT_FILES = (
    (stat.S_ISDIR, "is a folder, expected a video file.", "Name one clip inside it."),
    (
        stat.S_ISFIFO,
        "is a pipe, which cannot be read twice as a clip must be.",
        "Save it as a file first, and name the file.",
    ),
    (stat.S_ISSOCK, "is a socket, expected a video file.", "Save the clip as a file first."),
    (stat.S_ISCHR, "is a device, expected a video file.", "Save the clip as a file first."),
    (stat.S_ISBLK, "is a disk, expected a video file.", "Name one clip on it."),
)


def open_clip(file: Path | BinaryIO) -> InputContainer:
    """Open a file, or bytes in memory, for reading.

    Raises InputError with one sentence for each way in which a file can be unusable.
    """
    if not isinstance(file, Path):
        return av.open(file, "r", options=_OPTIONS, metadata_errors="replace")
    check_readable(file)
    if is_heif_photo(file):  # the MP4 demuxer would take an HEIC photo for a clip of one frame
        raise InputError(*explain_unopened(file))
    try:
        return av.open(file_url(file), "r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(*explain_unopened(file)) from error


def file_url(path: Path) -> str:
    """Return the name under which FFmpeg opens exactly this file, whatever signs are in it."""
    return f"file:{path.absolute()}"


def check_readable(path: Path) -> None:
    """Raise InputError unless `path` is an ordinary file with something in it. Never waits for a writer."""
    try:
        mode = path.stat().st_mode
        for is_kind, sentence, hint in _NOT_FILES:
            if is_kind(mode):
                raise InputError(f"{path} {sentence}", hint)
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} does not exist.", "Check the spelling of the file name.") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied.", "Check who owns the file.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a zero byte in the name
        raise InputError(f"{path} is not a name that a file can have.", "Check the spelling.") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes).", "Copy the clip from the phone again.")
