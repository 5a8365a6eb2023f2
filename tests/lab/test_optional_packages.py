"""What `asled eval` does with a package that it can use but does not need: spandrel, here a stand-in.

The stand-in has the few names that are called, so these tests hold our side of the agreement only.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import Tensor, nn

from asled_cli.errors import WeightsError
from asled_cli.lab.datasets.layouts import read_layout
from asled_cli.lab.evaluation.costs import measure_costs
from asled_cli.lab.scoring import score_all as run
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import find_models


class Descriptor:
    """As spandrel's: a callable network with metadata."""

    scale, input_channels = 1, 3

    def __init__(self) -> None:
        self.model = nn.Conv2d(3, 3, 1)
        nn.init.zeros_(self.model.weight)
        nn.init.constant_(self.model.bias, 0.25)  # type: ignore[arg-type]

    def eval(self) -> "Descriptor":
        return self

    def __call__(self, picture: Tensor) -> Tensor:
        return self.model(picture) + picture  # type: ignore[no-any-return]


class Unsupported(Exception):
    """As spandrel's."""


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> Descriptor:
        if b"known" not in path.read_bytes():
            raise Unsupported("no such network")
        return Descriptor()

    stand_in = SimpleNamespace(
        ImageModelDescriptor=Descriptor,
        UnsupportedModelError=Unsupported,
        ModelLoader=lambda device: SimpleNamespace(load_from_file=load),
    )
    monkeypatch.setitem(sys.modules, "spandrel", stand_in)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> EvalConfig:
    import cv2

    for view in ("blur", "gt"):
        (tmp_path / view / "a").mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(tmp_path / view / "a" / f"{index}.png"), np.full((32, 32, 3), 60, np.uint8))
    (tmp_path / "net.pth").write_bytes(b"known")
    return EvalConfig(
        "generic", tmp_path, methods=("input", f"net={tmp_path / 'net.pth'}"), workers=1, device="cpu"
    )


@pytest.mark.usefixtures("spandrel")
def test_single_image_networks_restore_frame_by_frame(config: EvalConfig) -> None:
    assert config.root is not None and read_layout("generic", config.root)[0].frames == 2
    before, after = run.evaluate(config).scores
    assert before.rows[0]["psnr"] == 100.0
    # out = in + 0.25, rounded to 8 bit
    step = (round(60 + 0.25 * 255) - 60) / 255
    assert after.rows[1]["psnr"] == pytest.approx(-20 * np.log10(step), abs=0.01)
    alone = EvalConfig(
        "generic", config.root, methods=config.methods[1:], profile_sizes=((32, 32),), device="cpu"
    )
    (cost,) = measure_costs(alone, find_models(config)[1:])
    assert cost.parameters == 12 and cost.flops == 2 * 9 * 32 * 32


@pytest.mark.usefixtures("spandrel")
def test_a_file_that_spandrel_does_not_know_is_refused(config: EvalConfig) -> None:
    assert config.root is not None
    (config.root / "net.pth").write_bytes(b"other")
    with pytest.raises(WeightsError, match="no network that spandrel knows: no such network"):
        run.evaluate(config)
