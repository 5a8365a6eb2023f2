"""Kills of `asled deblur` and `asled batch` in all phases, with resume, compared with an uninterrupted run.

    python benchmarks/kill_and_resume.py [--kills 300] [--workers 2] [--frames 36] [--minutes M]
        [--seed 0] [--out FILE]

A trial starts a tiny job with sound, which gets SIGINT, SIGTERM or SIGKILL, one in four times a second signal
soon after, in one phase of the job (before, during or after one call in it) or after a random time. It is
resumed, killed again in two of five runs, until it has finished. After every kill there must be no output or
the whole one; the final file must equal that of an uninterrupted run byte for byte, frames and audio packets
too. Every tenth trial is a batch of two jobs whose whole process group gets the signal, every eighth runs the
real analysis instead of a known registration. Segments are six frames long. Trials go on until `--kills` runs
have been ended by a signal. Exit code 1 if any trial was bad.
"""

import argparse
import collections
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from kill_points import PHASES, ROOT, Kill, run_child
from report import write_report
from throughput import commit

MAX_S = 300.0
MAX_RUNS = 20  # of one trial
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
PROCESSES = multiprocessing.get_context("forkserver")  # everything is imported once, not for each run
PRELOAD = [
    "kill_points",
    "asled_cli.pipeline",
    "asled_cli.cli.app",
    "asled_cli.job.batch.run",
    "rich.progress",
]


@dataclass
class Whole:
    """An uninterrupted run: its file, what is in it, and how long its phases took."""

    path: Path
    contents: dict[str, str]
    seconds: float
    calls: dict[str, list[float]]


@dataclass
class Trial:
    """One job until it is finished. kills: (phase, signals) of each run that a signal ended."""

    kind: str
    kills: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    bad: str = ""


class Bad(Exception):
    """What must not happen, in words."""


def make_clips(folder: Path, frames: int) -> list[str]:
    """Make a tiny pair of clips with sound and return the arguments of a job on it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.small_pair import add_sound, make_pair  # type: ignore[import-not-found]

    pair = make_pair(folder, frames)
    clips = (pair.wide, "wide_sound.mp4"), (pair.ultra, "ultra_sound.mp4")
    return [str(add_sound(clip, folder / name, frames / 30)) for clip, name in clips]


def contents(path: Path) -> dict[str, str]:
    """Return digests of all bytes, of all decoded frames and of all audio packets."""
    frames, sound = hashlib.sha256(), hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.update(f"{frame.pts} {frame.time_base};".encode())
            for plane in frame.planes:
                frames.update(bytes(plane))
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            sound.update(f"{packet.pts} {packet.duration};".encode() + bytes(packet))
    whole = hashlib.sha256(path.read_bytes())
    return {"bytes": whole.hexdigest(), "frames": frames.hexdigest(), "sound": sound.hexdigest()}


def work_folder(out: Path) -> Path:
    """Return the hidden folder of an output."""
    from asled_cli.video.output_file import work_folder

    return work_folder(out)


def run(arguments: list[str], errors: Path, *more: Any, kill_after: tuple[float, Kill] | None = None) -> int:
    """Return the exit code of one run; negative: ended by a signal. Raises Bad for a hang or a traceback.

    kill_after: signals that come from outside after some seconds.
    """
    process = PROCESSES.Process(target=run_child, args=(arguments, str(errors), *more))
    process.start()
    if kill_after is not None:
        seconds, kill = kill_after
        process.join(seconds)
        for number in kill.signals:
            send(process.pid, number)
            process.join(kill.gap_s)
    process.join(MAX_S)
    if process.exitcode is None:
        send(process.pid, signal.SIGKILL)
        raise Bad(f"hangs: {errors.read_text()}")
    wait_for_group(process.pid)
    said = errors.read_text() if errors.exists() else ""
    if "Traceback" in said and not said.rstrip().endswith("KeyboardInterrupt"):  # while it starts
        raise Bad(said)
    errors.unlink(missing_ok=True)
    return process.exitcode


def send(pid: int | None, number: int) -> None:
    """Send a signal to a run and the jobs that it has started; it may be gone already."""
    assert pid is not None
    try:
        os.killpg(pid, number)
    except ProcessLookupError:  # not the leader of its group yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for_group(pid: int | None) -> None:
    """Wait until the jobs of a batch that was killed have ended too."""
    assert pid is not None
    until = time.monotonic() + MAX_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(pid, 0)
            time.sleep(0.02)
        raise Bad("jobs of a batch do not end")


def draw_kill(phase: str, whole: Whole, draw: random.Random) -> Kill:
    """Return signals for a phase, as long and as often called as it was in the uninterrupted run."""
    first = draw.choice(SIGNALS)
    signals = (first, draw.choice(SIGNALS)) if draw.random() < 0.25 and first != signal.SIGKILL else (first,)
    calls = whole.calls.get(phase, [0.0])
    number = draw.randrange(len(calls))
    way = draw.choice(("before", "during", "during", "after"))
    return Kill(phase, number + 1, way, draw.uniform(0, calls[number]), signals, draw.uniform(0, 0.05))


def is_finished(out: Path) -> bool:
    """Return whether nothing is left to do for an output."""
    return out.exists() and not work_folder(out).exists()


def deblur_trial(
    trial: Trial, phase: str, words: list[str], out: Path, whole: Whole, draw: random.Random
) -> None:
    """Run one job until it is finished, killed in `phase` first and in others later."""
    real = trial.kind == "real analysis"
    for attempt in range(MAX_RUNS):
        more = ["--resume"] if (work_folder(out) / "journal.jsonl").exists() else ["-y"]
        arguments = ["deblur", *words, "-o", str(out), *more, "-q"]
        kill = None
        if attempt == 0 or draw.random() < 0.4:
            kill = draw_kill(phase if attempt == 0 else draw.choice(["random", *PHASES]), whole, draw)
        outside = kill is not None and kill.phase == "random"
        timed = (draw.uniform(0, 1.05) * whole.seconds, kill) if kill is not None and outside else None
        code = run(arguments, out.with_suffix(".err"), None if outside else kill, real, kill_after=timed)
        note(trial, kill, more[0], code)
        if out.exists() and out.read_bytes() != whole.path.read_bytes():
            raise Bad("an output that is not the whole one")
        if is_finished(out):
            return
        if code == 0:
            raise Bad("exit code 0, but not finished")
    raise Bad("never finished")


def batch_trial(trial: Trial, clips: list[str], folder: Path, whole: Whole, draw: random.Random) -> None:
    """Run a batch of two jobs until it is finished, all its processes killed after a random time."""
    folder.mkdir()
    manifest = folder / "manifest.csv"
    manifest.write_text("wide,ultra,out\n" + "".join(f"{clips[0]},{clips[1]},{n}.mp4\n" for n in range(2)))
    outs = [folder / "out" / f"{number}.mp4" for number in range(2)]
    for attempt in range(MAX_RUNS):
        arguments = ["batch", str(manifest), "-o", str(folder / "out"), *METHOD, "-q"]
        kill = draw_kill("batch", whole, draw) if attempt == 0 or draw.random() < 0.4 else None
        timed = None if kill is None else (draw.uniform(0.1, 1.0) * 2 * (whole.seconds + 2.5), kill)
        code = run(arguments, folder / "err", None, False, kill_after=timed)
        note(trial, kill, "batch", code)
        if any(out.exists() and out.read_bytes() != whole.path.read_bytes() for out in outs):
            raise Bad("an output that is not the whole one")
        if code == 0:
            if not all(map(is_finished, outs)):
                raise Bad("exit code 0, but not finished")
            return
    raise Bad("never finished")


def note(trial: Trial, kill: Kill | None, words: str, code: int) -> None:
    """Write down a run. Raises Bad for an exit code that neither success nor the signals explain."""
    names = "" if kill is None else " and ".join(number.name for number in kill.signals)
    trial.runs.append(f"{words}: {code}" + (f", {names} {kill.way} {kill.phase}" if kill is not None else ""))
    if kill is not None and code != 0:
        trial.kills.append((kill.phase, names))
    explained = {0} if kill is None else {0, 1, 130, *(-number for number in kill.signals)}
    if code not in explained:  # 1: KeyboardInterrupt in the interpreter, before `asled` has begun
        raise Bad(f"exit code {code}")


METHOD = ["--method", "swap", "--preset", "veryfast"]


def run_whole(words: list[str], out: Path, *, real: bool) -> Whole:
    """Run a job without interruption, twice: the second time is measured."""
    phases = out.with_suffix(".json")
    began = 0.0
    for more in ([], ["-y"]):
        began = time.monotonic()
        arguments = ["deblur", *words, "-o", str(out), *more, "-q"]
        if code := run(arguments, out.with_suffix(".err"), None, real, str(phases)):
            raise SystemExit(f"an uninterrupted run ended with {code}")
    return Whole(out, contents(out), time.monotonic() - began, json.loads(phases.read_text()))


class Trials:
    """Trials, one after the other in each of some threads, until enough runs have been killed."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.clips = make_clips(folder, options.frames)
        self.words = [*self.clips, *METHOD]
        self.wholes = {
            real: run_whole(self.words, folder / f"whole_{real}.mp4", real=real) for real in (False, True)
        }
        self.done: list[Trial] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._until = time.monotonic() + options.minutes * 60

    def go(self) -> None:
        """Do trials until there are enough."""
        while time.monotonic() < self._until:
            with self._lock:
                if sum(len(trial.kills) for trial in self.done) >= self.options.kills:
                    return
                number = next(self._numbers)
            trial = self.one(number)
            with self._lock:
                self.done.append(trial)
                sys.stderr.write(f"{number} {trial.kind} {trial.bad or 'equal'} {trial.runs}\n")

    def one(self, number: int) -> Trial:
        """Run one trial and compare its files."""
        kind = "batch" if number % 10 == 9 else "real analysis" if number % 8 == 5 else "known registration"
        trial, draw = Trial(kind), random.Random(f"{self.options.seed} {number}")
        whole = self.wholes[kind == "real analysis"]
        out = self.folder / f"out_{number}.mp4"
        try:
            if kind == "batch":
                batch_trial(trial, self.clips, self.folder / f"batch_{number}", whole, draw)
                outs = sorted((self.folder / f"batch_{number}" / "out").glob("*.mp4"))
            else:
                phases = ["random", *PHASES]
                deblur_trial(trial, phases[number % len(phases)], self.words, out, whole, draw)
                outs = [out]
            for found in map(contents, outs):
                differing = [kind for kind, digest in found.items() if digest != whole.contents[kind]]
                if differing:
                    raise Bad(f"other {differing}")
        except Bad as error:
            trial.bad = str(error)
        for path in self.folder.glob(f"*_{number}[./]*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
        return trial


def summary(options: argparse.Namespace, trials: Trials, minutes: float) -> dict[str, Any]:
    """Return the report: kills by phase and by signal, trials by kind, all that was bad."""
    kills = [kill for trial in trials.done for kill in trial.kills]
    return {
        "commit": commit(),
        "seed": options.seed,
        "asked": options.kills,
        "kills": len(kills),
        "trials": len(trials.done),
        "equal": sum(not trial.bad for trial in trials.done),
        "minutes": round(minutes, 1),
        "workers": options.workers,
        "kills by phase": dict(sorted(collections.Counter(phase for phase, _ in kills).items())),
        "kills by signal": dict(sorted(collections.Counter(names for _, names in kills).items())),
        "trials by kind": dict(collections.Counter(trial.kind for trial in trials.done)),
        "uninterrupted_s": {
            "known registration": round(trials.wholes[False].seconds, 2),
            "real analysis": round(trials.wholes[True].seconds, 2),
        },
        "bad": [{"kind": t.kind, "runs": t.runs, "found": t.bad} for t in trials.done if t.bad],
    }


def main() -> None:
    """Run the trials and write the JSON; exit code 1 if any was bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1, help="jobs at once")
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no trial after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    PROCESSES.set_forkserver_preload(PRELOAD)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="asled-kill-") as name:
        trials = Trials(options, Path(name))
        with ThreadPoolExecutor(options.workers) as pool:
            for thread in [pool.submit(trials.go) for _ in range(options.workers)]:
                thread.result()
    report = summary(options, trials, (time.monotonic() - began) / 60)
    write_report(report, options.out)
    sys.stdout.write(f"{report['kills']} kills; {report['equal']} of {report['trials']} trials equal\n")
    sys.exit(report["equal"] != report["trials"])


if __name__ == "__main__":
    main()
