"""One clip shared by several worker processes: the file of one process, whoever is killed."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factories.networks import random_weights
from factories.small_pair import Pair, add_sound, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.errors import (
    AsledError,
    InputError,
    InterruptedRunError,
    MissingWeightsError,
    UsageError,
)
from asled_cli.job.config import DeblurConfig
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurResult, Event
from asled_cli.job.rendering import driver, spans, worker
from asled_cli.job.rendering.spans import Span, cut_spans
from asled_cli.job.rendering.worker import Place
from asled_cli.job.show.job_rows import plan_rows
from asled_cli.progress import Progress, ignore
from asled_cli.runtime.workers.local import LocalWorkers
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.encode.segments import PacketFile, Segment
from asled_cli.video.output_file import work_folder
from asled_cli.zoo import checkpoint as weights

FRAMES, SEGMENT = 26, 4


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    found = make_pair(folder, FRAMES)
    return replace(found, wide=add_sound(found.wide, folder / "sound.mp4", FRAMES / 30))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


class ThreadWorkers:
    """Stand-in for processes: the work is done at once, in this process."""

    size = 2

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        self.spans.append(arguments[0].span)
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, Place()))
        except AsledError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four frames each, a known registration, one thread: small pictures are faster so."""
    steps = pipeline.Steps(
        analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: SEGMENT
    )
    monkeypatch.setattr(pipeline, "STEPS", steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> ThreadWorkers:
    found = ThreadWorkers()
    monkeypatch.setattr(pipeline, "workers_of", lambda plan: found)
    return found


def config(pair: Pair, out: Path, network: Path | None, **changes: Any) -> DeblurConfig:
    encode = EncodeConfig(crf=12, preset="veryfast")
    job = DeblurConfig(pair.wide, pair.ultra, out=out, method="swap", encode=encode, offset_s=0.0)
    if network is not None:
        job = replace(job, method="network", weights=network, chunk=4, overlap=2, precision="fp32")
    return replace(job, **changes)


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 100, 480, 10_000])
def test_spans_cover_the_clip_and_depend_on_it_alone(frames: int) -> None:
    found = cut_spans(frames, SEGMENT)
    assert [span.first for span in found] == [0, *(span.last for span in found[:-1])]
    assert found[-1].last == -(-frames // SEGMENT)
    assert all(1 <= span.last - span.first <= spans.MAX_SPAN for span in found)


@pytest.mark.parametrize(
    ("length", "chunk", "frames"),
    [(120, 12, 12), (100, 12, 16), (25, 12, 13), (120, 5, 15), (4, 4, 12), (119, 60, 59), (7, 20, 27)],
)
def test_a_network_warms_up_with_the_chunks_of_one_process(length: int, chunk: int, frames: int) -> None:
    found = spans.warm_up_frames(length, chunk)
    assert found == frames >= spans.WARM_UP and (found - length % chunk) % chunk == 0


@pytest.mark.parametrize(("changes", "said"), [
    ({}, None),
    ({"workers": 3}, "3 processes; at the start"),
    ({"workers": 3, "exact": True}, "one process: --exact"),
    ({"ray": "auto"}, "the Ray cluster auto; at the start"),
])  # fmt: skip
def test_the_plan_tells_who_renders(
    changes: dict[str, Any], said: str | None, pair: Pair, network: Path, tmp_path: Path
) -> None:
    plan = make_plan(config(pair, tmp_path / "1.mp4", network, **changes))
    assert plan_rows(plan).get("workers", "").startswith(said or "")
    assert (said is None) == ("workers" not in plan_rows(plan))


@pytest.mark.parametrize("kind", ["swap", "range", "single"])
def test_the_file_is_that_of_one_process(
    kind: str, pair: Pair, tmp_path: Path, workers: ThreadWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, whose memory would be rebuilt at the seams."""

    def none(*names: object) -> Path:
        raise MissingWeightsError("none here")

    monkeypatch.setattr(weights, "find", none)
    changes: dict[str, dict[str, Any]] = {
        "range": {"start_s": 0.2, "end_s": 0.8},
        "single": {"method": "single", "ultra": None, "offset_s": None},
    }  # fmt: skip
    one, two = (config(pair, tmp_path / f"{name}.mp4", None, **changes.get(kind, {})) for name in "12")
    expected = pipeline.run_deblur(one)
    found = pipeline.run_deblur(replace(two, workers=2))
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()
    if not expected.copied:
        assert len(workers.spans) >= 4
    names = ("frames_written", "frames_changed", "frames_unchanged", "frames_without_reference")
    assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]
    assert {stage.name for stage in found.stages} == {stage.name for stage in expected.stages}
    assert not work_folder(tmp_path / "2.mp4").exists()


def test_with_exact_a_network_stays_in_one_process(
    pair: Pair, network: Path, tmp_path: Path, workers: ThreadWorkers
) -> None:
    one, two = (config(pair, tmp_path / f"{name}.mp4", network) for name in "12")
    pipeline.run_deblur(one)
    pipeline.run_deblur(replace(two, workers=2, exact=True))
    assert workers.spans == []
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


@pytest.mark.slow
def test_a_network_gives_the_same_frames_whoever_stops(
    pair: Pair, network: Path, tmp_path: Path, workers: ThreadWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans of three segments: a stop inside one continues with the kept memory, not with a new one."""
    monkeypatch.setattr(driver, "cut_spans", lambda frames, length: [Span(0, 3), Span(3, 6), Span(6, 7)])
    whole = config(pair, tmp_path / "1.mp4", network, workers=2)
    pipeline.run_deblur(whole)
    job = replace(whole, out=tmp_path / "2.mp4")
    written = worker.write_note

    def stop(folder: Path, number: int, entry: Any) -> None:
        written(folder, number, entry)
        if number == 4:
            raise AsledError("stopped")

    with monkeypatch.context() as broken:
        broken.setattr(worker, "write_note", stop)
        with pytest.raises(AsledError, match="stopped") as caught:
            pipeline.run_deblur(job)
    assert "--workers 2" in caught.value.hint and "--resume" in caught.value.hint
    began: list[int] = []
    rendering = worker._Rendering.__init__

    def watch(self: Any, task: Any, first: int) -> None:
        began.append(first)
        rendering(self, task, first)

    monkeypatch.setattr(worker._Rendering, "__init__", watch)
    pipeline.run_deblur(replace(job, resume=True))
    assert began == [5]
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


@pytest.mark.slow
def test_work_begun_by_one_process_continues_with_workers_unless_seams_would_differ(
    pair: Pair, network: Path, tmp_path: Path, workers: ThreadWorkers
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 11:
            raise InterruptedRunError("stopped")

    for kind in (None, network):
        job = config(pair, tmp_path / f"{kind is None}.mp4", kind)
        with pytest.raises(InterruptedRunError):
            pipeline.run_deblur(job, stop)
        if kind is not None:
            with pytest.raises(UsageError, match="another value of the seams of --workers"):
                pipeline.run_deblur(replace(job, resume=True, workers=2))
        pipeline.run_deblur(replace(job, resume=True, workers=2, exact=True))
        whole = config(pair, tmp_path / f"whole_{kind is None}.mp4", kind)
        pipeline.run_deblur(whole)
        found = (tmp_path / f"{kind is None}.mp4").read_bytes()
        assert found == (tmp_path / f"whole_{kind is None}.mp4").read_bytes()


@pytest.mark.slow
def test_of_a_damaged_clip_one_process_does_the_rest(
    pair: Pair, tmp_path: Path, workers: ThreadWorkers, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(pair.wide.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 200):
        data[place] ^= 0xFF
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    one, two = (config(replace(pair, wide=damaged), tmp_path / f"{name}.mp4", None) for name in "12")
    expected = pipeline.run_deblur(one)
    found = pipeline.run_deblur(replace(two, workers=2))
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()
    assert found.problems == expected.problems
    assert any("one process does the rest" in said for said in caplog.messages) or not expected.problems


@pytest.mark.slow
def test_a_full_disk_of_a_worker_loses_nothing(
    pair: Pair, tmp_path: Path, workers: ThreadWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run_deblur(config(pair, tmp_path / "1.mp4", None))
    job = config(pair, tmp_path / "2.mp4", None, workers=2)
    finish = PacketFile.finish

    def full(file: PacketFile, end: int) -> Segment:
        if file.path.name.startswith("000003"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return finish(file, end)

    with monkeypatch.context() as disk:
        disk.setattr(PacketFile, "finish", full)
        with pytest.raises(AsledError, match="No space left on device") as caught:
            pipeline.run_deblur(job)
    assert "--resume" in caught.value.hint
    kept = {path.name for path in work_folder(tmp_path / "2.mp4").glob("segment-*.json")}
    assert kept == {f"segment-{number:06d}.json" for number in range(7)} - {"segment-000003.json"}
    workers.spans.clear()
    pipeline.run_deblur(replace(job, resume=True))
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def test_workers_refuse_what_they_cannot_do_as_the_driver(
    pair: Pair, tmp_path: Path, workers: ThreadWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = config(pair, tmp_path / "out.mp4", None, workers=2)
    with monkeypatch.context() as other:
        other.setattr(worker, "decisive_versions", lambda path: {"asled": "0.0"})
        with pytest.raises(
            UsageError, match=r"worker on .* has another value of asled: 0\.0, the driver"
        ) as at:
            pipeline.run_deblur(job)
    assert "Install the same versions" in at.value.hint
    with monkeypatch.context() as other:
        other.setattr(worker, "FILE", "not there")
        with pytest.raises(InputError, match="does not see"):
            pipeline.run_deblur(replace(job, resume=(work_folder(tmp_path / "out.mp4")).exists()))


def result_of(job: DeblurConfig, report: Callable[[Event], None] = ignore) -> DeblurResult:
    return pipeline.run_deblur(job, report)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swap", "network"])
def test_real_processes_one_of_them_killed(
    kind: str,
    pair: Pair,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: ThreadWorkers,
) -> None:
    weights_file = None if kind == "swap" else network
    whole = config(pair, tmp_path / "1.mp4", weights_file, workers=2)
    result_of(whole)
    local = LocalWorkers([Place(threads=1)] * 2)
    monkeypatch.setattr(pipeline, "workers_of", lambda plan: local)
    killer = threading.Thread(target=kill_one_worker, args=(local, work_folder(tmp_path / "2.mp4")))
    killer.start()
    result_of(replace(whole, out=tmp_path / "2.mp4"))
    killer.join()
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def kill_one_worker(local: LocalWorkers, folder: Path) -> None:
    while not list(folder.glob("segment-*.json")):
        time.sleep(0.01)
    process = local._all[0]._process
    os.kill(process.pid, signal.SIGKILL)


def _die(times: Path, place: Place) -> str:
    """Kill the own process until a file has so many lines as it has attempts left."""
    with times.open("a") as file:
        file.write("x")
    if len(times.read_text()) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done by {place.device}"


def _die_always(place: Place) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail(place: Place) -> None:
    raise InputError("x is empty.", "Record again.")


def _write_and_wait(file: Path, place: Place) -> None:
    file.write_text("")
    time.sleep(5)


@pytest.mark.slow
def test_closed_workers_start_no_process_for_work_that_waits(tmp_path: Path) -> None:
    pool = LocalWorkers([None])
    running = [pool.submit(_write_and_wait, tmp_path / name) for name in "ab"]
    while not (tmp_path / "a").exists():
        time.sleep(0.01)
    pool.close()
    assert all(future.done() for future in running) and not (tmp_path / "b").exists()


@pytest.mark.slow
def test_the_work_of_a_killed_process_is_done_again(tmp_path: Path) -> None:
    pool = LocalWorkers([Place("a")])
    try:
        assert pool.submit(_die, tmp_path / "times").result() == "done by a"
        with pytest.raises(InputError, match=r"x is empty\. Record again\."):
            pool.submit(_fail).result()
        with pytest.raises(AsledError, match="ended 4 times without a message"):
            pool.submit(_die_always).result()
    finally:
        pool.close()
        pool.close()
