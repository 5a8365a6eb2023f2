"""The unfinished work of a job: finished segments and what is needed to go on exactly there.

It lies in a hidden folder beside the output, private to the user, and survives everything but the loss of the
disk: each file is on the disk before the journal names it, and the journal is one JSON line per event, of
which a torn last one is ignored.
"""

import contextlib
import json
import os
import shutil
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Self

from safetensors import SafetensorError

from asled_cli.errors import AsledError, UsageError, reason
from asled_cli.job.records import DeblurPlan
from asled_cli.job.resume.command import resume_command
from asled_cli.job.resume.entries import Entry, cut_torn_line, entry_of, read_events
from asled_cli.job.resume.fingerprint import fingerprint, settings
from asled_cli.job.resume.serialization import load_record, save_record
from asled_cli.job.tally import Tally
from asled_cli.registration.model.registration import Registration
from asled_cli.restoration.base import Memory
from asled_cli.video.encode.segments import Segment, is_intact
from asled_cli.video.output_file import sync, work_folder

try:
    import fcntl
except ImportError:  # Windows: two runs on one output are not kept apart there
    fcntl = None  # type: ignore[assignment]

FILE, LOCK, REGISTRATION = "journal.jsonl", "lock", "registration.safetensors"
ANEW = "Begin anew with --overwrite."


class Journal:
    """The journal of one job, open and locked: `with Journal.open(plan) as journal`.

    Leaving the block with an exception keeps what is worth keeping and tells how to continue.
    """

    def __init__(self, plan: DeblurPlan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.entries: list[Entry] = []
        self.registration: Registration | None = None
        self.complete = False  # all frames are there
        self._lock = _lock(folder)
        self._file: IO[str] | None = None

    @classmethod
    def open(cls, plan: DeblurPlan) -> Self:
        """Begin, or with `resume` go on. Raises UsageError where that is not what the folder allows."""
        folder = work_folder(plan.out)
        if plan.config.resume:
            return cls._continue(plan, folder)
        if folder.exists():
            _discard_old(plan, folder)
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"{folder.parent} cannot be written: {error.strerror or error}.") from error
        journal = None
        try:
            journal = cls(plan, folder)
            journal._append({"event": "begin", **_identity(plan), "pieces": _pieces(plan)})
            sync(folder.parent)
        except BaseException:
            if journal is not None:
                journal.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return journal

    @classmethod
    def _continue(cls, plan: DeblurPlan, folder: Path) -> Self:
        if not _is_file(folder / FILE):
            raise UsageError(
                f"There is no unfinished work on {plan.out} to resume.", "Run without --resume to begin."
            )
        _check_private(folder)
        journal = cls(plan, folder)
        try:
            journal._read()
        except BaseException:
            journal.close()
            raise
        return journal

    def _read(self) -> None:
        events = list(read_events(self.folder / FILE))
        if not events or events[0].get("event") != "begin":
            raise AsledError(f"The unfinished work in {self.folder} is damaged.", ANEW)
        _compare(events[0], _identity(self.plan), self.plan)
        self.plan = _with_pieces(self.plan, events[0]["pieces"])
        try:
            for event in events[1:]:
                if event["event"] == "complete":
                    self.complete = True
                elif event["event"] == "registration":
                    self.registration = load_record(self.folder / REGISTRATION, Registration)
                elif event["event"] == "segment":
                    self._take(entry_of(event))
        except (KeyError, TypeError, ValueError) as error:
            raise AsledError(f"The unfinished work in {self.folder} is damaged: {error}.") from error
        self._drop_damaged()
        if self.entries:
            self.plan = replace(self.plan, chunk=self.entries[-1].chunk, tile=self.entries[-1].tile)

    def _take(self, entry: Entry) -> None:
        """Add an entry, in place of an older one that was found damaged since."""
        place = int(entry.segment.file[:6])
        if place > len(self.entries):
            raise ValueError(f"no segment before {entry.segment.file}")
        self.entries[place:] = [entry]
        self.complete = False

    def _drop_damaged(self) -> None:
        """Keep the segments up to the first damaged one, where work can go on without later state."""
        intact = 0
        for entry in self.entries:
            if not is_intact(self.folder, entry.segment):
                break
            intact += 1
        if intact == len(self.entries) and (self.complete or self._has_state()):
            return
        self.entries, self.complete = self.entries[:intact], False
        if not self._has_state():
            self.entries = []

    def _has_state(self) -> bool:
        state = self.entries[-1].state if self.entries else None
        return state is None or (self.folder / state).is_file()

    @property
    def segments(self) -> list[Segment]:
        return [entry.segment for entry in self.entries]

    @property
    def frames(self) -> int:
        """How many frames need not be done again."""
        return self.entries[-1].frames if self.entries else 0

    @property
    def tally(self) -> Tally:
        """The counts at the end of the last segment."""
        if not self.entries:
            return Tally()
        last, first = self.entries[-1], self.entries[0].segment.ticks[0]
        time = first * self.plan.wide.time_base
        return Tally(last.frames, last.changed, last.without_reference, last.passed, first_time=time)

    def memory(self, kind: Any) -> Any:
        """What the network remembered at the end of the last segment, of type `kind`; None at the start."""
        name = self.entries[-1].state if self.entries else None
        return None if name is None else load_record(self.folder / name, kind)

    def keep_registration(self, registration: Registration) -> Registration:
        """Keep what the analysis found, and return it as a resumed job will read it."""
        self._save(REGISTRATION, registration)
        self._append({"event": "registration"})
        self.registration = load_record(self.folder / REGISTRATION, Registration)
        return self.registration

    def keep(self, segment: Segment, tally: Tally, *, damaged: bool, memory: Memory | None) -> None:
        """Keep a finished segment, the counts at its end and what the network remembered then."""
        name, pieces = None, (self.plan.chunk, self.plan.tile)
        if memory is not None:
            name, pieces = f"state-{len(self.entries):06d}.safetensors", (memory.chunk, memory.tile)
            self._save(name, memory.states)
        counts = tally.written, tally.changed, tally.without_reference, tally.passed
        entry = Entry(segment, *counts, damaged, *pieces, state=name)
        self._append({"event": "segment", **asdict(entry)})
        self._take(entry)
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def end(self) -> None:
        """Note that all frames are there."""
        self._append({"event": "complete"})
        self.complete = True

    def _save(self, name: str, record: object) -> None:
        try:
            save_record(self.folder / name, record)
        except (OSError, SafetensorError) as error:
            raise _cannot_write(self.folder, error) from error

    def _append(self, event: dict[str, object]) -> None:
        try:
            self._write_line(event)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def _write_line(self, event: dict[str, object]) -> None:
        if self._file is None:
            path = self.folder / FILE
            cut_torn_line(path)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(handle, "a", encoding="utf-8")
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        sync(self.folder)

    def remove(self) -> None:
        """The job is done: leave nothing."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Release file and lock; twice is harmless."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def advice(self) -> str:
        """How to go on, in words."""
        kept = f"{self.frames} of about {self.plan.frames} frames are kept"
        return f"{kept}; continue with: {resume_command(self.plan.config)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        worth = bool(self.entries) or self.registration is not None
        self.close()
        if error is None or not worth:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif isinstance(error, AsledError):
            error.hint = f"{error.hint} {self.advice}".strip()


def _identity(plan: DeblurPlan) -> dict[str, object]:
    inputs = {"wide": fingerprint(plan.wide.path), "ultra": fingerprint(plan.ultra.path)}
    return {"inputs": inputs, "settings": settings(plan)}


def _pieces(plan: DeblurPlan) -> dict[str, object]:
    """Choices that depend on the machine as it is just now, and must not change under way."""
    clock = {"offset_s": str(plan.offset_s), "clock_rate": str(plan.clock_rate)}
    pieces = {"chunk": plan.chunk, "overlap": plan.overlap, "tile": plan.tile}
    return {**pieces, **clock, "box": plan.wide.box, "fov_ratio": plan.fov_ratio}


def _with_pieces(plan: DeblurPlan, pieces: dict[str, Any]) -> DeblurPlan:
    chunk, overlap, tile = (int(pieces[name]) for name in ("chunk", "overlap", "tile"))
    offset, rate = Fraction(pieces["offset_s"]), Fraction(pieces["clock_rate"])
    box = pieces.get("box")
    return replace(
        plan,
        wide=replace(plan.wide, box=None if box is None else tuple(box)),
        offset_s=offset,
        clock_rate=rate,
        fov_ratio=float(pieces.get("fov_ratio", plan.fov_ratio)),
        chunk=chunk,
        overlap=overlap,
        tile=tile,
    )


def _compare(begun: dict[str, Any], now: dict[str, Any], plan: DeblurPlan) -> None:
    anew = "Begin anew with --overwrite, or go on with what it was begun with."
    for role, path in (("wide", plan.wide.path), ("ultra", plan.ultra.path)):
        if begun["inputs"].get(role) != now["inputs"][role]:
            raise UsageError(f"{path} is not the file that {plan.out} was begun with.", anew)
    for name, value in now["settings"].items():
        was = begun["settings"].get(name)
        if was != value:
            raise UsageError(f"{plan.out} was begun with another value of {name}: {was}, now {value}.", anew)


def _cannot_write(folder: Path, error: Exception) -> AsledError:
    return AsledError(f"{folder} cannot be written: {reason(error)}.")


def _is_file(path: Path) -> bool:
    """Whether there is such a file; raises UsageError if that cannot be seen."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be read: {error.strerror or error}.") from error


def _lock(folder: Path) -> int | None:
    if fcntl is None:
        return None
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise UsageError(
            f"Another run is working in {folder} at this moment.", "Wait for it, or stop it."
        ) from error
    return handle


def _check_private(folder: Path) -> None:
    """Refuse a folder that somebody else may have put there."""
    facts = folder.lstat()
    foreign = hasattr(os, "getuid") and facts.st_uid != os.getuid()
    if folder.is_symlink() or foreign or facts.st_mode & 0o077:
        raise UsageError(f"{folder} is not a private folder of yours.", "Remove it, and begin anew.")


def _discard_old(plan: DeblurPlan, folder: Path) -> None:
    """Remove older unfinished work, if it is none, or may be overwritten."""
    _check_private(folder)
    lock = _lock(folder)
    if lock is not None:
        os.close(lock)
    path = folder / FILE
    events = list(read_events(path)) if _is_file(path) else []
    frames = max((int(e.get("frames", 0)) for e in events if e.get("event") == "segment"), default=0)
    may = plan.config.encode is not None and plan.config.encode.overwrite
    if frames and not may:
        raise UsageError(
            f"{plan.out} was begun before, and {frames} of about {plan.frames} frames are done.",
            "Pass --resume to go on, or --overwrite to begin anew.",
        )
    shutil.rmtree(folder)
