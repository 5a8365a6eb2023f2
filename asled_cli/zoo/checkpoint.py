"""Weight files: find, verify, load, save. They are safetensors with network name and config in the header."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from asled_cli.errors import MissingWeightsError, UsageError, WeightsError, reason
from asled_cli.nets.interface import NetworkInfo
from asled_cli.runtime.atomic_file import system_errors, write_file
from asled_cli.zoo import registry as zoo
from asled_cli.zoo.weight_file import parse_config, read_header, read_tensors

FOLDER_VARIABLE = "ASLED_WEIGHTS"  # environment variable with a folder that is searched first


def find(name: str, given: Path | None = None) -> Path:
    """Return the file with the weights of the published network `name`, verified by its SHA-256.

    given: a file to use instead, of any training. It is only checked to exist. Otherwise the search order is
    the folder in the environment variable ASLED_WEIGHTS, the weights that came with the program, then the
    cache of the Hugging Face Hub and a download, if the network has a repository there.
    Raises WeightsError if no file is found or its hash is wrong, UsageError if `name` is not published.
    """
    if given is not None:
        if not given.is_file():
            said = "are no file" if given.exists() else "do not exist"
            raise WeightsError(f"The weights {given} {said}.", "Give a .safetensors file.")
        return given
    if name not in zoo.PUBLISHED and name in zoo.BUILDERS:
        kin = " or ".join(one.name for one in zoo.PUBLISHED.values() if one.architecture == name)
        raise WeightsError(
            f"No weights of {name} are published yet.",
            f"Train some, and pass them as --weights{f'; or take {kin}' if kin else ''}.",
        )
    return find_file(zoo.published(name))


def find_file(record: zoo.PublishedFile) -> Path:
    """Return the file of `record` (a network or a part); search order as in `find`."""
    for folder in weight_folders():
        path = folder / record.file
        if path.is_file():
            return verify(path, record.sha256)
    if record.repository is not None:
        return verify(_download(record), record.sha256)
    folders = ", ".join(map(str, weight_folders()))
    raise MissingWeightsError(
        f"The weights of {record.name} ({record.file}) are in none of: {folders}.",
        f"Install the program again, or set {FOLDER_VARIABLE} to the folder that holds them.",
    )


def verify(path: Path, sha256: str) -> Path:
    """Return `path` if its content has this hash. Raises WeightsError otherwise."""
    found = hash_file(path)
    if found != sha256:
        raise WeightsError(
            f"{path} is damaged or of another release: its SHA-256 is {found}, expected {sha256}.",
            "Delete it and install the program again, or pass it as --weights if you trust it.",
        )
    return path


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a weight file as 64 hexadecimal digits. Raises WeightsError if unreadable."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {reason(error)}.") from error


def load(path: Path) -> Any:
    """Build the network that `path` names in its header, in float32 and evaluation mode.

    Raises WeightsError if the file is not safetensors, has no header, or does not fit the network it names.
    """
    header = _header(path)
    meta = _outline(path, header)
    tensors = read_tensors(path, meta, header["network"])  # what does not fit is never allocated
    module = _build(path, header)
    module.load_state_dict(tensors)
    return module.eval()


def architecture(path: Path) -> str:
    """Return the kind of network that the header of `path` names. Raises WeightsError as `load`."""
    return _header(path)["network"]


def read_info(path: Path) -> NetworkInfo:
    """Return the `NetworkInfo` of the network in `path` after checking its weights. Raises as `load`."""
    header = _header(path)
    meta = _outline(path, header)
    read_tensors(path, meta, header["network"])
    return meta.info  # type: ignore[no-any-return]


def save(
    path: Path,
    architecture: str,
    module: Any,
    *,
    dtype: torch.dtype = torch.float16,
    notes: Mapping[str, str] | None = None,
    overwrite: bool = True,
) -> None:
    """Write the weights of `module` to `path`, atomically. `notes` are stored in the header.

    Raises FileExistsError if `path` exists and `overwrite` is False, OSError if the disk is full.
    """
    header = {"network": architecture, "config": json.dumps(asdict(module.config)), **(notes or {})}
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous() for name, value in module.state_dict().items()
    }
    with system_errors():
        write_file(path, lambda part: save_file(tensors, part, metadata=header), overwrite=overwrite)


def weight_folders() -> Iterator[Path]:
    """Return the folders that may contain weights; the user's choice comes first."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        yield Path(chosen)
    package = Path(__file__).parent.parent
    yield package / "weights"  # installed from a wheel
    yield package.parent / "weights"  # in a checkout


def _download(record: zoo.PublishedFile) -> Path:
    from huggingface_hub import hf_hub_download  # imported late: rarely needed, slow
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert record.repository is not None
    try:
        return Path(hf_hub_download(record.repository, record.file, revision=record.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MissingWeightsError(
            f"The weights of {record.name} could not be fetched from {record.repository}: {error}.",
            "Check the network connection, or download the file and pass it as --weights.",
        ) from error


def _header(path: Path) -> dict[str, str]:
    """Return the header of one of our files, with the name of a known network and its config."""
    header = read_header(path)
    if "network" not in header or "config" not in header:
        raise WeightsError(f"{path} does not say which network it belongs to.", "Only asled's own files do.")
    return header


def _outline(path: Path, header: Mapping[str, str]) -> Any:
    """Return the network on the meta device: names and shapes without memory for its weights."""
    with torch.device("meta"):
        return _build(path, header)


def _build(path: Path, header: Mapping[str, str]) -> Any:
    options = zoo.UNNAMED.get(header["network"], {}) | parse_config(path, header)
    try:
        return zoo.build(header["network"], options)
    except UsageError as error:
        raise WeightsError(f"{path} names a network that cannot be built: {error}") from error
