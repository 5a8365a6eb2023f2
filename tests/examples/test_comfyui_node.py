"""The ComfyUI node against a stub of ComfyUI's V3 interface, made from its public documentation."""

import asyncio
import importlib.util
import io as bytes_io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import frame_times

NODE = Path(__file__).parents[2] / "examples" / "comfyui" / "__init__.py"


class InterruptedError_(BaseException):
    """As ComfyUI's InterruptProcessingException."""


class Value:
    """Any input or output of a schema; remembers what it was declared with."""

    def __init__(self, id: str = "", **options: Any) -> None:
        self.id, self.options = id, options


class Video:
    def __init__(self, source: Any) -> None:
        self.source = source

    def get_stream_source(self) -> Any:
        return self.source

    def save_to(self, path: str) -> None:
        Path(path).write_bytes(Path(self.source.name).read_bytes())


class Bar:
    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, total: int) -> None:
        self.total = total

    def update_absolute(self, value: int, total: int) -> None:
        self.seen.append((value, total))


def module(name: str, **values: Any) -> ModuleType:
    found = ModuleType(name)
    vars(found).update(values)
    return found


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    kind = SimpleNamespace(Input=Value, Output=Value)
    api = SimpleNamespace(
        ComfyNode=object, Schema=lambda **values: SimpleNamespace(**values), Video=kind, Combo=kind,
        Float=kind, NodeOutput=lambda *values: SimpleNamespace(result=values),
    )  # fmt: skip
    state = SimpleNamespace(interrupted=False)

    def check() -> None:
        if state.interrupted:
            raise InterruptedError_

    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(Bar, "seen", [])
    for stub in (
        module("folder_paths", get_temp_directory=lambda: str(tmp_path / "temp")),
        module("comfy"),
        module("comfy.model_management", throw_exception_if_processing_interrupted=check),
        module("comfy.utils", ProgressBar=Bar),
        module("comfy_api"),
        module(
            "comfy_api.latest", io=api, ComfyExtension=object, InputImpl=SimpleNamespace(VideoFromFile=Video)
        ),
    ):
        monkeypatch.setitem(sys.modules, stub.__name__, stub)
    found = known_registration()
    monkeypatch.setattr(pipeline, "STEPS", pipeline.Steps(analyse=lambda runs, prior: found))
    spec = importlib.util.spec_from_file_location("asled_comfyui", NODE)
    assert spec is not None and spec.loader is not None
    loaded: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    loaded.state = state
    yield loaded


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), 12)


def test_two_clips_in_one_out(node: Any, pair: Pair) -> None:
    extension = asyncio.run(node.comfy_entrypoint())
    (deblur,) = asyncio.run(extension.get_node_list())
    names = [value.id for value in deblur.define_schema().inputs]
    assert names == ["wide", "ultra", "method", "strength"]
    in_memory = Video(bytes_io.BytesIO(pair.ultra.read_bytes()))
    given = dict(zip(names, (Video(str(pair.wide)), in_memory, "swap", 1.0), strict=True))
    (video,) = deblur.execute(**given).result
    assert frame_times(probe_clip(Path(video.source))) == frame_times(probe_clip(pair.wide))
    assert Bar.seen[-1] == (12, 12)


def test_cancelling_stops_the_job_and_leaves_nothing(node: Any, pair: Pair, tmp_path: Path) -> None:
    node.state.interrupted = True
    with pytest.raises(InterruptedError_):
        node.AsledDeblur.execute(Video(str(pair.wide)), "swap", 1.0, Video(str(pair.ultra)))
    assert not list((tmp_path / "temp").iterdir())
