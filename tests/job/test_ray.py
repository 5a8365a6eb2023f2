"""A batch and a long clip on a Ray cluster: what goes there, what comes back, and what may fail.

All but the slow tests use a stand-in for Ray.
"""

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from factories.fake_ray import FakeRay
from factories.small_pair import make_pair

from asled_cli.cli.app import main
from asled_cli.errors import InputError, UsageError
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.remote import Remote
from asled_cli.job.batch.report import REPORT
from asled_cli.job.batch.run import run_batch
from asled_cli.job.batch.shards import Shard
from asled_cli.job.config import DeblurConfig
from asled_cli.pipeline import run_deblur
from asled_cli.runtime.option_limits import check_number
from asled_cli.runtime.workers import ray_cluster
from asled_cli.runtime.workers.ray_cluster import RayWorkers
from asled_cli.video.encode.encoder import EncodeConfig


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay(CPU=4, memory=8 * 2**30)
    monkeypatch.setattr(ray_cluster, "_import_ray", lambda: found)
    return found


def write(config: DeblurConfig) -> None:
    """Stand-in for the job: writes the output, or fails where the wide clip is called bad."""
    assert config.out is not None
    if "bad" in config.wide.name:
        raise InputError("bad.mov is empty (0 bytes).", "Record again.")
    config.out.write_text(f"{config.wide.name} {config.strength}")


def remote(**changes: Any) -> Remote:
    config = DeblurConfig(Path("w"), Path("u"), method="swap", strength=0.5)
    found = Remote(lambda: RayWorkers("auto"), config, {}, write)
    return replace(found, **changes)


def pairs(*names: str) -> list[BatchPair]:
    return [BatchPair(Path(f"{name}.mov"), Path("u.mov"), f"{name}.mp4") for name in names]


def test_without_ray_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="needs the package ray, which is not installed") as caught:
        RayWorkers("auto")
    assert "pip install 'asled[ray]'" in caught.value.hint
    table = tmp_path / "jobs.csv"
    table.write_text("wide,ultra\na.mov,u.mov\n")
    assert main(["batch", str(table), "-o", str(tmp_path / "out"), "--ray", "auto", "--method", "swap"]) == 2
    assert "asled[ray]" in capsys.readouterr().err


def test_nothing_imports_ray_before_it_is_asked_for() -> None:
    """Nor does a module of ours name it in an import statement."""
    root = Path(importlib.import_module("asled_cli").__file__ or "").parent
    named = [p.name for p in root.rglob("*.py") if "import ray" in p.read_text("utf-8")]
    assert named == []


def test_a_cluster_that_is_not_there(fake: FakeRay) -> None:
    with pytest.raises(UsageError, match=r"no Ray cluster at 'nowhere:1': no such host") as caught:
        RayWorkers("nowhere:1")
    assert "ray start --head" in caught.value.hint


@pytest.mark.parametrize(
    ("resources", "gpus", "needs", "size"),
    [
        ({"CPU": 4.0, "memory": 2.0**40}, None, {"num_cpus": 1, "memory": 3 * 2**30}, 4),
        ({"CPU": 4.0, "memory": 2.0**31}, None, {"num_cpus": 1, "memory": 2**30}, 4),
        ({"CPU": 64.0, "GPU": 8.0}, None, {"num_gpus": 1}, 8),
        ({"CPU": 64.0, "GPU": 8.0, "memory": 2.0**40}, False, {"num_cpus": 1, "memory": 3 * 2**30}, 64),
    ],
)
def test_a_task_takes_a_gpu_where_there_are_any(
    resources: dict[str, float], gpus: bool | None, needs: dict[str, int], size: int, fake: FakeRay
) -> None:
    fake.resources = resources
    workers = RayWorkers("auto", gpus=gpus)
    assert (fake.needs, workers.size) == ({"max_retries": 3, **needs}, size)
    workers.close()
    workers.close()


def test_a_local_cluster_has_the_cores_it_is_given(fake: FakeRay) -> None:
    RayWorkers("local", cores=2).close()
    assert fake.started[0]["num_cpus"] == 2 and not fake.open


def test_rows_come_back_and_a_failure_stops_nobody(
    fake: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_batch(pairs("a", "bad", "c"), Path("out"), remote=remote())
    assert [(row.status, row.exit_code, row.wide, row.out) for row in found] == [
        ("done", 0, "a.mov", "out/a.mp4"),
        ("failed", 3, "bad.mov", "out/bad.mp4"),
        ("done", 0, "c.mov", "out/c.mp4"),
    ]  # fmt: skip
    assert found[1].message == "bad.mov is empty (0 bytes). Record again."
    assert (tmp_path / "out/a.mp4").read_text() == "a.mov 0.5"
    assert [row.status for row in run_batch(pairs("a", "c"), Path("out"), remote=remote())] == ["exists"] * 2
    assert (tmp_path / "out" / f"{REPORT}.csv").exists() and not fake.open
    shard = run_batch(pairs("a", "c"), Path("out"), remote=remote(), shard=Shard(1, 1))
    assert len(shard) == 2


def test_a_worker_that_ended_without_an_answer_fails_its_pair(fake: FakeRay, tmp_path: Path) -> None:
    fake.crash = RuntimeError("The worker died unexpectedly\nwhile executing")
    (found,) = run_batch(pairs("a"), tmp_path, remote=remote())
    assert found.status == "failed"
    assert found.message.startswith("A Ray worker ended 4 times without an answer (RuntimeError: The worker ")


def test_other_versions_and_an_unseen_folder_fail_with_a_sentence(fake: FakeRay, tmp_path: Path) -> None:
    (found,) = run_batch(pairs("a"), tmp_path, remote=remote(versions={"asled": "0.0"}))
    assert found.exit_code == 2 and "has another value of asled: " in found.message
    assert not (tmp_path / "a.mp4").exists()
    task = SimpleNamespace(file=tmp_path / f"{REPORT}.json")

    def forget(config: DeblurConfig) -> None:
        raise AssertionError("is not reached")

    class Blind(RayWorkers):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
            task.file.unlink()
            return super().submit(function, *arguments)

    (found,) = run_batch(pairs("a"), tmp_path, remote=remote(workers=lambda: Blind("auto"), deblur=forget))
    assert found.exit_code == 3 and "does not see" in found.message


def test_an_interrupt_closes_the_cluster(fake: FakeRay, tmp_path: Path) -> None:
    def interrupt(row: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(pairs("a", "b"), tmp_path, remote=remote(), on_outcome=interrupt)
    assert fake.started and not fake.open


@pytest.fixture
def real() -> Iterator[None]:
    pytest.importorskip("ray")
    yield


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_local_cluster_of_two_workers_one_of_them_killed(real: None, tmp_path: Path) -> None:
    """Three takes: the files of one process, although a worker is killed in mid-task."""
    made = make_pair(tmp_path, 24)
    takes = tmp_path / "takes"
    takes.mkdir()
    for number in range(3):
        for lens, clip in (("wide", made.wide), ("ultra", made.ultra)):
            (takes / f"{number}_{lens}.mp4").hardlink_to(clip)
    encode = EncodeConfig("h264", preset="veryfast")
    run_deblur(DeblurConfig(made.wide, made.ultra, out=tmp_path / "one.mp4", method="swap", encode=encode))
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray", killed), daemon=True)
    killer.start()
    call = ["batch", str(takes), "--method", "swap", "--codec", "h264", "--preset", "veryfast"]
    code = main([*call, "-o", str(tmp_path / "ray"), "-q", "--ray", "local", "--jobs", "2"])
    assert code == 0, (tmp_path / "ray" / f"{REPORT}.json").read_text()
    assert killed
    for number in range(3):
        found = (tmp_path / "ray" / f"{number}_wide_deblurred.mp4").read_bytes()
        assert found == (tmp_path / "one.mp4").read_bytes()
    report = json.loads((tmp_path / "ray" / f"{REPORT}.json").read_text())
    assert [(row["status"], Path(row["wide"]).name) for row in report] == [
        ("done", f"{number}_wide.mp4") for number in range(3)
    ]


def kill_a_worker(folder: Path, killed: list[int]) -> None:
    """Kill the process of a Ray task once unfinished work is there."""
    while not list(folder.glob(".*.asled")):
        time.sleep(0.02)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"ray::_answer") and owned(entry):
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
                return


def owned(entry: Path) -> bool:
    """Whether a process was started by this one, directly or not."""
    pid = int(entry.name)
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            return False
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_of_a_real_cluster_raises_comes_back_as_it_was(real: None) -> None:
    workers = RayWorkers("local", "half", cores=1)
    try:
        with pytest.raises(UsageError, match=r"--strength is 7, expected 0 to 1") as caught:
            workers.submit(check_number, "--strength", 7, 0, 1).result(timeout=100)
        assert caught.value.hint == "half"
    finally:
        workers.close()
