"""Files of a training run: atomic checkpoints and CSV logs."""

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from asled_cli.errors import UsageError, WeightsError
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file

# Advice in errors about a full disk.
KEPT = "Free some space and continue with --resume; what was there before is kept."


def claim_folder(out: Path, names: Iterable[str]) -> None:
    """Make `out` the folder of a training run that owns the files `names`.

    Raises UsageError if a file of another program has one of these names, AsledError if it cannot be made.
    """
    mark = out / ".asled-train"
    if mark.exists():
        return
    for name in names:
        if os.path.lexists(out / name):
            raise UsageError(
                f"{out / name} exists, and asled did not write it.", "Choose another --out, or move it away."
            )
    with explain_full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Save a checkpoint atomically: a full disk or a kill leaves the old one intact.

    Raises AsledError if it cannot be written.
    """
    with explain_full_disk(path, KEPT):
        data = io.BytesIO()  # torch does not say why it could not write to a file
        torch.save(dict(content), data)
        replace_file(path, lambda temporary: temporary.write_bytes(data.getbuffer()))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_checkpoint(path: Path, content: Mapping[str, type] = {}) -> dict[str, Any]:
    """Load a checkpoint to the CPU, tensors and plain values only; code in it is never run.

    content: required entries, name to type. Raises WeightsError if it cannot be read or lacks an entry.
    """
    try:
        _check_archive(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises errors of many kinds for a damaged file
        said = str(error).partition("\n")[0].removesuffix(".")  # drops torch's advice to load the file anyway
        raise WeightsError(f"{path} cannot be read as a checkpoint: {said}.") from error
    if not isinstance(stored, dict):
        raise WeightsError(f"{path} is not a checkpoint of a training run.")
    for name, kind in content.items():
        value: Any = stored.get(name)
        right = isinstance(value, int | float if kind is float else kind)
        if not right or (kind is int and value < 0):
            raise WeightsError(
                f"{path} is no complete checkpoint of a training run: {name} is {type(value).__name__}, "
                f"expected {kind.__name__}.",
                "Train from the start in another folder.",
            )
    return stored


def _check_archive(path: Path) -> None:
    """Raise ValueError unless the file is an archive as torch.save writes it, uncompressed and undamaged.

    torch.load does not compare the check sums, and would continue with a changed number.
    """
    if not path.is_file():
        raise ValueError("there is no such file")
    if not zipfile.is_zipfile(path):
        raise ValueError("it is damaged or of another program")
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("it is compressed, as torch.save never does")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"it is damaged: the check sum of {damaged} is wrong")


def restore_module(path: Path, module: torch.nn.Module, stored: Mapping[Any, Any]) -> None:
    """Load stored weights into `module`. Raises WeightsError unless names, shapes and values match."""
    for name, value in module.state_dict().items():
        found = stored.get(name)
        if not isinstance(found, torch.Tensor) or found.shape != value.shape:
            shape = list(found.shape) if isinstance(found, torch.Tensor) else "missing"
            raise WeightsError(
                f"{path} does not fit its network: {name} is {shape}, not {list(value.shape)}."
            )
        if not found.is_floating_point() or not bool(found.isfinite().all()):
            raise WeightsError(
                f"{path} holds weights that are not finite numbers, in {name}.",
                "Start from an earlier checkpoint, or train from the start in another folder.",
            )
    try:
        module.load_state_dict(dict(stored))
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit its network: {error}.") from error


def restore_optimizer(path: Path, optimizer: torch.optim.Optimizer, stored: Mapping[str, Any]) -> None:
    """Load a stored state into `optimizer`. Raises WeightsError unless it has the same weights."""
    try:
        optimizer.load_state_dict(dict(stored))
        for parameter, values in optimizer.state.items():
            for value in values.values():
                if value.ndim and value.shape != parameter.shape:
                    raise ValueError(f"{list(value.shape)} numbers for weights of {list(parameter.shape)}")
                if not bool(value.isfinite().all()):
                    raise ValueError("numbers that are not finite")
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{path} has an optimizer that does not fit its network: {error}.") from error


class CsvLog:
    """CSV file of numbers. Opening it at `step` drops rows that a resumed run will repeat."""

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
