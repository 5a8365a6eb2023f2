"""The output file of a job and the hidden folder for its unfinished work."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from asled_cli.errors import UsageError
from asled_cli.runtime.atomic_file import short_name

FORMATS = {".mov": "mov", ".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska"}
MAX_NAME_BYTES = 255  # of a file name, on nearly every file system
MAX_KEPT_BYTES = 200  # of an output's name in the name of its work folder; longer names get a digest
HASH_DIGITS = 16  # of that digest


def check_output(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Raise UsageError if `out` is an input, exists without `overwrite`, or cannot be written."""
    if out.suffix.lower() not in FORMATS:
        got = repr(out.suffix) if out.suffix else "no ending"
        raise UsageError(f"{out} has {got}, expected one of: {', '.join(FORMATS)}.")
    if len(os.fsencode(out.name)) > MAX_NAME_BYTES or "\0" in str(out):
        raise UsageError(f"{out} is no name that a file can have.", f"It may have {MAX_NAME_BYTES} bytes.")
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file name.")
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise UsageError(f"{out} is an input too: the output must be another file.")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is not an ordinary file.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already.", "Choose another name, or replace it with --overwrite.")
    folder = out.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"The folder {folder} does not exist.", "Make it first or choose another one.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {folder} cannot be written: permission denied.")


def default_output(clip: Path) -> Path:
    """Return the default output for `clip`: in its folder, with `_deblurred` in the name.

    Names above MAX_NAME_BYTES are cut.
    """
    suffix = clip.suffix if clip.suffix.lower() in FORMATS else ".mp4"
    ending = f"_deblurred{suffix}"
    stem = clip.stem
    if len(os.fsencode(stem)) + len(ending) > MAX_NAME_BYTES:
        stem = short_name(stem, MAX_NAME_BYTES - len(ending))
    return clip.with_name(stem + ending)


def work_folder(out: Path) -> Path:
    """Return the hidden folder in which the unfinished work on `out` is kept, unique for this name."""
    out = out.resolve()
    name, whole = out.name, os.fsencode(out.name)
    if len(whole) > MAX_KEPT_BYTES:
        digest = hashlib.sha256(whole).hexdigest()[:HASH_DIGITS]
        name = f"{short_name(name, MAX_KEPT_BYTES - HASH_DIGITS - 1)}-{digest}"
    return out.with_name(f".{name}.asled")
