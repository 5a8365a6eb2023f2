"""ColorVideoVDP of whole clips: what its program is given, and what is said where it is missing.

The stand-in has the one call that is made; where the real program can be loaded, it is run too.
"""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from factories.textures import moving_video, texture
from numpy.typing import NDArray

from asled_cli.errors import UsageError
from asled_cli.lab.scoring import frame_scores
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.frame_scores import load_extras
from asled_cli.lab.scoring.score_all import evaluate
from asled_cli.metrics import cvvdp

Clip8 = NDArray[np.uint8]


class Program:
    """As the authors': ten, less the mean difference."""

    made: ClassVar[dict[str, Any]] = {}
    calls: ClassVar[list[tuple[tuple[int, ...], str, float]]] = []

    def __init__(self, **options: Any) -> None:
        Program.made = options

    def predict(
        self, test: Clip8, reference: Clip8, dim_order: str, frames_per_second: float
    ) -> tuple[float, None]:
        assert test.dtype == reference.dtype == np.uint8 and test.shape == reference.shape
        Program.calls.append((test.shape, dim_order, frames_per_second))
        return 10.0 - float(np.abs(test.astype(float) - reference).mean()), None


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    Program.calls = []
    monkeypatch.setitem(sys.modules, "pycvvdp", SimpleNamespace(cvvdp=Program))  # type: ignore[arg-type]
    monkeypatch.setattr(cvvdp, "find_spec", lambda name: name)


def test_a_clip_is_scored_once_as_a_whole(program: None, tmp_path: Path) -> None:
    frames = moving_video(4, 64, 48)
    for view, shift in (("gt", 0), ("blur", 3)):
        (tmp_path / view / "a").mkdir(parents=True)
        for index, frame in enumerate(np.clip(frames.astype(int) + shift, 0, 255).astype(np.uint8)):
            cv2.imwrite(str(tmp_path / view / "a" / f"{index}.png"), np.ascontiguousarray(frame[..., ::-1]))
    config = EvalConfig(
        "generic", tmp_path, methods=("input",), metrics=("psnr", "cvvdp"), workers=1, device="cpu"
    )
    (scores,) = evaluate(config).scores
    assert Program.calls == [((4, 48, 64, 3), "FHWC", 30.0)]
    assert Program.made["display_name"] == "standard_fhd" and Program.made["quiet"]
    values = {row["cvvdp"] for row in scores.rows}
    assert len(values) == 1 and values.pop() == pytest.approx(7.0, abs=0.1)


def test_without_its_package_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(frame_scores, "_SEEN", set())
    monkeypatch.setattr(cvvdp, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert load_extras(["cvvdp"], None).whole == {}
    assert "cvvdp is left out: ColorVideoVDP needs a further package: cvvdp." in caplog.text


def test_a_torchvision_that_does_not_fit_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr(cvvdp, "find_spec", lambda name: name)
    monkeypatch.setattr(cvvdp.importlib, "import_module", fail)
    with pytest.raises(UsageError, match="cannot be loaded: operator torchvision::nms does not exist") as at:
        cvvdp.load_cvvdp()
    assert "torchvision that is built for this torch" in at.value.hint


@pytest.mark.filterwarnings("ignore")
def test_the_real_program_sees_blur_and_flicker() -> None:
    try:
        score = cvvdp.load_cvvdp()
    except UsageError as error:
        pytest.skip(str(error))
    truth = np.stack([texture(128, 96, seed=1)] * 8)
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in truth])
    flicker = np.clip(truth.astype(int) + 8 * (np.arange(8) % 2)[:, None, None, None], 0, 255).astype(
        np.uint8
    )
    assert score(truth, truth, 30.0) == pytest.approx(10.0, abs=0.01)
    assert max(score(blurred, truth, 30.0), score(flicker, truth, 30.0)) < 9.5
