"""What is done with one input of fuzz.py, in a worker process: commands in process, and what must hold.

Linux, for the limits on CPU time and the peak of memory.
"""

import contextlib
import functools
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAX_CPU_S = 30
MAX_GROWTH_GIB = 1.0
REFUSALS = (1, 2, 3, 5)  # exit codes that come with a sentence
AS_NAMED = ["--lens-order", "given", "--no-skip-sharp"]  # which saves two passes
OUT = "result"  # name of whole jobs' files, before the suffix
# Damage that no decoder notices looks like a picture; a job may replace it, and then rightly differs from it.
PICTURE_CHECKS = {"pictures", "picture order", "picture orientation", "picture colours", "picture sharpness"}
BAD = ("hang", "death", "traceback", "wrong", "memory")


@dataclass(frozen=True)
class Finding:
    """Outcome of one input in one command. growth_gib: of the process's memory, at the peak."""

    number: int
    step: str
    damage: str
    outcome: str
    seconds: float
    growth_gib: float

    @property
    def is_bad(self) -> bool:
        return self.outcome.startswith(BAD)


def step_names(number: int, inputs: int, jobs: int) -> list[str]:
    """Return the commands that input `number` goes through; whole jobs are spread evenly."""
    pair = ["probe pair"] if number % 25 == 0 else []
    job = ["job"] if number * jobs // inputs != (number + 1) * jobs // inputs else []
    return ["probe", *pair, "dry run", "verify", *job]


class Commands:
    """Runs `asled` in this process, in the folder of one input."""

    def __init__(self, number: int, mutant: Any, folder: Path) -> None:
        self.number, self.mutant, self.folder = number, mutant, folder
        self.as_json = number % 4 != 0

    def name(self, path: Path) -> str:
        """Return the name as a user in the folder would type it."""
        return path.name if path.parent == self.folder else str(path)

    def asled(self, arguments: Sequence[str], *clips: Path) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr; raise what would be a traceback."""
        from asled_cli.cli.app import main

        form = ["--json"] if self.as_json else []
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "strict") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments, *form, "--", *map(self.name, clips)])
        for stream in (out, err):
            stream.flush()
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
        for text in texts:
            unsafe = {sign for sign in text if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0} - {"\n"}
            assert not unsafe, f"control signs {unsafe} in {text!r}"
            if self.as_json:
                foreign = [line for line in text.splitlines() if not line.startswith('{"event": ')]
                assert not foreign, f"lines that are no events: {foreign}"
        return code, texts[0], texts[1]

    def refusal(self, code: int, stderr: str) -> str:
        """The exit code in arguments; "wrong ..." unless it came with exactly one explained error."""
        lines = stderr.splitlines()
        if self.as_json:
            errors = [event["message"] for event in map(json.loads, lines) if event["event"] == "error"]
        else:
            errors = [line for line in lines if line.startswith("error: ")]
        if code not in REFUSALS or len(errors) != 1 or not errors[0].endswith((".", "?")):
            return f"wrong: exit code {code} with {stderr!r}"
        return f"refused {code}"

    def left_behind(self) -> list[str]:
        """Return the files in the folder that are no input."""
        return sorted(path.name for path in self.folder.iterdir() if path != self.mutant.damaged)

    def probe(self, *clips: Path) -> str:
        """Probe one clip, or how two belong together."""
        code, _, stderr = self.asled(["probe"], *clips)
        assert not self.left_behind(), f"left behind: {self.left_behind()}"
        return "read" if code == 0 else self.refusal(code, stderr)

    def verify(self) -> str:
        """Compare the damaged clip and the intact one that it was made from, either way round."""
        intact, damaged = self.mutant.intact, self.mutant.damaged
        clips = (intact, damaged) if self.number % 2 else (damaged, intact)
        code, stdout, stderr = self.asled(["verify", *["--decode"] * (self.number % 3 == 0)], *clips)
        if code in (0, 1) and ("verdict" in stdout):
            return "same" if code == 0 else "differs"
        return self.refusal(code, stderr)

    def deblur(self, *more: str) -> tuple[int, str, str, Path]:
        """Return exit code, stdout, stderr and the output's path of a job."""
        suffixes = (self.mutant.wide.suffix, ".mp4", ".mov", ".mkv")
        out = self.folder / (OUT + suffixes[self.number // 3 % 4])
        arguments = [
            "deblur",
            "-o",
            out.name,
            "--method",
            "swap",
            "--preset",
            "ultrafast",
            "--offset",
            "0",
            *more,
        ]
        if self.number % 4 == 1:
            arguments += ["--start", "0.03", "--end", "0.14"]
        return *self.asled(arguments, self.mutant.wide, self.mutant.ultra), out

    def dry_run(self) -> str:
        """Make the plan of a job, which writes nothing."""
        code, _, stderr, _ = self.deblur("--dry-run", *(AS_NAMED * (self.number % 3 != 0)))
        assert not self.left_behind(), f"left behind: {self.left_behind()}"
        return "planned" if code == 0 else self.refusal(code, stderr)

    def job(self) -> str:
        """Run a whole job: a file that is what the job says that it is, or a sentence and no file."""
        self.as_json = True
        code, stdout, stderr, out = self.deblur(*AS_NAMED * (self.number % 40 != 0))
        if code != 0:
            assert not self.left_behind(), f"an error, but also {self.left_behind()}"
            return self.refusal(code, stderr)
        assert self.left_behind() == [out.name], f"left behind: {self.left_behind()}"
        events = {event["event"]: event for event in map(json.loads, stdout.splitlines())}
        return self.judge(out, events)

    def judge(self, out: Path, events: dict[str, Any]) -> str:
        """Return whether a result decodes, whole, and nothing was concealed that differs from the source."""
        plan, result = events["plan"], events["result"]
        part = ["--start", "0.03", "--end", "0.14"] if self.number % 4 == 1 else []
        code, stdout, stderr = self.asled(["verify", "--decode", *part], Path(plan["wide"]["path"]), out)
        checks = {row["property"]: row for row in map(json.loads, stdout.splitlines())}
        decoded = checks["decoded"]
        assert decoded["verdict"] == "same", f"the result does not decode: {decoded}"
        assert decoded["found"] == f"{result['frames_written']} frames", f"{decoded}, not {result}"
        if code == 0:
            return "done, verified"
        # Where the source itself is damaged its packets are no witness; then the job must have said so.
        assert code == 1, f"verify ended with {code}: {stderr}"
        differing = {name for name, row in checks.items() if row["verdict"] != "same"}
        if differing <= PICTURE_CHECKS:
            return "done, pictures differ from the damaged ones"
        assert result["problems"] or result["differences"], f"concealed differences in {sorted(differing)}"
        return "done, differences named"


def take_step(commands: Commands, step: str) -> str:
    """Return the outcome of one step, in a word or two; raises what no user should see."""
    mutant = commands.mutant
    steps: dict[str, Callable[[], str]] = {
        "probe": lambda: commands.probe(mutant.damaged),
        "probe pair": lambda: commands.probe(mutant.wide, mutant.ultra),
        "dry run": commands.dry_run,
        "verify": commands.verify,
        "job": commands.job,
    }
    return steps[step]()


def work(tasks: Connection, corpus: Sequence[Any], seed: int, folder: str) -> None:
    """Serve as a worker: take (number, its steps), answer with each step's name and then its Finding.

    Ends when None comes. A step that takes too much CPU time ends the process with SIGXCPU.
    """
    prepare()
    from factories.fuzzing.mutations import make_mutant  # type: ignore[import-not-found]

    while (task := tasks.recv()) is not None:
        number, steps = task
        place = Path(tempfile.mkdtemp(dir=folder))
        os.chdir(place)
        mutant = make_mutant(corpus, number, seed, place)
        for step in steps:
            tasks.send((step, mutant.description))
            tasks.send(measured(Commands(number, mutant, place), step))
        os.chdir(folder)
        shutil.rmtree(place)
        tasks.send(None)


def prepare() -> None:
    """Make commands cheap: no threads, one parser for all, whole jobs with a known registration."""
    import cv2
    import torch
    import typer.main

    from asled_cli import pipeline
    from asled_cli.video.encode.writer import segment_length

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    typer.main.get_command = functools.cache(typer.main.get_command)
    pipeline.STEPS = pipeline.Steps(analyse=analyse_some, segment_length=segment_length)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # what libraries print there


def analyse_some(runs: Any, prior: Any) -> Any:
    """Return the known registration, in some jobs, and where little is to be seen, the real one."""
    from factories.small_pair import known_registration  # type: ignore[import-not-found]

    from asled_cli.registration.analyse import analyse

    pairs = [pair for run in runs for pair in run if pair.reference is not None]
    if len(pairs) < 2 or sum(map(len, runs)) % 3 == 0:
        return analyse(runs, prior)
    height, width = pairs[0].target.rgb.shape[:2]
    return known_registration((width, height))


def measured(commands: Commands, step: str) -> Finding:
    """Take a step within the limit of CPU time and see what it costs."""
    used = sum(os.times()[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1 + MAX_CPU_S, resource.RLIM_INFINITY))
    before, began = reset_peak_gib(), time.monotonic()
    try:
        outcome = take_step(commands, step)
    except BaseException:
        outcome = "traceback " + traceback.format_exc()
    growth = peak_gib() - before
    if growth > MAX_GROWTH_GIB and not outcome.startswith(BAD):
        outcome = f"memory: {growth:.2f} GiB, {outcome}"
    seconds = round(time.monotonic() - began, 3)
    return Finding(commands.number, step, commands.mutant.description, outcome, seconds, round(growth, 3))


def reset_peak_gib() -> float:
    """Return the memory in use, GiB, and count the peak from here."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_gib()


def peak_gib() -> float:
    """Return the most memory in use since the last reset, GiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # the makers of clips
