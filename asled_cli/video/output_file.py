"""A file that appears only when it is complete: written in a hidden folder beside it, then moved."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from asled_cli.errors import UsageError

FORMATS = {".mov": "mov", ".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska"}
LONGEST_STEM = 100  # characters of the name kept in the temporary name, of 255 bytes allowed
LONGEST_NAME = 200  # bytes of it kept in the name of the work folder


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


def work_folder(out: Path) -> Path:
    """Where the unfinished work on `out` lies: a hidden folder beside it."""
    out = out.resolve()
    name = out.name.encode()[:LONGEST_NAME].decode("utf-8", "ignore")
    return out.with_name(f".{name}.asled")


def private_folder(out: Path) -> Path:
    """A new hidden folder beside `out` that nobody else can read: `.NAME.part-XXXX`.

    Beside a link it lies beside the file that the link names, so that `publish` can move a file.
    """
    out = out.resolve()
    try:
        return Path(tempfile.mkdtemp(prefix=f".{out.name[:LONGEST_STEM]}.part-", dir=out.parent))
    except OSError as error:
        raise UsageError(f"{out.parent} cannot be written: {error.strerror or error}.") from error


def publish(file: Path, out: Path) -> None:
    """Give a finished file its usual permissions, put it on the disk and move it to `out`, in one step.

    A link is followed: the file that it names is replaced.
    """
    out = out.resolve()
    umask = os.umask(0o077)
    os.umask(umask)
    file.chmod(0o666 & ~umask)
    sync(file)
    file.replace(out)
    sync(out.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the list of files in a folder, is on the disk."""
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) * path.is_dir()
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot, and need not
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
