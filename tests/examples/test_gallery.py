"""The scripts of the gallery run as they are."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, GALLERY / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    found = known_registration()
    steps = pipeline.Steps(analyse=lambda runs, prior: found, segment_length=lambda clip: 6)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    return make_pair(tmp_path, 18)


def test_compare_and_report(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("compare_and_report").main(str(pair.wide), str(pair.ultra), str(tmp_path / "out.mp4"))
    assert all(Path(line).is_file() for line in capsys.readouterr().out.splitlines())


def test_plan_only(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("plan_only").main(str(pair.wide), str(pair.ultra)) == 0
    assert "offset_s: " in capsys.readouterr().out
    assert load("plan_only").main(str(pair.wide), "no.mp4") == 3


@pytest.mark.slow
def test_stop_after(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("stop_after").main(str(pair.wide), str(pair.ultra), str(tmp_path / "out.mp4"), "0")
    assert capsys.readouterr().out == f"cancelled; resuming\n{tmp_path / 'out.mp4'}: 18 frames\n"
