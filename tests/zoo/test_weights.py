"""Weight files: round trip, header, hash, search order, and one sentence for each failure."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from factories.networks import TINY, random_inputs, random_network
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from asled_cli.errors import UsageError, WeightsError
from asled_cli.nets.asled.costs import count_flops
from asled_cli.nets.asled.network import AsledNet
from asled_cli.nets.asled_fast.network import AsledFast
from asled_cli.nets.spynet import SpyNet
from asled_cli.zoo import checkpoint as weights
from asled_cli.zoo import registry as zoo

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MEASURED = {
    "asled-single": "single_1080p_cpu.json",
    "asled-fast": "throughput.json",
    "asled-blend": "asled_1080p_cpu.json",
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    weights.save(path, "asled-fast", random_network(), notes={"step": "7"})
    return path


@pytest.fixture
def published(saved: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.PublishedNetwork:
    record = zoo.PublishedNetwork(
        name="tiny",
        architecture="asled-fast",
        options=dataclasses.asdict(TINY),
        file=saved.name,
        sha256=weights.hash_file(saved),
        licence="MIT",
        parameters=1,
        paper="",
        training="",
    )
    monkeypatch.setitem(zoo.PUBLISHED, "tiny", record)
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(saved.parent))
    return record


@torch.inference_mode()
def test_round_trip_in_half_precision(saved: Path) -> None:
    network, inputs = random_network(), random_inputs(2)
    loaded = weights.load(saved)
    assert not loaded.training and loaded.config == TINY
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    torch.testing.assert_close(loaded(inputs)[0], network(inputs)[0], atol=2e-3, rtol=0)


def test_info_without_loading(saved: Path) -> None:
    assert weights.read_info(saved) == AsledFast.info


def test_search_order(published: zoo.PublishedNetwork, saved: Path, tmp_path: Path) -> None:
    assert weights.find("tiny") == saved
    other = tmp_path / "other.safetensors"
    weights.save(other, "asled-fast", random_network(seed=1))
    assert weights.find("tiny", other) == other


def test_wrong_hash(published: zoo.PublishedNetwork, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match=f"its SHA-256 is [0-9a-f]{{64}}, expected {published.sha256}"):
        weights.find("tiny")


def test_nothing_found(
    published: zoo.PublishedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match=r"are in none of: .*empty"):
        weights.find("tiny")
    with pytest.raises(WeightsError, match="do not exist"):
        weights.find("tiny", tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="no published weights called 'huge'"):
        weights.find("huge")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "does not say which network"),
        ({"network": "other", "config": "{}"}, "There is no network 'other'"),
        ({"network": "asled-fast", "config": "{"}, "cannot be built"),
        ({"network": "asled-fast", "config": '{"depth": 3}'}, "does not take these options"),
        ({"network": "asled-fast", "config": "{}"}, "does not fit the network 'asled-fast'"),
    ],
)
def test_foreign_files_are_named(header: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(WeightsError, match=message):
        weights.load(path)


def test_damaged_file_is_named(saved: Path) -> None:
    saved.write_bytes(b"no weights")
    for read in (weights.load, weights.read_info):
        with pytest.raises(WeightsError, match="cannot be read as safetensors"):
            read(saved)


def test_failed_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def fails(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(weights, "save_file", fails)
    with pytest.raises(OSError, match="No space"):
        weights.save(saved, "asled-fast", random_network())
    assert saved.read_bytes() == before and len(list(saved.parent.iterdir())) == 1


def test_operations_of_the_networks_at_1080p() -> None:
    """Of the compact one: counted in a run, scaled. Of the paper's: `count_flops`, checked elsewhere."""
    counted = []
    for frames in (1, 2):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            AsledFast()(random_inputs(frames, height=32, width=64))
        counted.append(counter.get_total_flops())
    one_frame = (counted[1] - counted[0]) * 1920 * 1080 / (32 * 64)
    assert one_frame / 1e9 == pytest.approx(zoo.COSTS["asled-fast"].gflop, rel=0.001)
    with torch.device("meta"):
        network = zoo.build("asled", zoo.published("asled-blend").options)
    published = count_flops(network.config, 1080, 1920)["total"]
    assert published / 1e9 == pytest.approx(zoo.COSTS["asled-blend"].gflop, rel=0.001)


@pytest.mark.parametrize("name", sorted(zoo.BUILDERS))
def test_parameters_of_the_networks(name: str) -> None:
    """Of the published file, or of the default config where there is none."""
    with torch.device("meta"):
        network = zoo.build(name, zoo.PUBLISHED[name].options if name in zoo.PUBLISHED else {})
    assert sum(p.numel() for p in network.parameters()) == zoo.COSTS[name].parameters


@pytest.mark.parametrize("name", sorted(zoo.PUBLISHED))
def test_memory_of_the_networks(name: str) -> None:
    """What was measured and recorded."""
    recorded = json.loads((RESULTS / MEASURED[name]).read_text())["peak_mib"]["median"]
    assert zoo.COSTS[name].memory_mib == pytest.approx(recorded, rel=0.2)


@pytest.mark.parametrize("name", sorted(set(zoo.BUILDERS) - set(zoo.PUBLISHED) - {"asled"}))
def test_operations_of_networks_without_weights(name: str) -> None:
    """Counted in a run of one small frame, scaled, without what is in no convolution."""
    network, inputs = zoo.build(name, {}).eval(), random_inputs(1, height=32, width=64)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(inputs)
    flops = counter.get_flop_counts()["Global"]
    counted = sum(value for kind, value in flops.items() if "conv" in str(kind))
    assert counted * 1920 * 1080 / (32 * 64) / 1e9 == pytest.approx(zoo.COSTS[name].gflop, rel=0.002)


@pytest.mark.parametrize("name", sorted(set(zoo.BUILDERS) - set(zoo.PUBLISHED)))
def test_networks_without_weights_say_what_to_do(name: str) -> None:
    with pytest.raises(WeightsError, match=f"No weights of {name} are published yet"):
        weights.find(name)


@pytest.mark.parametrize("name", sorted(zoo.PARTS))
def test_published_parts_are_true(name: str) -> None:
    tensors = load_file(weights.find_file(zoo.PARTS[name]))
    assert sum(tensor.numel() for tensor in tensors.values()) == zoo.PARTS[name].parameters
    SpyNet().load_state_dict(tensors)


@pytest.mark.parametrize("name", sorted(zoo.PUBLISHED))
def test_published_records_are_true(name: str) -> None:
    """File, hash, config and parameter count of every published network that comes with the program."""
    record = zoo.PUBLISHED[name]
    network = weights.load(weights.find(name))
    assert json.loads(json.dumps(dataclasses.asdict(network.config))) == dict(record.options)
    assert sum(p.numel() for p in network.parameters()) == record.parameters == zoo.COSTS[name].parameters
    if isinstance(network, AsledNet):
        operations = count_flops(network.config, 1080, 1920)["total"]
        assert operations / 1e9 == pytest.approx(zoo.COSTS[name].gflop, rel=0.001)


def test_info_draws_no_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing weights without values loads torch's compiler, which takes longer than reading the header."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were drawn")

    expected = random_network().info
    monkeypatch.setattr("torch.nn.init.kaiming_normal_", refuse)
    assert weights.read_info(saved) == expected
