"""Many jobs: each in a process of its own, some at a time; what failed does not stop the others."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from queue import SimpleQueue

import torch

from asled_cli.errors import AsledError, InterruptedRunError, UsageError
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.runtime.printable import spreadsheet_cell
from asled_cli.video.output_file import work_folder

REPORT = "asled_batch"  # .json and .csv in the output folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one job. status: "done", "failed" or "exists"."""

    wide: str
    ultra: str
    out: str
    status: str
    exit_code: int = 0
    seconds: float = 0.0
    message: str = ""


def devices(wanted: str, jobs: int) -> list[str]:
    """Return the device of each process: with `auto`, the GPUs in turn, else the one asked for."""
    found = torch.cuda.device_count() if wanted == "auto" and torch.cuda.is_available() else 0
    return [f"cuda:{number % found}" if found else wanted for number in range(jobs)]


def run_batch(
    pairs: Sequence[BatchPair],
    folder: Path,
    *,
    jobs: int = 1,
    device: str = "auto",
    options: Sequence[str] = (),
    overwrite: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    report_failed: Callable[[AsledError], None] = lambda error: None,
) -> list[Outcome]:
    """Do all jobs, `jobs` at a time, and keep a report in `folder` that is complete after each of them.

    Results that exist are kept and unfinished work is resumed, so the same call continues a batch.
    overwrite: replace results that exist, and start over what cannot be resumed with these options.
    options: passed to every `asled deblur`. on_outcome: called after each job.
    report_failed: called if the report cannot be written.
    Raises UsageError if the folder or the report cannot be made, or `overwrite` would replace an input.
    """
    _make_folder(folder)
    if overwrite:
        _check_inputs_stay(pairs, folder)
    check_report(folder, overwrite)
    free: SimpleQueue[str] = SimpleQueue()
    for name in devices(device, jobs):
        free.put(name)

    def work(pair: BatchPair) -> Outcome:
        name = free.get()
        try:
            return _run(pair, folder, [*options, "--device", name], overwrite)
        finally:
            free.put(name)

    outcomes: dict[BatchPair, Outcome] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(work, pair): pair for pair in pairs}
        try:
            for done in as_completed(running):
                outcomes[running[done]] = done.result()
                on_outcome(done.result())
                _keep_report(folder, [outcomes[pair] for pair in pairs if pair in outcomes], report_failed)
                _stop_after_interrupt(done.result(), overwrite)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way get the signal too
            raise
    return [outcomes[pair] for pair in pairs]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error


def _check_inputs_stay(pairs: Sequence[BatchPair], folder: Path) -> None:
    """Raise UsageError if the output of one pair is a clip of any pair, also by a link."""
    inputs = {key for pair in pairs for path in (pair.wide, pair.ultra) if path and (key := _file_key(path))}
    for pair in pairs:
        out = folder / pair.out
        if inputs and _file_key(out) in inputs:
            raise UsageError(
                f"{out} is an input of this batch, and --overwrite would replace it.",
                "Choose another folder with --out, or another name in the manifest.",
            )


def _file_key(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _keep_report(
    folder: Path, outcomes: Sequence[Outcome], report_failed: Callable[[AsledError], None]
) -> None:
    """Write the report; a failure is passed on and stops nothing."""
    try:
        write_report(folder, outcomes)
    except AsledError as error:
        report_failed(error)


def _stop_after_interrupt(outcome: Outcome, overwrite: bool) -> None:
    """Raise InterruptedRunError if the user stopped this job: the others are not to be started."""
    if outcome.exit_code == InterruptedRunError.exit_code:
        again = "without --overwrite it continues" if overwrite else "it continues"
        raise InterruptedRunError("Stopped.", f"Run the same command again: {again}.")


def _run(pair: BatchPair, folder: Path, options: Sequence[str], overwrite: bool) -> Outcome:
    out = folder / pair.out
    names = str(pair.wide), str(pair.ultra or ""), str(out)
    resume = work_folder(out).is_dir()
    if out.exists() and not resume and not overwrite:
        return Outcome(*names, status="exists")
    arguments = ["-o", names[2], "--json", *options, *(["--overwrite"] if overwrite else [])]
    clips = ["--", *filter(None, names[:2])]  # a name that begins with a dash is no option
    began = time.monotonic()
    code, said = _deblur([*arguments, *(["--resume"] if resume else []), *clips])
    if code and resume and _may_start_over(code, said, overwrite):
        code, said = _deblur([*arguments, *clips])
    seconds = round(time.monotonic() - began, 1)
    return Outcome(*names, "failed" if code else "done", code, seconds, said if code else "")


def _may_start_over(code: int, said: str, overwrite: bool) -> bool:
    """Return whether to start over a job that cannot be resumed: nothing was done, or --overwrite."""
    had_not_begun = code == UsageError.exit_code and "no unfinished work" in said
    return had_not_begun or (overwrite and "--overwrite" in said)


def _deblur(arguments: Sequence[str]) -> tuple[int, str]:
    """Run one deblur command; return its exit code and last sentence."""
    command = [sys.executable, "-m", "asled_cli", "deblur", *arguments]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="backslashreplace", check=False
    )
    return done.returncode, next(_messages(done.stderr), f"ended with code {done.returncode}")


def _messages(stderr: str) -> Iterator[str]:
    for line in reversed(stderr.splitlines()):
        try:
            event = json.loads(line)
        except ValueError:
            yield line
            continue
        if isinstance(event, dict) and event.get("event") == "error":
            yield f"{event['message']} {event['hint']}".strip()


def write_report(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the report as JSON and CSV, each replaced in one step. Raises AsledError if it cannot be."""
    rows = [asdict(outcome) for outcome in outcomes]
    _replace(_place(folder, "json"), json.dumps(rows, indent=1) + "\n")
    lines: list[str] = []

    class Lines:
        """Collects what the CSV writer writes."""

        def write(self, text: str) -> None:
            lines.append(text)

    table = csv.DictWriter(Lines(), list(rows[0]) if rows else [])
    table.writeheader()
    table.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in rows)
    _replace(_place(folder, "csv"), "".join(lines))


def check_report(folder: Path, overwrite: bool) -> None:
    """Raise UsageError if a file in the report's place is not the report of a batch, unless it may go."""
    columns = ",".join(field.name for field in fields(Outcome))
    for path, start in ((_place(folder, "json"), "["), (_place(folder, "csv"), columns)):
        if os.path.lexists(path) and not overwrite and not _starts_with(path, start):
            raise UsageError(
                f"{path} exists, and is not the report of a batch.", "Move it away, or choose another --out."
            )


def _starts_with(path: Path, start: str) -> bool:
    """Return whether a file begins like a report, or is empty, as after a full disk."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(1000)
    except (OSError, ValueError):
        return False
    if start == "[":
        return not text or (text.startswith("[") and (text[1:].strip() in ("", "]") or '"status"' in text))
    return not text or text.startswith(start)


def _place(folder: Path, suffix: str) -> Path:
    return folder / f"{REPORT}.{suffix}"


def _replace(path: Path, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    with explain_full_disk(path):
        replace_file(path, lambda part: part.write_bytes(data))
