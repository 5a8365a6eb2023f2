"""The hidden folder of one output, locked by one run: made, taken over, and removed only where it is ours.

The lock is a file inside. Whoever holds it may rename the folder away, so a lock counts only while the folder
still has its name. A folder is renamed before it is removed, so no other run can begin in what goes away.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Self

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from asled_cli.errors import UsageError
from asled_cli.runtime.atomic_file import cannot_write, set_mode

FILE = "journal.jsonl"
LOCK = "lock"
REGISTRATION = "registration.safetensors"
_OWN = re.compile(
    r"journal\.jsonl|lock.*|registration\.safetensors|state-\d{6}\.safetensors|joined.*"
    r"|\d{6}(\.[0-9a-f]{8})?\.packets|segment-\d{6}\.json"  # of workers
    r"|compare-.*|report\.json"  # of the compare clip and of the report
    r"|\.(registration\.safetensors|state-\d{6}\.safetensors|segment-\d{6}\.json|report\.json)\..+"  # parts
)
_OF_THE_SYSTEM = re.compile(r"\.DS_Store|\._.*|\.nfs.*|Thumbs\.db|desktop\.ini")
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}


class WorkFolder:
    """A folder that this run has locked. Raises UsageError where another run works, or it is not ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = _lock(path)

    @classmethod
    def make(cls, path: Path) -> Self:
        """Create a new folder that nobody else can read."""
        for old in path.parent.glob(f"{escape(path.name)}.old-*"):  # a run was killed while it removed it
            _remove_own(old)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError as error:
            raise _busy(path) from error
        except OSError as error:
            raise cannot_write(path.parent, error, UsageError) from error
        try:
            return cls(path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.rmdir()  # keeps it where another run has begun there meanwhile
            raise

    @classmethod
    def take(cls, path: Path) -> Self:
        """Return the folder of an earlier run. Raises UsageError unless it is the user's own."""
        _check_owner(path)
        return cls(path)

    def foreign_files(self) -> list[str]:
        """Return the names of files that no run of this program wrote here."""
        return sorted(path.name for path in self.path.iterdir() if not _is_own(path))

    def remove(self) -> None:
        """Remove the folder with what runs put there; anything else stays where it is. Never raises."""
        with contextlib.suppress(OSError):
            if self.foreign_files():
                self.release()
                _remove_own(self.path)
                return
        away = self.path.with_name(f"{self.path.name}.old-{secrets.token_hex(4)}")
        renamed = _rename(self.path, away)
        self.release()
        if not renamed:  # Windows moves no folder with an open file, which is the lock
            renamed = _rename(self.path, away)
        _remove_own(away if renamed else self.path)

    def release(self) -> None:
        """Let other runs have it; twice is harmless."""
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None


def _lock(folder: Path) -> BaseFileLock:
    """Lock `folder`. Raises UsageError if another run holds it, or removes it at this moment."""
    try:
        with _pinned(folder) as seen:
            lock = _acquire(folder / LOCK)
            if seen is None or os.path.samestat(seen, folder.stat()):
                return lock
            lock.release(force=True)
    except (Timeout, FileNotFoundError) as error:
        raise _busy(folder) from error
    except OSError as error:
        raise cannot_write(folder, error, UsageError) from error
    raise _busy(folder)


def _acquire(path: Path) -> BaseFileLock:
    lock: BaseFileLock = FileLock(path, mode=0o600, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise
        lock = SoftFileLock(path, timeout=0, thread_local=False)  # a network drive without locks
        lock.acquire()
    return lock


@contextlib.contextmanager
def _pinned(folder: Path) -> Iterator[os.stat_result | None]:
    """Hold the present `folder` open, so that no later one is taken for it; None on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        yield None  # where no folder with an open lock can be renamed
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield os.fstat(handle)
    finally:
        os.close(handle)


def _busy(folder: Path) -> UsageError:
    return UsageError(f"Another run is working in {folder} at this moment.", "Wait for it, or stop it.")


def _check_owner(folder: Path) -> None:
    """Refuse a folder that somebody else may have put there, or put files into.

    A disk without Unix rights shows the same owner and rights for every file: what counts there is that the
    folder has the owner that a new file of this user gets.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise UsageError(
            f"{folder} is not a folder of asled.", "Move it away, and run the same command again."
        )
    if not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077):
        return
    if status.st_uid not in (os.getuid(), _owner_of_new_files(folder)):
        raise UsageError(f"{folder} belongs to another user.", "Choose another name for the output.")
    set_mode(folder, 0o700)
    for path in folder.iterdir():
        found = path.lstat()
        if found.st_uid != status.st_uid or not stat.S_ISREG(found.st_mode):
            raise UsageError(
                f"{path} was not written by asled.", f"Remove {folder}, and run the same command again."
            )


def _owner_of_new_files(folder: Path) -> int:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError as error:
        raise cannot_write(folder, error, UsageError) from error


def _is_own(path: Path) -> bool:
    known = _OWN.fullmatch(path.name) or _OF_THE_SYSTEM.fullmatch(path.name)
    return known is not None and not path.is_dir()


def _rename(path: Path, new: Path) -> bool:
    with contextlib.suppress(OSError):
        path.rename(new)
        return True
    return False


def _remove_own(folder: Path) -> None:
    """Remove the files of this program, and the folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if folder.is_symlink():
            return
        for path in folder.iterdir():
            if _is_own(path):
                path.unlink(missing_ok=True)
        folder.rmdir()
