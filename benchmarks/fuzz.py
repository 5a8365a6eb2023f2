"""Fuzzing of `asled` with damaged clips: no traceback, no hang over 30 s, no result that fails to verify.

    python benchmarks/fuzz.py [--inputs 2000] [--full 200] [--workers 2] [--seed 0] [--list FILE] [--out FILE]

Corpus and damage are made by code (tests/factories/mutations.py). Each input goes through `asled probe`,
`asled deblur --dry-run` and `asled verify`, and `--full` of them through a whole tiny `asled deblur` whose
result is decoded and verified. The commands run in `--workers` separate processes, which are reused, and
killed after a hang. `--list` stores a line per input to resume an interrupted run; bad ones are tried again.
Exit code 1 if any input had a bad outcome.
"""

import argparse
import collections
import contextlib
import io
import json
import resource
import select
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from report import write_report
from throughput import commit

ROOT = Path(__file__).parent.parent
MAX_S = 30.0  # a command that takes longer counts as a hang
REFUSALS = (1, 2, 3, 5)  # exit codes that come with a sentence
BAD = ("hang", "crash", "traceback", "wrong")
MIN_GROWTH = 1.0  # GiB by which one input may raise the process's peak before it is reported


@dataclass(frozen=True)
class Finding:
    """Outcome of one input in one command. growth: of the process's peak memory, GiB."""

    number: int
    kind: str
    damage: str
    said: str
    seconds: float
    growth: float

    @property
    def is_bad(self) -> bool:
        """Return whether the outcome is a fault of the program."""
        return self.said.startswith(BAD)


def command(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of `asled ARGUMENTS`; raise what would be a traceback."""
    from asled_cli.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def refusal(code: int, stderr: str) -> str:
    """Return the exit code as text; "wrong ..." unless it came with exactly one explained error."""
    errors = [line for line in stderr.splitlines() if '"event": "error"' in line]
    if code not in REFUSALS or len(errors) != 1 or not json.loads(errors[0])["message"].endswith("."):
        return f"wrong: exit code {code} with {stderr!r}"
    return f"refused {code}"


def examine(kind: str, number: int, wide: Path, ultra: Path, damaged: Path, folder: Path) -> str:
    """Return the outcome of one input in a word or two; raise what no user should see."""
    if kind == "probe":
        pair = number % 5 == 0
        code, _, said = command(["probe", *map(str, (wide, ultra) if pair else (damaged,)), "--json"])
        return "reported" if code == 0 else refusal(code, said)
    if kind == "verify":
        sound = wide if damaged != wide else ultra
        given = (sound, damaged) if number % 2 else (damaged, sound)
        code, output, said = command(
            ["verify", *map(str, given), "--json", *["--decode"] * (number % 3 == 0)]
        )
        compared = code in (0, 1) and '"verdict"' in output
        return "compared" if compared else refusal(code, said)
    out = folder / "out.mp4"
    arguments = ["deblur", str(wide), str(ultra), "-o", str(out), "--method", "swap", "--json"]
    part = ["--start", "0.06", "--end", "0.2"] if number % 4 == 1 else []
    arguments += ["--preset", "ultrafast", *part] + (["--offset", "0"] if number % 3 else [])
    if kind == "dry run":
        code, _, said = command([*arguments, "--dry-run"])
        assert list(folder.glob("*out*")) == [], "a dry run that wrote something"
        return "planned" if code == 0 else refusal(code, said)
    code, output, said = command(arguments)
    if code != 0:
        assert not out.exists(), "an error, but a result too"
        return refusal(code, said)
    return judge(out, [json.loads(line) for line in output.splitlines()], part, folder)


def judge(out: Path, events: list[dict[str, Any]], part: list[str], folder: Path) -> str:
    """Return whether a result matches what the job reported."""
    plan, result = (next(e for e in events if e["event"] == name) for name in ("plan", "result"))
    names = [path.name for path in folder.iterdir() if not path.name.startswith("mutant")]
    assert names == [out.name], f"left behind: {names}"
    code, output, said = command(["verify", plan["wide"]["path"], str(out), "--decode", "--json", *part])
    checks = {row["property"]: row for row in map(json.loads, output.splitlines())}
    decoded = checks["decoded"]
    assert decoded["verdict"] == "same", f"the result does not decode: {decoded}"
    assert decoded["found"] == f"{result['frames_written']} frames", f"{decoded}, not {result}"
    if code == 0:
        return "done, verified"
    # Where the source itself is damaged its packets are no witness; then the job must have said so.
    assert code == 1, f"verify ended with {code}: {said}"
    differing = ", ".join(name for name, row in checks.items() if row["verdict"] != "same")
    assert result["problems"] or result["differences"], f"kept quiet about a difference in {differing}"
    return "done, with what differs named"


class Worker:
    """Process that examines one input after the other; it is replaced after a hang or a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def _start(self) -> "subprocess.Popen[str]":
        arguments = [sys.executable, __file__, "--worker"]
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # everything is loaded
        return process

    def ask(self, *task: str | int) -> tuple[str, float]:
        """Return the outcome, also "hang", "crash N" or "traceback ...", and growth of the peak in GiB."""
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        ready = select.select([process.stdout], [], [], MAX_S)[0]
        line = process.stdout.readline() if ready else ""
        if line:
            said, growth = json.loads(line)
            return str(said), float(growth)
        process.kill()
        said = f"crash {process.wait()}" if ready else "hang"
        self._process = None
        return said, 0.0

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def work() -> None:
    """Run the worker's side: a task per line on stdin, an answer per line on stdout."""
    import asled_cli.pipeline  # noqa: F401

    answers = sys.stdout
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        kind, number, *paths = json.loads(line)
        before = peak_gib()
        try:
            said = examine(kind, number, *map(Path, paths))
        except BaseException:
            said = "traceback " + traceback.format_exc()
        answers.write(json.dumps([said, round(peak_gib() - before, 3)]) + "\n")
        answers.flush()


def peak_gib() -> float:
    """Return the peak memory of this process in GiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def tasks(inputs: int, full: int) -> Iterator[tuple[int, str]]:
    """Return (number, command) of all tasks; the whole jobs are spread evenly."""
    for number in range(inputs):
        yield number, "probe"
        yield number, "dry run"
        yield number, "verify"
        if number * full // inputs != (number + 1) * full // inputs:
            yield number, "full"


def run(options: argparse.Namespace, known: list[Finding], log: IO[str] | None) -> list[Finding]:
    """Run all tasks that are not in `known`, in `options.workers` processes; return both."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.mutations import make_corpus, make_mutant  # type: ignore[import-not-found]

    found, lock, local, workers = list(known), threading.Lock(), threading.local(), list[Worker]()
    done = {(finding.number, finding.kind) for finding in known}
    todo = [task for task in tasks(options.inputs, options.full) if task not in done]

    def start() -> None:
        local.worker = Worker()
        workers.append(local.worker)

    def examine_one(task: tuple[int, str]) -> None:
        number, kind = task
        with tempfile.TemporaryDirectory(dir=folder) as place:
            job, began = make_mutant(corpus, number, options.seed, Path(place)), time.monotonic()
            asked = kind, number, str(job.wide), str(job.ultra), str(job.damaged), place
            said, growth = local.worker.ask(*asked)
            if said == "hang":  # or the machine was: a second time it is the input
                said, growth = local.worker.ask(*asked)
        finding = Finding(number, kind, job.description, said, round(time.monotonic() - began, 2), growth)
        with lock:
            found.append(finding)
            if finding.is_bad:
                sys.stderr.write(f"{number} {kind} {job.description}: {said}\n")
            if log is not None:
                log.write(json.dumps(asdict(finding)) + "\n")
                log.flush()

    with tempfile.TemporaryDirectory(prefix="asled-fuzz-") as name:
        folder = Path(name)
        corpus = make_corpus(folder)
        with ThreadPoolExecutor(options.workers, initializer=start) as pool:
            collections.deque(pool.map(examine_one, todo), maxlen=0)
        for worker in workers:
            worker.close()
    return sorted(found, key=lambda finding: finding.number)


def summary(seed: int, found: Sequence[Finding]) -> dict[str, Any]:
    """Return the counts of outcomes, and the bad ones."""
    kinds = {kind: [f for f in found if f.kind == kind] for kind in ("probe", "dry run", "verify", "full")}
    counts = {
        kind: dict(collections.Counter(f.said.split(":")[0].split("\n")[0] for f in some).most_common())
        for kind, some in kinds.items()
    }
    return {
        "commit": commit(),
        "seed": seed,
        "counts": counts,
        "longest_s": {kind: max((f.seconds for f in some), default=0.0) for kind, some in kinds.items()},
        "raised the peak memory": [asdict(f) for f in found if f.growth > MIN_GROWTH],
        "bad": [asdict(f) for f in found if f.is_bad],
    }


def main() -> None:
    """Fuzz and write the JSON; exit code 1 if any input had a bad outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--full", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", type=Path, help="what is done already; is added to")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work()
        return
    with contextlib.ExitStack() as stack:
        known, log = [], None
        if options.list is not None:
            lines = options.list.read_text().splitlines() if options.list.is_file() else []
            known = [f for f in (Finding(**json.loads(line)) for line in lines) if not f.is_bad]
            log = stack.enter_context(options.list.open("a"))
        found = run(options, known, log)
    report = summary(options.seed, found)
    write_report(report, options.out)
    sys.stdout.write(f"{json.dumps(report['counts'])}\n{len(report['bad'])} bad\n")
    sys.exit(bool(report["bad"]))


if __name__ == "__main__":
    main()
