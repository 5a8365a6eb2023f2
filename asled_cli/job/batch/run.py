"""Many jobs: each in a process of its own, some at a time; what failed does not stop the others."""

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType

from asled_cli.errors import AsledError, InterruptedRunError, UsageError
from asled_cli.job.batch.one_job import Deblur, run_job
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.remote import Remote
from asled_cli.job.batch.report import REPORT, Outcome, check_report, write_report
from asled_cli.job.batch.shards import (
    Shard,
    check_shard,
    known_outcomes,
    read_shards,
    warn_of_differences,
    write_shard,
)
from asled_cli.runtime.device import ALL_GPUS, gpu_count

log = logging.getLogger(__name__)


def devices(wanted: str, jobs: int) -> list[str]:
    """Return the device of each process: with `auto` and `cuda:all` the GPUs in turn, else as asked."""
    found = gpu_count() if wanted in ("auto", ALL_GPUS) else 0
    return [f"cuda:{number % found}" if found else wanted for number in range(jobs)]


def run_batch(
    pairs: Sequence[BatchPair],
    folder: Path,
    *,
    jobs: int = 1,
    device: str = "auto",
    options: Sequence[str] = (),
    overwrite: bool = False,
    shard: Shard | None = None,
    versions: Mapping[str, str] = MappingProxyType({}),
    remote: Remote | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    report_failed: Callable[[AsledError], None] = lambda error: None,
) -> list[Outcome]:
    """Do all jobs, `jobs` at a time, and keep a report in `folder` that is complete after each of them.

    Results that exist are kept and unfinished work is resumed, so the same call continues a batch.
    overwrite: replace results that exist, and start over what cannot be resumed with these options.
    options: passed to every `asled deblur`. shard: do only its pairs, with a report of its own, in which
    `versions` are noted; without one, what shards reported of results that exist is taken over.
    remote: a cluster whose workers do the jobs. on_outcome: called after each job. report_failed: called if
    the report cannot be written.
    Raises UsageError if the folder or the report cannot be made, or `overwrite` would replace an input.
    """
    _make_folder(folder)
    if overwrite:
        _check_inputs_stay(pairs, folder)
    report = _Report(folder, shard, versions, report_failed)
    report.check(overwrite)
    pairs = pairs if shard is None else shard.pick(pairs)
    known = report.known_before()
    if remote is None:
        places = _local_places(folder, devices(device, jobs), options, overwrite)
    else:
        report.begin()
        places = remote.places(folder, report.path, overwrite)
    outcomes: dict[BatchPair, Outcome] = {}
    with places as submit:
        running = {submit(pair): pair for pair in pairs}
        for done in as_completed(running):
            pair = running[done]
            found = _outcome(done, pair, folder)
            outcomes[pair] = known.get(pair.out, found) if found.status == "exists" else found
            on_outcome(outcomes[pair])
            report.keep([(pair, outcomes[pair]) for pair in pairs if pair in outcomes])
            _stop_after_interrupt(found, overwrite)
    if not pairs:
        report.keep([])
    return [outcomes[pair] for pair in pairs]


@contextlib.contextmanager
def _local_places(
    folder: Path, names: Sequence[str], options: Sequence[str], overwrite: bool
) -> Iterator[Callable[[BatchPair], Future[Outcome]]]:
    """Yield a function that does a job in a process of its own, on the next free device of `names`."""
    free: SimpleQueue[str] = SimpleQueue()
    for name in names:
        free.put(name)

    def work(pair: BatchPair) -> Outcome:
        name = free.get()
        try:
            return run_job(
                pair, folder, _in_process(pair, [*options, "--device", name], overwrite), overwrite
            )
        finally:
            free.put(name)

    with ThreadPoolExecutor(len(names)) as pool:
        try:
            yield lambda pair: pool.submit(work, pair)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way get the signal too
            raise


def _outcome(done: Future[Outcome], pair: BatchPair, folder: Path) -> Outcome:
    """Return the row of a finished job; a worker that ended without an answer fails it."""
    wide, ultra, out = str(pair.wide), str(pair.ultra or ""), str(folder / pair.out)
    try:
        return replace(done.result(), wide=wide, ultra=ultra, out=out)
    except AsledError as error:
        return Outcome(wide, ultra, out, "failed", error.exit_code, message=str(error))


@dataclass(frozen=True, slots=True)
class _Report:
    """Where the report of this run goes. failed: called if it cannot be written, which stops nothing."""

    folder: Path
    shard: Shard | None
    versions: Mapping[str, str]
    failed: Callable[[AsledError], None]

    def check(self, overwrite: bool) -> None:
        """Raise an AsledError if another file has the place of the report."""
        if self.shard is None:
            check_report(self.folder, overwrite)
        elif not overwrite:
            check_shard(self.folder, self.shard)

    @property
    def path(self) -> Path:
        """The file with the report."""
        return self.folder / f"{REPORT}.json" if self.shard is None else self.shard.report(self.folder)

    def begin(self) -> None:
        """Make sure that there is a report, by which workers know that they see the folder."""
        if not self.path.exists():
            self.keep([])

    def known_before(self) -> dict[str, Outcome]:
        """Return what shards reported as done before, by the name of the result."""
        reports = read_shards(self.folder, lambda error: log.warning("%s", error))
        if self.shard is None:
            warn_of_differences(reports)
        return {out: row for out, row in known_outcomes(reports).items() if row.status == "done"}

    def keep(self, rows: Sequence[tuple[BatchPair, Outcome]]) -> None:
        """Write the report as it is now."""
        try:
            if self.shard is None:
                write_report(self.folder, [outcome for _, outcome in rows])
            else:
                write_shard(self.folder, self.shard, self.versions, rows)
        except AsledError as error:
            self.failed(error)


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


def _stop_after_interrupt(outcome: Outcome, overwrite: bool) -> None:
    """Raise InterruptedRunError if the user stopped this job: the others are not to be started."""
    if outcome.exit_code == InterruptedRunError.exit_code:
        again = "without --overwrite it continues" if overwrite else "it continues"
        raise InterruptedRunError("Stopped.", f"Run the same command again: {again}.")


def _in_process(pair: BatchPair, options: Sequence[str], overwrite: bool) -> Deblur:
    """Return a function that does a job with the command `asled deblur`."""

    def deblur(out: Path, resume: bool) -> tuple[int, str]:
        clips = [str(path) for path in (pair.wide, pair.ultra) if path is not None]
        switches = [*(["--overwrite"] if overwrite else []), *(["--resume"] if resume else [])]
        # A name that begins with a dash is no option.
        return _deblur(["-o", str(out), "--json", *options, *pair.options, *switches, "--", *clips])

    return deblur


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
