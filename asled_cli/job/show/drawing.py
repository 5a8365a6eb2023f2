"""Pictures and clips that `asled probe` draws: checked before any work, written completely or not at all."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asled_cli.errors import UsageError
from asled_cli.runtime.atomic_file import cannot_write, write_file


def check_drawing(option: str, path: Path, inputs: Sequence[Path], *, overwrite: bool = False) -> None:
    """Raise UsageError unless a .png or .mp4 can be written to `path`, and may be. option: that names it."""
    if path.suffix.lower() not in (".png", ".mp4"):
        raise UsageError(f"{option} is {path.name!r}, expected a name that ends in .png or .mp4.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{option}: the folder {path.absolute().parent} does not exist.")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise UsageError(f"{option} {path} is an input, expected another file.")
    if path.exists() and not overwrite:
        raise _exists(option, path)


def write_drawing(option: str, path: Path, write: Callable[[Path], object], *, overwrite: bool) -> None:
    """Write the file by `write`.

    Raises UsageError if a file has appeared at `path` and `overwrite` is False, AsledError if it cannot be
    written.
    """
    try:
        write_file(path, write, overwrite=overwrite)
    except FileExistsError as error:
        raise _exists(option, path) from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _exists(option: str, path: Path) -> UsageError:
    return UsageError(
        f"{option}: {path} exists already.", "Choose another name, or replace it with --overwrite."
    )
