"""The side of kill_and_resume.py inside a run: `asled` with short segments, which sends itself signals.

    python benchmarks/kill_points.py deblur ...

runs `asled deblur ...` with the short segments and the registration of these trials, for `asled batch`.
"""

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SEGMENT = 6  # frames
# Where the phases of a job begin and end: a module and a name in it.
PHASES = {
    "synchronise": ("asled_cli.job.plan", "match_clips"),
    "analyse": ("asled_cli.pipeline", "register_clips"),
    "judge": ("asled_cli.pipeline", "judge_clips"),
    "render": ("asled_cli.video.encode.writer", "ClipWriter.write"),
    "keep segment": ("asled_cli.job.resume.journal", "Journal.keep"),
    "join": ("asled_cli.video.encode.writer", "join"),
    "check": ("asled_cli.video.encode.writer", "verify"),
    "publish": ("asled_cli.video.encode.writer", "publish"),
    "remove folder": ("asled_cli.job.resume.journal", "Journal.remove"),
}


@dataclass(frozen=True)
class Kill:
    """Signals that a run sends itself in a phase. way: "before", "during" or "after" the `call`-th call.

    delay_s: how far into the call; gap_s: from one signal to the next.
    """

    phase: str
    call: int
    way: str
    delay_s: float
    signals: tuple[signal.Signals, ...]
    gap_s: float

    def send(self) -> None:
        """Send the first signal now and the second after the gap."""
        first, *more = self.signals
        for number in more:
            after(self.gap_s, number)
        os.kill(os.getpid(), first)


def after(seconds: float, number: signal.Signals) -> None:
    """Send this process a signal after some time."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def wrap(phase: str, around: Callable[[Callable[[], Any]], Any]) -> None:
    """Replace the function of a phase by one that hands its call to `around`."""
    module, name = PHASES[phase]
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function = getattr(owner, last)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return around(lambda: function(*arguments, **named))

    setattr(owner, last, wrapped)


def plant(kill: Kill) -> None:
    """Have this process send itself the signals of `kill`."""
    calls = 0

    def around(function: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls != kill.call:
            return function()
        if kill.way == "before":
            kill.send()
        elif kill.way == "during":
            timer = threading.Timer(kill.delay_s, kill.send)
            timer.daemon = True
            timer.start()
        found = function()
        if kill.way == "after":
            kill.send()
        return found

    wrap(kill.phase, around)


def measure_phases(calls: dict[str, list[float]]) -> None:
    """Have the seconds of each call of each phase appended to `calls`."""
    for phase in PHASES:

        def around(function: Callable[[], Any], phase: str = phase) -> Any:
            began = time.monotonic()
            found = function()
            calls.setdefault(phase, []).append(time.monotonic() - began)
            return found

        wrap(phase, around)


def set_up(*, real: bool) -> None:
    """Use short segments and, unless `real`, the known registration of the tiny pair."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.small_pair import known_registration  # type: ignore[import-not-found]

    from asled_cli import pipeline
    from asled_cli.registration.analyse import analyse

    pipeline.STEPS = pipeline.Steps(
        analyse=analyse if real else lambda runs, prior: known_registration(),
        segment_length=lambda clip: SEGMENT,
    )


def run_child(arguments: list[str], errors: str, kill: Kill | None, real: bool, phases: str = "") -> None:
    """Run `asled ARGUMENTS` in this process; write stderr to the file `errors`.

    phases: a file for the seconds of all calls of all phases.
    """
    os.setsid()  # so that a batch and its jobs get signals together, as at a terminal
    with Path(errors).open("a") as file:
        os.dup2(file.fileno(), 2)
    set_up(real=real)
    from asled_cli.cli.app import main

    started = subprocess.run

    def run_here(command: list[str], **more: Any) -> Any:
        """Start what `asled batch` starts with this script in the place of `-m asled_cli`."""
        return started([sys.executable, __file__, *command[3:]], **more)

    setattr(subprocess, "run", run_here)  # noqa: B010
    calls: dict[str, list[float]] = {}
    if phases:
        measure_phases(calls)
    if kill is not None:
        plant(kill)
    code = main(arguments)
    if phases:
        Path(phases).write_text(json.dumps(calls))
    sys.exit(code)


if __name__ == "__main__":
    set_up(real=False)
    from asled_cli.cli.app import main

    sys.exit(main(sys.argv[1:]))
