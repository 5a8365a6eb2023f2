"""Write a file beside its name, put it on the disk, then give it the name in one step.

Every file of this program is published here, so a reader sees a complete file or none, and a file of somebody
else is never replaced unless the caller says so.
"""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors import SafetensorError

from asled_cli.errors import AsledError, UsageError, reason

MAX_STEM = 100  # bytes of a name that are kept in a temporary name, of 255 allowed
_FULL = {errno.ENOSPC, errno.EDQUOT}
_OF_THE_DISK = _FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENXIO, errno.ENODEV}
_IO_ERROR = re.compile(r"I/O error: (.+) \(os error (\d+)\)")  # as safetensors writes it
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM}


def write_file(
    path: Path, write: Callable[[Path], object], *, overwrite: bool, private: bool = False
) -> None:
    """Let `write` fill a temporary file beside `path`, then publish it there, complete or not at all.

    private: whether nobody but the user may read it. Raises FileExistsError if `path` exists and `overwrite`
    is False, OSError where the disk does not take it.
    """
    descriptor, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{short_name(path.name)}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        publish(temporary, path, overwrite, private=private)
    finally:
        with contextlib.suppress(OSError):  # a torn file takes room, and nobody will read it
            temporary.unlink(missing_ok=True)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that only this program writes, in place of its older version. Raises as `write_file`."""
    write_file(path, write, overwrite=True)


def publish(file: Path, out: Path, overwrite: bool = False, *, private: bool = False) -> None:
    """Give a finished file its usual permissions, put it on the disk and move it to `out`, in one step.

    A link is followed: the file that it names is meant. Raises FileExistsError, and changes neither file, if
    `out` exists and `overwrite` is False.
    """
    out = out.resolve()
    set_mode(file, 0o600 if private else 0o666 & ~_umask())
    sync(file)
    if overwrite:
        file.replace(out)
    else:
        _move_to_new(file, out)
    sync(out.parent)


def _move_to_new(file: Path, out: Path) -> None:
    if os.name == "nt":
        file.rename(out)  # refuses an existing name there
        return
    try:
        os.link(file, out)
    except FileExistsError:
        raise
    except OSError:  # FAT, exFAT and some network drives have no hard links
        _claim_and_replace(file, out)
    else:
        file.unlink()


def _claim_and_replace(file: Path, out: Path) -> None:
    """Make an empty file called `out`, which fails if there is one, then put `file` in its place."""
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    claimed = os.fstat(handle)
    try:
        if not _is_claim(out, claimed):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(out))
        file.replace(out)
    except BaseException:
        if _is_claim(out, claimed):
            out.unlink()
        raise
    finally:
        os.close(handle)


def _is_claim(out: Path, claimed: os.stat_result) -> bool:
    """Return whether `out` still is the empty file that was made to reserve its name."""
    with contextlib.suppress(OSError):
        now = out.lstat()
        return os.path.samestat(now, claimed) and now.st_size == 0
    return False


def private_folder(out: Path) -> Path:
    """Create a hidden folder beside `out` that nobody else can read: `.NAME.part-XXXX`.

    For a link it is placed beside the file that the link names, so that `publish` can move a file.
    """
    out = out.resolve()
    try:
        return Path(tempfile.mkdtemp(prefix=f".{short_name(out.name)}.part-", dir=out.parent))
    except OSError as error:
        raise cannot_write(out.parent, error, UsageError) from error


def short_name(name: str, longest: int = MAX_STEM) -> str:
    """Return the start of a file name, at most `longest` bytes of it."""
    return os.fsencode(name)[:longest].decode("utf-8", "ignore")


@contextlib.contextmanager
def utf8_name(path: Path) -> Iterator[Path]:
    """Give a readable file a name for libraries that take only UTF-8, where its own is not.

    Raises OSError if the file cannot be opened.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path


def set_mode(path: Path, mode: int) -> None:
    """Set the permissions of a file where its disk has any: FAT, exFAT and network drives refuse."""
    with contextlib.suppress(OSError):
        path.chmod(mode)


def sync(path: Path) -> None:
    """Wait until a file, or the list of files in a folder, is on the disk. Raises OSError if it cannot be."""
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot, and need not
    handle = os.open(path, os.O_RDONLY | (os.O_DIRECTORY if is_folder else 0))
    try:
        os.fsync(handle)
    except OSError as error:
        if not is_folder or error.errno not in _NO_SYNC:  # some network drives cannot sync a folder
            raise
    finally:
        os.close(handle)


def cannot_write(path: Path, error: Exception, kind: type[AsledError] = AsledError) -> AsledError:
    """Return the error for a failed write of `path`; it names a full disk only if it is full."""
    full = getattr(error, "errno", None) in _FULL
    return kind(
        f"{path} cannot be written: {reason(error)}.",
        f"Make room on the disk of {path.absolute().parent}." if full else "",
    )


def explain_system_error(error: OSError) -> AsledError | None:
    """Return the error for an unforeseen failure of disk or rights; None for any other failure."""
    if error.errno not in _OF_THE_DISK:
        return None
    place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if place is not None and error.errno in _FULL:
        return cannot_write(place, error)
    return AsledError(f"{place or 'A file'} cannot be read or written: {reason(error)}.")


@contextlib.contextmanager
def explain_full_disk(path: Path, hint: str = "") -> Iterator[None]:
    """Turn an error of the operating system into one sentence that names `path`. Raises AsledError.

    hint: how to go on once there is room.
    """
    try:
        with system_errors():
            yield
    except OSError as error:
        found = cannot_write(path, error)
        raise AsledError(found.message, f"{found.hint} {hint}".strip()) from error


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Turn what safetensors makes of an error of the operating system back into that error."""
    try:
        yield
    except SafetensorError as error:
        found = _IO_ERROR.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[2]), found[1]) from error


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
