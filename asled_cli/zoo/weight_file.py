"""Checked reading of safetensors files that may be damaged or hostile: header, names, shapes and types first.

Only memory for bytes that the file holds is allocated, and no code in the file is run.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from asled_cli.errors import WeightsError, reason
from asled_cli.nets.limits import shorten
from asled_cli.runtime.atomic_file import utf8_name

MAX_HEADER_BYTES = 4 << 20  # the paper's network has 60 kB
MAX_CONFIG_CHARS = 1 << 16
FLOAT_TYPES = ("F16", "BF16", "F32", "F64")  # as safetensors names them


def read_header(path: Path) -> dict[str, str]:
    """Return the metadata of the file, name to text. Raises WeightsError if it cannot be read."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def parse_config(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    """Return the config of the network in a header. Raises WeightsError unless it is a table in JSON."""
    text = header["config"]
    try:
        if len(text) > MAX_CONFIG_CHARS:
            raise ValueError(f"{len(text)} characters long, at most {MAX_CONFIG_CHARS} are read")
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError(f"{shorten(config)}, expected a table")
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} names a network that cannot be built: its config is {error}.") from error
    return config


def read_tensors(path: Path, module: torch.nn.Module, name: str) -> dict[str, torch.Tensor]:
    """Return all tensors of `path` for `module`, in float32 and finite.

    module: may be on the meta device; only names and shapes of its state are used. name: of the network,
    for messages. Raises WeightsError if the file cannot be read or does not fit, before any tensor is read.
    """
    expected = {key: list(value.shape) for key, value in module.state_dict().items()}
    with _opened(path) as file:
        parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
        found = {key: (part.get_shape(), part.get_dtype()) for key, part in parts.items()}
        if problem := _misfit(found, expected):
            raise WeightsError(f"{path} does not fit the network {name!r}: {problem}.")
        tensors = {key: file.get_tensor(key).float() for key in expected}
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path} holds weights that are not finite, in {key}: it is damaged, or its training failed.",
                "Use other weights.",
            )
    return tensors


def _misfit(found: Mapping[str, tuple[list[int], str]], expected: Mapping[str, list[int]]) -> str:
    """Return how the tensors of a file differ from those of a network; nothing if they do not."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"{len(missing)} of its {len(expected)} tensors are missing, such as {missing[0]}"
    if extra := sorted(found.keys() - expected.keys()):
        return f"it has {len(extra)} more tensors, such as {shorten(extra[0])}"
    for key, (shape, kind) in found.items():
        if shape != expected[key]:
            return f"{key} has shape {shorten(shape)}, expected {expected[key]}"
        if kind not in FLOAT_TYPES:
            return f"{key} holds {kind} numbers, expected one of {', '.join(FLOAT_TYPES)}"
    return ""


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file for reading. Raises WeightsError if it is not one."""
    try:
        _check_header_length(path)
        with utf8_name(path) as name, safe_open(name, framework="pt", device="cpu") as file:
            yield file
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {reason(error)}.") from error


def _check_header_length(path: Path) -> None:
    """Raise ValueError for a header that is longer than any real one, before it is read."""
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) == 8 and struct.unpack("<Q", start)[0] > MAX_HEADER_BYTES:
        raise ValueError(f"its header is said to have more than {MAX_HEADER_BYTES >> 20} MiB")
