"""--adapt: the codebook is tuned to the clip's reference frames, alike in a resumed job; 0: no change."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factories.networks import TINY, random_weights
from factories.small_pair import Pair, known_registration, make_pair
from torch import nn

from asled_cli import pipeline
from asled_cli.errors import InterruptedRunError, UsageError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import DeblurResult, Event
from asled_cli.nets.asled_fast.network import AsledFast
from asled_cli.progress import Progress
from asled_cli.restoration import adaptation
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.zoo import checkpoint as weights


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), 12)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in which the codebook matters for every pixel."""
    torch.manual_seed(3)
    module = AsledFast(replace(TINY, memory=True))
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.08)
    path = tmp_path_factory.mktemp("weights") / "memory.safetensors"
    weights.save(path, "asled-fast", module)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    steps = pipeline.Steps(analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: 5)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    monkeypatch.setattr(adaptation, "RATE", 0.1)
    yield


def deblur(
    pair: Pair, out: Path, path: Path, report: Any = lambda event: None, **changes: Any
) -> DeblurResult:
    encode = EncodeConfig(codec="h264", crf=4, preset="ultrafast")
    job = DeblurConfig(
        pair.wide, pair.ultra, out=out, weights=path, method="network", chunk=4, precision="fp32",
        encode=encode, offset_s=0.0, skip_sharp=False,
    )  # fmt: skip
    return pipeline.run_deblur(replace(job, **changes), report)


@pytest.mark.slow
def test_no_epochs_are_bit_equal_and_some_are_deterministic(
    pair: Pair, network: Path, tmp_path: Path
) -> None:
    before = network.read_bytes()
    plain, none, two, again = (tmp_path / f"{name}.mp4" for name in ("plain", "none", "two", "again"))
    deblur(pair, plain, network)
    deblur(pair, two, network, adapt=2)
    deblur(pair, none, network, adapt=0)  # the codebook of the job before is not left over
    deblur(pair, again, network, adapt=2)
    assert none.read_bytes() == plain.read_bytes()
    assert two.read_bytes() == again.read_bytes() != plain.read_bytes()
    assert network.read_bytes() == before


@pytest.mark.slow
def test_a_resumed_job_has_the_same_codebook(pair: Pair, network: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    deblur(pair, whole, network, adapt=2)

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 7:
            raise InterruptedRunError("Stopped.", "")

    with pytest.raises(InterruptedRunError):
        deblur(pair, cut, network, stop, adapt=2)
    with pytest.raises(UsageError, match="--adapt"):
        deblur(pair, cut, network, adapt=3, resume=True)
    deblur(pair, cut, network, adapt=2, resume=True)
    assert cut.read_bytes() == whole.read_bytes()


def test_a_network_without_a_codebook_is_refused(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--adapt is 2, but asled-fast has no codebook"):
        deblur(pair, tmp_path / "out.mp4", random_weights(tmp_path), adapt=2)
    with pytest.raises(UsageError, match="--adapt is -1"):
        DeblurConfig(pair.wide, adapt=-1)
    with pytest.raises(UsageError, match="--adapt concerns a network"):
        DeblurConfig(pair.wide, method="single", adapt=1)
