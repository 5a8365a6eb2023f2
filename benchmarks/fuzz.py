"""Fuzzing of `asled` with damaged and hostile clips: no traceback, no hang, no result that does not verify.

    python benchmarks/fuzz.py [--inputs 20000] [--jobs 1000] [--workers 2] [--seed 0]
        [--resume LIST] [--minutes M] [--out FILE]

The corpus and the damage are made by code (tests/factories/fuzzing). Each input goes through `asled probe`,
`asled deblur --dry-run` and `asled verify` (every third with `--decode`) against the intact clip it was made
from, every 25th also through `asled probe` of the pair, and `--jobs` in all through a whole tiny job whose
result is decoded and verified. The commands run in worker processes; one that dies, takes 30 s of CPU time
for one command, or 120 s in all, is a bad case and is replaced. Bad as well: tracebacks, refusals without one
sentence, control signs in what is printed, files left behind, a memory that grows by over 1 GiB.
`--resume` keeps a line per command, so that a run which was stopped resumes; what was bad is
tried again. `--minutes` stops early, and the report says what was reached. Exit code 1 if anything was bad.
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from fuzz_steps import BAD, MAX_GROWTH_GIB, Finding, step_names, work
from report import write_report
from throughput import commit

MAX_WALL_S = 120.0
INPUTS_PER_WORKER = 500  # then a new one comes, so that what one input leaves behind does not add up
XCPU_EXIT = -24
MEMORY = Path("/dev/shm")  # where the folders of the inputs are, if there is such a place
STEPS = ("probe", "probe pair", "dry run", "verify", "job")
PROCESSES = multiprocessing.get_context("forkserver")  # everything is imported once
PRELOAD = ["fuzz_steps", "asled_cli.pipeline", "asled_cli.cli.app", "asled_cli.job.inspect", "rich.progress"]
Task = tuple[int, list[str]]


class Worker:
    """A process that takes one input after the other."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.connection, other = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=work, args=(other, *arguments), daemon=True)
        self.process.start()
        other.close()
        self.taken = 0
        self.task: Task = (-1, [])
        self.step = ""
        self.damage = ""
        self.heard = time.monotonic()

    def give(self, task: Task) -> None:
        """Have it examine an input."""
        self.task, self.step, self.heard = task, "", time.monotonic()
        self.taken += 1
        with contextlib.suppress(OSError):  # it is dead, which is noticed where answers are awaited
            self.connection.send(task)

    def hear(self) -> Finding | str | None:
        """Return a finding, None when the input is done, "" when a step begins. Raises EOFError."""
        answer = self.connection.recv()
        self.heard = time.monotonic()
        if isinstance(answer, tuple):
            self.step, self.damage = answer
            return ""
        assert answer is None or isinstance(answer, Finding)
        return answer

    def end(self, *, at_once: bool = False) -> int:
        """Let it go and return its exit code."""
        if at_once:
            self.process.kill()
        else:
            with contextlib.suppress(OSError):
                self.connection.send(None)
        self.process.join(10)
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode or 0

    def last_words(self, *, hangs: bool) -> Finding:
        """Return the finding about the step in which it died or hangs; it is ended."""
        code = self.end(at_once=hangs)
        over_limit = hangs or code == XCPU_EXIT
        outcome = (
            f"hang, over {MAX_WALL_S:.0f} s asleep" if hangs else "hang" if over_limit else f"death {code}"
        )
        seconds = round(time.monotonic() - self.heard, 3)
        return Finding(self.task[0], self.step or "none", self.damage, outcome, seconds, 0.0)


def tasks(inputs: int, jobs: int, known: Iterable[Finding]) -> Iterator[Task]:
    """Yield the inputs with the steps of each that are not done yet."""
    done = {(finding.number, finding.step) for finding in known}
    for number in range(inputs):
        steps = [step for step in step_names(number, inputs, jobs) if (number, step) not in done]
        if steps:
            yield number, steps


def rest(task: Task, step: str) -> list[str]:
    """Return the steps after `step`, in which a worker died."""
    return task[1][task[1].index(step) + 1 :] if step in task[1] else []


def run(todo: Iterator[Task], count: int, start: Callable[[], Worker]) -> Iterator[Finding]:
    """Yield the outcomes of all tasks, in `count` processes."""
    waiting: collections.deque[Task] = collections.deque()
    workers: list[Worker] = []

    def begin(worker: Worker | None) -> None:
        task = waiting.popleft() if waiting else next(todo, None)
        if task is None or (worker is not None and worker.taken >= INPUTS_PER_WORKER):
            if worker is not None:
                workers.remove(worker)
                worker.end()
            worker = None if task is None else start()
        elif worker is None:
            worker = start()
        if worker is not None and task is not None:
            if worker not in workers:
                workers.append(worker)
            worker.give(task)

    def bury(worker: Worker, *, hangs: bool) -> Finding:
        finding = worker.last_words(hangs=hangs)
        if not worker.step:
            raise SystemExit(f"A worker ends before its first step: {finding}")
        workers.remove(worker)
        if more := rest(worker.task, finding.step):
            waiting.append((worker.task[0], more))
        begin(None)
        return finding

    for _ in range(count):
        begin(None)
    while workers:
        by_connection: dict[Any, Worker] = {worker.connection: worker for worker in workers}
        for ready in wait(list(by_connection), timeout=1.0):
            worker = by_connection[ready]
            try:
                answer = worker.hear()
            except (EOFError, OSError):
                yield bury(worker, hangs=False)
                continue
            if answer is None:
                begin(worker)
            elif isinstance(answer, Finding):
                yield answer
        for worker in [w for w in workers if time.monotonic() - w.heard > MAX_WALL_S]:
            yield bury(worker, hangs=True)


def fuzz(options: argparse.Namespace, known: list[Finding], keep: Callable[[Finding], None]) -> list[Finding]:
    """Run all steps that are not in `known`; return the findings of both."""
    from factories.fuzzing.corpus import make_corpus  # type: ignore[import-not-found]

    os.environ.setdefault("SVT_LOG", "-1")  # SVT-AV1 is talkative
    PROCESSES.set_forkserver_preload(PRELOAD)
    until = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="asled-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        corpus = make_corpus(Path(name))
        todo = tasks(options.inputs, options.jobs, known)
        until_then = (task for task in iter(lambda: next(todo, None), None) if time.monotonic() < until)
        found = list(known)
        for finding in run(until_then, options.workers, lambda: Worker((corpus, options.seed, name))):
            found.append(finding)
            keep(finding)
            if finding.is_bad:
                sys.stderr.write(f"{finding.number} {finding.step} {finding.damage}: {finding.outcome}\n")
    return sorted(found, key=lambda finding: finding.number)


def summary(
    options: argparse.Namespace, found: Sequence[Finding], commits: Sequence[str], minutes: float
) -> dict[str, Any]:
    """Return the report: counts of the outcomes, the longest times, all that was bad."""
    steps = {step: [f for f in found if f.step == step] for step in STEPS}
    counts = {
        step: dict(collections.Counter("bad" if f.is_bad else f.outcome for f in some).most_common())
        for step, some in steps.items()
    }
    through = collections.Counter(f.number for f in found if f.step in ("probe", "dry run", "verify"))
    return {
        "commits": list(dict.fromkeys(commits)),  # of this run and of those that it resumes
        "seed": options.seed,
        "asked": {"inputs": options.inputs, "jobs": options.jobs},
        "reached": {"inputs": sum(n == 3 for n in through.values()), "jobs": len(steps["job"])},
        "workers": options.workers,
        "minutes of the last run": round(minutes, 1),
        "counts": counts,
        "mean_s": {step: round(sum(f.seconds for f in s) / max(1, len(s)), 3) for step, s in steps.items()},
        "longest_s": {step: max((f.seconds for f in some), default=0.0) for step, some in steps.items()},
        "most memory of one command, GiB": max((f.growth_gib for f in found), default=0.0),
        "limits": {"cpu_s": 30, "wall_s": MAX_WALL_S, "memory_gib": MAX_GROWTH_GIB},
        "bad": [asdict(f) for f in found if f.is_bad],
    }


def read_list(path: Path | None) -> tuple[list[Finding], list[str]]:
    """Return the findings of earlier runs, without bad ones, and the commits that they ran."""
    lines = path.read_text().splitlines() if path is not None and path.is_file() else []
    events = [json.loads(line) for line in lines if line.endswith("}")]
    commits = [event["commit"] for event in events if "commit" in event]
    findings = [Finding(**event) for event in events if "commit" not in event]
    return [finding for finding in findings if not finding.outcome.startswith(BAD)], commits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--jobs", type=int, default=1000, help="whole jobs, among the inputs")
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, metavar="LIST", help="what is done already; is added to")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no input after this time")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        known, commits = read_list(options.resume)
        commits.append(commit())
        log = None if options.resume is None else stack.enter_context(options.resume.open("a", buffering=1))

        if log is not None:
            log.write(json.dumps({"commit": commits[-1]}) + "\n")

        def keep(finding: Finding) -> None:
            if log is not None:
                log.write(json.dumps(asdict(finding)) + "\n")

        found = fuzz(options, known, keep)
    report = summary(options, found, commits, (time.monotonic() - began) / 60)
    write_report(report, options.out)
    sys.stdout.write(f"{json.dumps(report['reached'])} {json.dumps(report['counts'])}\n")
    sys.stdout.write(f"{len(report['bad'])} bad\n")
    sys.exit(bool(report["bad"]))


if __name__ == "__main__":
    main()
