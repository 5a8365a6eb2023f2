"""The one door through which media files are opened for writing: a name is never a URL or a pattern."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import av
from av.container import OutputContainer


def open_output(
    file: Path | BinaryIO, form: str | None = None, options: Mapping[str, str] | None = None
) -> OutputContainer:
    """Open a file, or bytes in memory, for writing.

    form: name of libavformat's muxer; None: by the ending of the name. Raises FFmpegError if that fails.
    """
    target = f"file:{file.absolute()}" if isinstance(file, Path) else file
    return av.open(target, "w", format=form, options=dict(options or {}))
