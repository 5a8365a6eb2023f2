"""Whether the clips of a job still are the files that it began with."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asled_cli.errors import InputError

WHOLE_UP_TO = 2**30  # bytes, hashed in seconds; larger files are hashed in samples and must keep their time
SAMPLES = 64  # of a larger file, evenly spaced
SAMPLE_BYTES = 2**18  # of each sample


def fingerprint(path: Path) -> dict[str, object]:
    """Size, time of the last change (ns) and SHA-256 of a file; of a large one the SHA-256 of samples."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if state.st_size <= WHOLE_UP_TO:
            while block := file.read(SAMPLE_BYTES):
                digest.update(block)
        else:
            for sample in range(SAMPLES):
                file.seek((state.st_size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": digest.hexdigest()}


def is_same(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether two fingerprints match: by full hash, else by samples and modification time."""
    names = ["size", "sha256"] + (["mtime_ns"] if int(before["size"]) > WHOLE_UP_TO else [])
    return all(before.get(name) == now[name] for name in names)


class InputWatch:
    """Notices that a clip is replaced, cut, grown or changed while a job works on it.

    Made before the clips are first read. A touched or copied file of the same content is no change.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: state for path in paths if (state := _file_state(path)) is not None}
        self._prints: dict[Path, dict[str, object]] = {}

    def fingerprint(self, path: Path) -> dict[str, object]:
        """Return the fingerprint taken when the job began. Raises InputError if the file changed since."""
        if path not in self._prints:
            self._prints[path] = _read(path)
            now = _file_state(path)
            if now is None or self._seen.setdefault(path, now) != now:
                raise _changed(path)
        return self._prints[path]

    def check(self) -> None:
        """Look at names, sizes and times; read a file only if these are others. Raises InputError."""
        for path, before in self._seen.items():
            now = _file_state(path)
            if now != before:
                self._compare(path)
                self._seen[path] = now if now is not None else before

    def confirm(self) -> None:
        """Compare the contents, whatever the times say. Raises InputError."""
        self.check()
        for path in self._prints:
            self._compare(path)

    def _compare(self, path: Path) -> None:
        before = self._prints.get(path)
        if before is None or not is_same(before, _read(path)):
            raise _changed(path)


FileState = tuple[int, int, int, int]


def _file_state(path: Path) -> FileState | None:
    """Device, inode, size and time of the last change; None where there is no such file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _read(path: Path) -> dict[str, object]:
    try:
        return fingerprint(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read any more: {error.strerror or error}.", "Put the file back."
        ) from error


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path} changed while the job worked on it, so pictures and sound may be of different files.",
        "Put back the file that the job began with, or start over with --overwrite.",
    )
