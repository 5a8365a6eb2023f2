"""Which files and folders this program wrote, known by content: only these may be replaced."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from asled_cli.errors import UsageError
from asled_cli.runtime.atomic_file import replace_file, sync, write_file

REMEMBERED = 2  # contents of one name: the one being written, and the one that it replaces
_ADVICE = "Choose another folder, or move it away."


class OwnFiles:
    """Files and folders below `root` that this program wrote. notes: the JSON file that lists their hashes.

    overwrite: whether what others wrote may be replaced too. A file that was edited since is another's.
    """

    def __init__(self, root: Path, notes: Path, *, overwrite: bool = False, advice: str = _ADVICE) -> None:
        self.root, self._notes, self._overwrite, self._advice = root, notes, overwrite, advice

    def check(self, names: Iterable[str]) -> None:
        """Raise UsageError if something of another has one of these names."""
        for name in names:
            if not self.may_replace(name):
                raise self._foreign(name)

    def may_replace(self, name: str) -> bool:
        """Return whether `name` is free, or this program wrote what is there."""
        path = self.root / name
        if self._overwrite or not os.path.lexists(path):
            return True
        notes = self._read()
        return all(digest in notes.get(name + part, []) for part, digest in _contents(path).items())

    def write(self, name: str, write: Callable[[Path], object]) -> Path:
        """Let `write` fill the file `name`, which appears when it is complete. Raises UsageError, OSError."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def write_and_note(part: Path) -> None:
            write(part)
            self._note(name, part)

        try:
            write_file(path, write_and_note, overwrite=self.may_replace(name) and os.path.lexists(path))
        except FileExistsError as error:
            raise self._foreign(name) from error
        return path

    def publish_folder(self, part: Path, name: str) -> None:
        """Give the finished folder `part`, beside it, the name `name`. Raises UsageError, OSError."""
        path = self.root / name
        self.check([name])
        self._note(name, part)
        if os.path.lexists(path):
            old = path.with_name(f"{part.name}-old")
            path.rename(old)
            shutil.rmtree(old)
        part.rename(path)
        sync(path.parent)

    def _foreign(self, name: str) -> UsageError:
        return UsageError(f"{self.root / name} exists, and asled did not write it.", self._advice)

    def _note(self, name: str, part: Path) -> None:
        notes = self._read()
        for inner, digest in _contents(part).items():
            others = [old for old in notes.get(name + inner, []) if old != digest]
            notes[name + inner] = [*others, digest][-REMEMBERED:]
        text = json.dumps(notes, indent=1, sort_keys=True) + "\n"
        self._notes.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._notes, lambda file: file.write_text(text, encoding="utf-8"))

    def _read(self) -> dict[str, list[str]]:
        with contextlib.suppress(OSError, ValueError):
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if isinstance(notes, dict):
                return {name: hashes for name, hashes in notes.items() if isinstance(hashes, list)}
        return {}


def _contents(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of each file in a folder by its name behind the folder's; links have none."""
    if path.is_symlink():
        return {"": ""}
    if path.is_dir():
        found = {}
        for inner in path.iterdir():
            found.update({f"/{inner.name}{rest}": digest for rest, digest in _contents(inner).items()})
        return found
    with path.open("rb") as file:
        return {"": hashlib.file_digest(file, "sha256").hexdigest()}
