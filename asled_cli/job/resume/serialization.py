"""Records of numbers and pictures -> safetensors files and back, by their type annotations; no pickle.

Understands dataclasses, named tuples, tuples, lists, dictionaries as lists of pairs, None, numbers, text,
NumPy arrays and tensors. An array that stands in several places is stored once and comes back as one object.
"""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from asled_cli.errors import AsledError
from asled_cli.runtime.atomic_file import system_errors, utf8_name, write_file

_TREE = "tree"


def save_record(path: Path, record: object) -> None:
    """Write `record` to `path`, which is complete and on the disk when this returns, or not there.

    Raises OSError where the disk does not take it.
    """
    arrays: dict[str, torch.Tensor] = {}
    tree = _pack(record, arrays, {})
    text = json.dumps(tree)

    def write(part: Path) -> None:
        with system_errors():
            save_file(arrays, part, metadata={_TREE: text})

    write_file(path, write, overwrite=True, private=True)


def load_record(path: Path, kind: Any) -> Any:
    """Read the record of type `kind` that `save_record` wrote. Raises AsledError if it is damaged."""
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt", device="cpu") as file:
            tree = json.loads((file.metadata() or {})[_TREE])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _unpack(kind, tree, arrays, {})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise AsledError(
            f"The unfinished work in {path} is damaged: {error}.", "Start over with --overwrite."
        ) from error


def _pack(value: Any, arrays: dict[str, torch.Tensor], names: dict[int, str]) -> Any:
    if isinstance(value, np.ndarray | torch.Tensor):
        if id(value) not in names:
            names[id(value)] = name = f"{len(names)}"
            tensor = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
            arrays[name] = tensor.detach().cpu().contiguous()
        # The order in memory decides which kernel computes, so it must be restored.
        return {"array": names[id(value)], "channels_last": _is_channels_last(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _pack(getattr(value, field.name), arrays, names) for field in fields}
    if isinstance(value, dict):
        return [[_pack(part, arrays, names) for part in pair] for pair in value.items()]
    if isinstance(value, tuple | list):
        return [_pack(part, arrays, names) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _is_channels_last(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or value.dim() != 4 or value.is_contiguous():
        return False
    return value.is_contiguous(memory_format=torch.channels_last)


def _unpack(kind: Any, tree: Any, arrays: dict[str, torch.Tensor], made: dict[str, Any]) -> Any:
    while hasattr(kind, "__value__"):  # an alias by `type`, as NumPy's NDArray is from 2.5 on
        kind = kind.__value__
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if tree is None else _unpack(_member(inner, tree), tree, arrays, made)
    if kind is torch.Tensor or origin is np.ndarray:
        if tree["array"] not in made:
            made[tree["array"]] = _array(kind, arrays[tree["array"]], tree["channels_last"])
        return made[tree["array"]]
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        return _unpack_fields(kind, tree, arrays, made)
    if origin is dict:
        keys, values = ([pair[i] for pair in tree] for i in (0, 1))
        keys_read = (_unpack(inner[0], key, arrays, made) for key in keys)
        return dict(zip(keys_read, (_unpack(inner[1], v, arrays, made) for v in values), strict=True))
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return origin(_unpack(inner[0], part, arrays, made) for part in tree)
    if origin is tuple:
        return tuple(_unpack(one, part, arrays, made) for one, part in zip(inner, tree, strict=True))
    if kind in (bool, int, str):
        if not isinstance(tree, kind):
            raise TypeError(f"{tree!r} is no {kind.__name__}")
        return tree
    return float(tree) if kind is float else tree


def _member(kinds: tuple[Any, ...], tree: Any) -> Any:
    """Return the kind of a union that `tree` was packed from: the record with its fields, else the first."""
    records = (kind for kind in kinds if dataclasses.is_dataclass(kind) and isinstance(tree, dict))
    return next(
        (kind for kind in records if {f.name for f in dataclasses.fields(kind)} == set(tree)), kinds[0]
    )


def _unpack_fields(kind: Any, tree: Any, arrays: dict[str, torch.Tensor], made: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        # A record of an earlier version lacks what was added since; without a default, that is an error.
        names = [
            f.name for f in dataclasses.fields(kind) if f.name in tree or f.default is dataclasses.MISSING
        ]
        return typing.cast(Any, kind)(**{n: _unpack(hints[n], tree[n], arrays, made) for n in names})
    pairs = zip(kind._fields, tree, strict=True)
    return kind(*(_unpack(hints[name], part, arrays, made) for name, part in pairs))


def _array(kind: Any, tensor: torch.Tensor, channels_last: bool) -> Any:
    if kind is not torch.Tensor:
        return tensor.numpy()
    return tensor.contiguous(memory_format=torch.channels_last) if channels_last else tensor
