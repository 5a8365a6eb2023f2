"""Weight files: safetensors with the network's name and config in the header."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from asled_cli import zoo
from asled_cli.errors import UsageError, WeightsError


def save(
    path: Path,
    network: str,
    module: Any,
    *,
    dtype: torch.dtype = torch.float16,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the weights of `module` to `path`, complete or not at all. `notes` go into the header."""
    header = {"network": network, "config": json.dumps(asdict(module.config)), **(notes or {})}
    tensors = {
        name: value.detach().cpu().to(dtype).contiguous() for name, value in module.state_dict().items()
    }
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        save_file(tensors, temporary, metadata=header)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> Any:
    """Build the network that `path` names in its header, in float32 and evaluation mode.

    Raises WeightsError if the file is not safetensors, has no header, or does not fit the network it names.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}.") from error
    if "network" not in header or "config" not in header:
        raise WeightsError(f"{path} does not say which network it belongs to.", "Save it with asled.")
    try:
        module = zoo.build(header["network"], json.loads(header["config"]))
        module.load_state_dict(tensors)
    except (UsageError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} does not fit its network {header['network']!r}: {error}") from error
    return module.eval()
