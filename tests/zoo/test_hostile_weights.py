"""Weights of somebody else: whatever a file claims, it is refused before anything is allocated."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from factories.networks import TINY, random_network
from safetensors.torch import load_file, save_file

from asled_cli.errors import UsageError, WeightsError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.method import FrameSize, choose_method
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo


def write(path: Path, config: object, network: str = "asled-fast") -> Path:
    text = config if isinstance(config, str) else json.dumps(config)
    save_file({"x": torch.zeros(1)}, path, metadata={"network": network, "config": text})
    return path


def refuse(path: Path, match: str) -> None:
    for read in (weights.read_info, weights.load):
        with pytest.raises(WeightsError, match=match) as caught:
            read(path)
        assert len(str(caught.value)) < 600 + len(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fine_channels": 3000, "coarse_channels": 3000}, "fine_channels is 3000, expected .* 1 to 512"),
        ({"forward_blocks": 10**7}, "forward_blocks is 10000000, expected .* 0 to 128"),
        ({"fine_channels": -1}, "fine_channels is -1"),
        ({"fine_channels": 0}, "fine_channels is 0"),
        ({"fine_channels": 1.5}, r"fine_channels is 1\.5, expected a whole number"),
        ({"fine_channels": "x"}, "fine_channels is 'x'"),
        ({"fine_channels": True}, "fine_channels is True"),
        ({"fine_channels": None}, "fine_channels is None"),
        ({"fine_state": 1}, "fine_state is 1, expected true or false"),
        ({"fusion_radius": 10**6}, "fusion_radius is 1000000"),
        ({"fine_channels": "x" * 10_000}, r"fine_channels is 'x{59}\.\.\."),
        ({"fine_channels": 10**4000}, r"fine_channels is 10+\.\.\."),
        ({"x" * 100: 1}, "unexpected keyword"),
    ],
)
def test_sizes_and_types_in_the_config(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.safetensors", changes), "cannot be built: .*" + message)
    with pytest.raises(UsageError, match=message):  # a recipe may name them too
        zoo.build("asled-fast", changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 10**5}, "channels is 100000"),
        ({"trunk_blocks": 10**7}, "trunk_blocks is 10000000"),
        ({"search": 5}, "search is '5', expected a table"),
        ({"search": {"strategy": "window", "radius": 10**5}}, "radius is 100000"),
        ({"search": {"strategy": "all"}}, "strategy is 'all', expected one of global, window, coarse"),
        ({"temperature": "hot"}, "temperature is 'hot', expected a number"),
        ({"temperature": float("nan")}, "temperature is nan, expected a number"),
        ({"fusion": ["after"]}, r"fusion is \['after'\], expected one of after, inside"),
    ],
)
def test_config_of_the_other_network(options: dict[str, object], message: str, tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.safetensors", options, "asled"), message)


@pytest.mark.parametrize(
    "text", ["[" * 200_000 + "]" * 200_000, "[" * 30_000, "[]", "5", "null", "{", '"{}"']
)
def test_config_that_is_no_table(text: str, tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.safetensors", text), "its config is")


@pytest.mark.parametrize("name", ["", "../../x", "spynet", "x" * 100_000])
def test_unknown_networks(name: str, tmp_path: Path) -> None:
    refuse(write(tmp_path / "a.safetensors", {}, name), "There is no network")


def header(entries: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + body


META = {"__metadata__": {"network": "asled-fast", "config": "{}"}}
NUMBERS = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
FILES = {
    "nothing": b"",
    "too short": b"\x01\x00",
    "length 2^63": struct.pack("<Q", 2**63) + b"{}",
    "length 90 MB": struct.pack("<Q", 90_000_000) + b"{}",
    "spaces": struct.pack("<Q", 9_000_000) + b"{" + b" " * 8_999_998 + b"}",
    "nested": struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
    "not UTF-8": struct.pack("<Q", 4) + b"\xff\xfe{}",
    "overlap": header({**META, "a": NUMBERS, "b": {**NUMBERS, "data_offsets": [8, 24]}}, bytes(24)),
    "cut off": header({**META, "a": NUMBERS}, bytes(4)),
    "huge shape": header({**META, "a": {**NUMBERS, "shape": [2**40, 2**40]}}, bytes(16)),
    "unknown type": header({**META, "a": {**NUMBERS, "dtype": "Z9"}}, bytes(16)),
    "pickle": b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(FILES[name])
    refuse(path, "cannot be read as safetensors")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    weights.save(path, "asled-fast", random_network())
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, path, metadata={"network": "asled-fast", "config": json.dumps(config_of(TINY))})


def config_of(config: object) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__slots__}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [torch.int16, torch.bool, torch.complex64])
def test_types_of_the_weights(saved: Path, kind: torch.dtype) -> None:
    rewrite(saved, {name: value.to(kind) for name, value in load_file(saved).items()})
    refuse(saved, r"does not fit the network 'asled-fast': .* holds \w+ numbers, expected one of F16")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_of_the_weights(saved: Path, value: float) -> None:
    tensors = load_file(saved)
    next(iter(tensors.values())).view(-1)[-1] = value
    rewrite(saved, tensors)
    refuse(saved, "weights that are not finite")


def test_names_and_shapes_of_the_weights(saved: Path) -> None:
    tensors = load_file(saved)
    first = next(iter(tensors))
    rewrite(saved, {name: value for name, value in tensors.items() if name != first})
    refuse(saved, f"1 of its {len(tensors)} tensors are missing, such as {first}")
    rewrite(saved, {**tensors, "\x1b[2J": torch.zeros(1)})
    refuse(saved, r"it has 1 more tensors, such as '\\x1b\[2J'")
    rewrite(saved, {**tensors, first: tensors[first][:1].clone()})
    refuse(saved, f"{first} has shape .*, expected")


def test_damaged_weights_of_the_user_are_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without weights the job takes swap and says so; with damaged ones it is refused."""
    (tmp_path / zoo.PUBLISHED[zoo.DEFAULT].file).write_bytes(b"damaged")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsError, match="is damaged or of another release"):
        choose_method(DeblurConfig(Path(), Path()), FrameSize(64, 64))
    monkeypatch.setattr(weights, "weight_folders", lambda: iter([tmp_path / "empty"]))
    choice = choose_method(DeblurConfig(Path(), Path()), FrameSize(64, 64))
    assert choice.method == "swap" and "are in none of" in choice.reason


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="are no file"):
        weights.find("asled-fast", tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.hash_file(tmp_path)
