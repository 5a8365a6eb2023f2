"""What a training run leaves on disk: checkpoints that are complete or absent, and CSV logs."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from asled_cli.errors import AsledError, WeightsError
from asled_cli.zoo.checkpoint import replace_file as replace_file


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Save under a temporary name, then rename: a full disk or a kill leaves the old checkpoint intact.

    Raises AsledError if it cannot be written.
    """
    with explain_full_disk(path):
        replace_file(path, lambda temporary: torch.save(dict(content), temporary))


# What torch.save ("unexpected pos": fewer bytes arrived than were sent) and safetensors say of a full disk.
_FULL_DISK = ("unexpected pos", "file write", "writing file", "No space left")


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn what a disk without room makes torch and safetensors raise into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise _unwritten(path, error.strerror or str(error)) from error
    except (RuntimeError, SafetensorError) as error:
        if not any(words in str(error) for words in _FULL_DISK):
            raise
        raise _unwritten(path, "is the disk full?") from error


def _unwritten(path: Path, reason: str) -> AsledError:
    return AsledError(
        f"{path} cannot be written: {reason}; what was there before is kept.",
        "Free some space and go on with --resume.",
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a log; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU, tensors and plain values only. Raises WeightsError if it cannot."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises errors of many kinds for a damaged file
        raise WeightsError(f"{path} cannot be read as a checkpoint: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a checkpoint of a training run.")
    return content


class CsvLog:
    """Rows of numbers appended to a CSV file. Opening it at `step` drops rows a resumed run will repeat."""

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        self.path, self.columns = path, columns
        kept = []
        if step > 0 and path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if row.get("step") and int(row["step"]) <= step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def append(self, **row: float) -> None:
        """Write one row; floats with five significant digits."""
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
