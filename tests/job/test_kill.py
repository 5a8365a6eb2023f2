"""Killed at random moments, a job goes on to the very file of an uninterrupted run, sound included.

`python benchmarks/kill_and_resume.py` does the same for more moments, with processes started from nothing.
"""

import multiprocessing
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from factories.small_pair import add_sound, known_registration, make_pair

from asled_cli.job.resume.journal import FILE
from asled_cli.video.output_file import work_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
FRAMES, SEGMENT = 24, 4
MOMENTS = 2  # of each signal
MAX_S = 60.0


def deblur(arguments: list[str], said: Path) -> None:
    """In a process of its own: `asled deblur` with short segments and a known registration."""
    from asled_cli import pipeline
    from asled_cli.cli.app import main

    pipeline.STEPS = pipeline.Steps(
        analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: SEGMENT
    )
    sys.stdout = sys.stderr = said.open("a", buffering=1)
    sys.exit(main(["deblur", *arguments]))


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes from one that has everything loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["asled_cli.pipeline", "asled_cli.cli.app", "rich.progress"])
    return context


def run(
    processes: Any, arguments: list[str], said: Path, signal_at: tuple[int, int, float] | None = None
) -> int:
    """The exit code of one run. signal_at: a signal, in which segment it comes, and how far in, seconds."""
    process = processes.Process(target=deblur, args=(arguments, said))
    process.start()
    if signal_at is not None:
        number, segments, more_s = signal_at
        folder = work_folder(Path(arguments[arguments.index("-o") + 1]))
        while process.is_alive() and not (folder / f"{segments:06d}.packets").exists():
            process.join(0.01)
        process.join(more_s)
        if process.is_alive():
            os.kill(process.pid, number)
    process.join(MAX_S)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f"still running after {MAX_S} s: {said.read_text()}")
    return int(process.exitcode)


@pytest.fixture(scope="module")
def job(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], bytes]:
    """The command, and the file that it makes when left alone."""
    folder = tmp_path_factory.mktemp("kill")
    pair = make_pair(folder, FRAMES)
    wide = add_sound(pair.wide, folder / "sound.mp4", FRAMES / 30)
    arguments = [str(wide), str(pair.ultra), "--method", "swap", "--preset", "veryfast"]
    arguments += ["--offset", "0", "--lens-order", "given", "--no-skip-sharp"]
    assert run(processes, [*arguments, "-o", str(folder / "whole.mp4")], folder / "said") == 0
    return arguments, (folder / "whole.mp4").read_bytes()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_killed_at_random_moments(
    number: signal.Signals, processes: Any, job: tuple[list[str], bytes], tmp_path: Path
) -> None:
    arguments, whole = job
    draw, said, interrupted = random.Random(number), tmp_path / "said", 0
    for moment in range(MOMENTS):
        out = tmp_path / f"{moment}.mp4"
        journal = work_folder(out) / FILE
        at = number, draw.randrange(FRAMES // SEGMENT), draw.uniform(0, 0.1)
        code = run(processes, [*arguments, "-o", str(out)], said, at)
        while code != 0 or work_folder(out).exists():
            interrupted += 1
            assert code in (-number, 130)
            more = ["--resume"] if journal.exists() else ["-y"]
            code = run(processes, [*arguments, "-o", str(out), *more], said)
        assert out.read_bytes() == whole
    assert interrupted >= 1
    assert "Traceback" not in said.read_text()
    if number != signal.SIGKILL:
        assert "asled deblur" in said.read_text() and "--resume" in said.read_text()
