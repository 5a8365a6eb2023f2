"""A disk that gets full in the middle of a batch: sentences, nothing lost, and the same files in the end.

The disk is a stand-in; `benchmarks/many_machines.py` does the same on a real file system that is full.
"""

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from factories.small_pair import known_registration, make_pair

from asled_cli import pipeline
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.remote import Remote
from asled_cli.job.batch.report import REPORT
from asled_cli.job.batch.run import run_batch
from asled_cli.job.config import DeblurConfig
from asled_cli.job.resume.disk_space import SpaceWatch
from asled_cli.pipeline import run_deblur
from asled_cli.video.encode.encoder import EncodeConfig

TAKES = 4


class HereWorkers:
    """Workers that do everything at once in this process."""

    size = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(function(*arguments, None))
        return future

    def close(self) -> None:
        pass


def test_the_rest_is_tried_and_the_same_call_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = pipeline.Steps(analyse=lambda runs, prior: known_registration())
    monkeypatch.setattr(pipeline, "STEPS", steps)
    pair = make_pair(tmp_path, 4)
    pairs = [BatchPair(pair.wide, pair.ultra, f"take{number}.mp4") for number in range(TAKES)]
    encode = EncodeConfig("h264", preset="ultrafast")
    config = DeblurConfig(Path("w"), Path("u"), method="swap", offset_s=0.0, device="cpu", encode=encode)
    remote = Remote(HereWorkers, config, {}, run_deblur)
    out = tmp_path / "out"

    def free(watch: SpaceWatch) -> int:
        return 10 * 2**20 if len(list(out.glob("*.mp4"))) >= TAKES // 2 else 2**30

    with monkeypatch.context() as disk:
        disk.setattr(SpaceWatch, "_free", free)
        found = run_batch(pairs, out, remote=remote)
    assert [row.status for row in found] == ["done", "done", "failed", "failed"]
    assert all("has 10 MiB free, expected 16 MiB to begin. Make room." in row.message for row in found[2:])
    assert len(json.loads((out / f"{REPORT}.json").read_text())) == TAKES
    again = run_batch(pairs, out, remote=remote)
    assert [row.status for row in again] == ["exists", "exists", "done", "done"]
    assert len({(out / pair.out).read_bytes() for pair in pairs}) == 1
    assert not list(out.glob(".*.asled"))
