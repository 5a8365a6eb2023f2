"""FLIP grows with the visible difference, and is left out with a sentence where its package is missing."""

import logging

import numpy as np
import pytest
from factories.textures import texture

from asled_cli.errors import UsageError
from asled_cli.lab.scoring.frame_scores import load_extras
from asled_cli.metrics import flip


def test_it_grows_with_the_difference() -> None:
    pytest.importorskip("flip_evaluator")
    truth = texture(64, 48) / 255
    score = flip.load_flip()
    values = [score(np.clip(truth + shift, 0, 1), truth) for shift in (0.0, 0.05, 0.2)]
    assert values[0] == 0 and values[0] < values[1] < values[2] <= 1


def test_without_its_package_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(flip, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="flip-evaluator"):
        flip.load_flip()
    with caplog.at_level(logging.WARNING):
        assert "flip" not in load_extras(["flip"], None).paired
    assert "flip is left out" in caplog.text
