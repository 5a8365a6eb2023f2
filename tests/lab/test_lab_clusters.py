"""`asled eval` and `asled synth-blur` on a cluster: the same scores and bytes as on one machine.

All but the slow test use a stand-in for Ray.
"""

import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from factories.fake_ray import FakeRay
from factories.textures import texture

from asled_cli.cli.app import main
from asled_cli.errors import AsledError, InputError, UsageError
from asled_cli.lab.scoring import by_name, cluster
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.score_all import evaluate
from asled_cli.lab.synthesis import run
from asled_cli.lab.synthesis.clip import SynthConfig
from asled_cli.lab.synthesis.run import SynthJob, synth_blur
from asled_cli.runtime.workers import ray_cluster
from asled_cli.runtime.workers.ray_cluster import RayWorkers

CLIPS = ("a", "b", "c")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay(CPU=2, memory=8 * 2**30)
    monkeypatch.setattr(ray_cluster, "_import_ray", lambda: found)
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three clips of two frames with their truth."""
    for number, name in enumerate(CLIPS):
        for view, sigma in (("gt", 0.0), ("blur", 1.5)):
            (tmp_path / "set" / view / name).mkdir(parents=True)
            for index in range(2):
                frame = texture(64, 48, seed=2 * number + index)
                frame = cv2.GaussianBlur(frame, (0, 0), sigma) if sigma else frame
                cv2.imwrite(str(tmp_path / "set" / view / name / f"{index}.png"), frame)
    return tmp_path / "set"


@pytest.fixture
def config(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvalConfig:
    """Relative paths, as a user names them."""
    monkeypatch.chdir(tmp_path)
    return EvalConfig("generic", Path("set"), methods=("input",), workers=1, cache=Path("cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        cv2.imwrite(str(tmp_path / "photos" / f"photo{seed}.png"), texture(420, 360, seed=seed, finest=2.0))
    return tmp_path / "photos"


def auto() -> RayWorkers:
    return RayWorkers("auto")


def small_job(photos: Path, out: Path) -> SynthJob:
    return SynthJob(
        sources=[photos], out=out, jobs=1, synth=SynthConfig(mode="shake", frames=2, size=(64, 48))
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def elsewhere(folder: Path) -> Callable[..., Any]:
    """Return workers whose working folder is another one, as in a cluster."""

    class Elsewhere(RayWorkers):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
            here = Path.cwd()
            os.chdir(folder)
            try:
                return super().submit(function, *arguments)
            finally:
                os.chdir(here)

    return lambda: Elsewhere("auto")


def test_scores_are_those_of_one_machine(fake: FakeRay, config: EvalConfig) -> None:
    (config.root or Path()).joinpath("elsewhere").mkdir()
    found = evaluate(config, cluster=elsewhere(Path("set/elsewhere").absolute()))
    assert found.scores == evaluate(replace(config, cache=None)).scores
    assert [score.clip for score in found.scores] == list(CLIPS) and not fake.open
    assert (
        len(list(Path("cache").glob("*.input.*.json"))) == 3
    )  # in the shared folder, so that a later run has them


def test_pairs_of_files_are_found_from_other_folders(
    fake: FakeRay, config: EvalConfig, tmp_path: Path
) -> None:
    pair = "set/blur/a:set/gt/a"
    (tmp_path / "elsewhere").mkdir()
    found = evaluate(EvalConfig(pairs=(pair,)), cluster=elsewhere(tmp_path / "elsewhere"))
    assert found.scores == evaluate(EvalConfig(pairs=(pair,))).scores


def test_a_clip_that_fails_stops_no_other(
    fake: FakeRay, config: EvalConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    score = by_name.score_clip

    def full(clip: Any, *arguments: Any, **options: Any) -> Any:
        if clip.name == "a":
            raise AsledError("No space left on device.", "Make room.")
        return score(clip, *arguments, **options)

    with monkeypatch.context() as disk:
        disk.setattr(by_name, "score_clip", full)
        with pytest.raises(
            AsledError, match=r"1 of 3 failed, the others are done\. The first: No space"
        ) as at:
            evaluate(config, cluster=auto)
    assert at.value.hint == "Make room. What is done is kept: run the same command again."
    assert any(said.startswith("a: No space left") for said in caplog.messages)
    assert evaluate(config, cluster=auto).scores == evaluate(replace(config, cache=None)).scores


def test_workers_that_differ_or_do_not_see_the_cache_are_refused(
    fake: FakeRay, config: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        codes = iter(["of the driver"])
        other.setattr(cluster, "code_fingerprint", lambda: next(codes, "of the worker"))
        with pytest.raises(UsageError, match="has another value of the program's code: of the worker"):
            evaluate(config, cluster=auto)

    class Blind(RayWorkers):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
            (Path("cache") / cluster.SEEN).unlink(missing_ok=True)
            return super().submit(function, *arguments)

    with pytest.raises(InputError, match=r"does not see .*cache"):
        evaluate(config, cluster=lambda: Blind("auto"))


def test_made_clips_are_those_of_one_machine(
    fake: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    job = small_job(Path("photos"), Path("there"))
    assert synth_blur(job, cluster=elsewhere(tmp_path / "elsewhere")).written == 3
    assert synth_blur(replace(job, out=Path("here"))).written == 3
    assert files(Path("there")) == files(Path("here"))
    assert synth_blur(job, cluster=auto).kept == 3


def test_a_full_disk_of_a_worker_stops_no_other_clip(
    fake: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, write = small_job(photos, tmp_path / "out"), run.write_clip

    def full(out: Path, name: str, *arguments: Any) -> None:
        if name == "photo0":
            raise AsledError("No space left on device.", "Make room.")
        write(out, name, *arguments)

    with monkeypatch.context() as disk:
        disk.setattr(run, "write_clip", full)
        with pytest.raises(AsledError, match=r"1 of 3 failed, the others are done"):
            synth_blur(job, cluster=auto)
    again = synth_blur(job, cluster=auto)
    assert (again.written, again.kept) == (1, 2)
    with monkeypatch.context() as other:
        shutil.rmtree(tmp_path / "out")
        found = iter([{"asled": "driver"}])
        other.setattr(run, "versions_of_programs", lambda: next(found, {"asled": "worker"}))
        with pytest.raises(UsageError, match="another value of asled: worker, the driver driver"):
            synth_blur(job, cluster=auto)


@pytest.mark.parametrize("command", ["eval", "synth-blur"])
def test_without_ray_it_says_what_to_install(
    command: str, photos: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    calls = {
        "eval": ["--dataset", "generic", "--root", str(pictures), "--methods", "input"],
        "synth-blur": [str(photos), "--mode", "shake", "--frames", "2", "-o", str(tmp_path / "out")],
    }
    assert main([command, *calls[command], "-q", "--ray", "auto"]) == 2
    assert "pip install 'asled[ray]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_cluster_gives_the_same_scores_and_clips(photos: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    call = ["synth-blur", str(photos), "--mode", "shake", "--frames", "2", "--size", "64x48", "-q"]
    score = ["eval", "--dataset", "generic", "--root", str(pictures), "--methods", "input", "-q"]
    for name, options in (("here", []), ("there", ["--ray", "local"])):
        assert main([*call, "-o", str(tmp_path / name), "-j", "2", *options]) == 0
        assert main([*score, "-o", str(tmp_path / f"scores_{name}"), "--workers", "2", *options]) == 0
    assert files(tmp_path / "here") == files(tmp_path / "there")
    one, two = ((tmp_path / f"scores_{name}" / "frames.csv").read_bytes() for name in ("here", "there"))
    assert one == two and one.count(b"\n") > 6
