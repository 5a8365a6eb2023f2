"""Opening of media files for writing. A name is never read as a URL or a pattern."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import av
from av.container import OutputContainer


def open_output(
    file: Path | BinaryIO, form: str | None = None, options: Mapping[str, str] | None = None
) -> OutputContainer:
    """Open a file, or a buffer in memory, for writing.

    form: muxer of FFmpeg; None: from the file extension. options: of the muxer. Raises FFmpegError.
    """
    target = f"file:{file.absolute()}" if isinstance(file, Path) else file
    return av.open(target, "w", format=form, options=dict(options or {}))
