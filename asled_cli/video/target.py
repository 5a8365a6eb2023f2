"""A file that appears only when it is complete: written under a hidden name beside it, then renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from asled_cli.errors import UsageError

FORMATS = {".mov": "mov", ".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska"}
LONGEST_STEM = 100  # characters of the name kept in the temporary name, of 255 bytes allowed


def check_output(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Raise UsageError if `out` cannot or must not be written: an input, existing, no such folder."""
    if out.suffix.lower() not in FORMATS:
        got = repr(out.suffix) if out.suffix else "no ending"
        raise UsageError(f"{out} has {got}, expected one of: {', '.join(FORMATS)}.")
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file name.")
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise UsageError(f"{out} is an input too: the output must be another file.")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is not an ordinary file.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already.", "Choose another name or allow overwriting it.")
    folder = out.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"The folder {folder} does not exist.", "Make it first or choose another one.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {folder} cannot be written: permission denied.")


class PartFile:
    """A private temporary file beside `out`; `keep` turns it into `out`, `discard` removes it.

    The name is `.NAME.part-XXXX`, the mode 0600 until it is kept. A link is followed: the file that it
    names is replaced. Both calls may be repeated.
    """

    def __init__(self, out: Path) -> None:
        self._out = out.resolve()
        prefix = f".{self._out.name[:LONGEST_STEM]}.part-"
        try:
            handle, name = tempfile.mkstemp(prefix=prefix, dir=self._out.parent)
        except OSError as error:
            raise UsageError(f"{self._out.parent} cannot be written: {error.strerror or error}.") from error
        os.close(handle)
        self.path = Path(name)

    def keep(self) -> None:
        """Give the file its usual permissions, put it on disk and rename it, replacing what was there."""
        if not self.path.exists():
            return
        umask = os.umask(0o077)
        os.umask(umask)
        self.path.chmod(0o666 & ~umask)
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self._out)

    def discard(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
