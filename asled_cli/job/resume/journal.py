"""The unfinished work of a job: finished segments and what is needed to continue exactly there.

It is kept in a hidden folder beside the output, private to the user, and survives all but the loss of the
disk: each file is on the disk before the journal names it. The journal holds one JSON line per event; a torn
last line is ignored.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Self

from safetensors import SafetensorError

from asled_cli.deconvolution.exposure import ExposureFit, kept_fit
from asled_cli.errors import AsledError, UsageError
from asled_cli.job.records import DeblurPlan
from asled_cli.job.resume.command import resume_command
from asled_cli.job.resume.entries import Entry, cut_torn_line, entry_of, has_begun, read_events
from asled_cli.job.resume.fingerprint import pieces, settings, with_pieces
from asled_cli.job.resume.inputs import InputWatch, is_same
from asled_cli.job.resume.serialization import load_record, save_record
from asled_cli.job.resume.work_folder import FILE, REGISTRATION, WorkFolder
from asled_cli.job.tally import Tally
from asled_cli.registration.model.registration import Registration
from asled_cli.restoration.base import Memory
from asled_cli.runtime.atomic_file import cannot_write, sync
from asled_cli.video.encode.segments import Segment, is_intact
from asled_cli.video.output_file import work_folder

__all__ = ["FILE", "Journal"]

START_OVER = "Start over with --overwrite."


class Journal:
    """The journal of one job, open and locked: `with Journal.open(plan) as journal`.

    Leaving the block with an exception keeps the finished segments and reports how to continue.
    """

    def __init__(self, plan: DeblurPlan, work: WorkFolder, inputs: InputWatch) -> None:
        self.plan = plan
        self.folder = work.path
        self.entries: list[Entry] = []
        self.registration: Registration | None = None
        self.exposure: ExposureFit | None = None  # of a pair's wide clip by its own frames
        self.complete = False  # all frames are there
        self._work, self._inputs = work, inputs
        self._published: dict[str, object] | None = None  # size and hash of the file last published
        self._file: IO[str] | None = None

    @classmethod
    def open(cls, plan: DeblurPlan, inputs: InputWatch | None = None) -> Self:
        """Begin, or with `resume` continue. Raises UsageError where that is not what the folder allows.

        inputs: watches the clips since before they were first read.
        """
        folder = work_folder(plan.out)
        inputs = inputs or InputWatch([clip.path for clip in plan.clips.values()])
        if plan.config.resume:
            return cls._continue(plan, folder, inputs)
        if os.path.lexists(folder):
            _discard_old(plan, folder)
        journal = cls(plan, WorkFolder.make(folder), inputs)
        try:
            journal._append({"event": "begin", **journal._identity(), "pieces": pieces(plan)})
            sync(folder.parent)
        except BaseException:
            journal.remove()
            raise
        return journal

    @classmethod
    def _continue(cls, plan: DeblurPlan, folder: Path, inputs: InputWatch) -> Self:
        if not (_is_file(folder / FILE) and has_begun(folder / FILE)):
            raise UsageError(
                f"There is no unfinished work on {plan.out} to resume.", "Run without --resume to begin."
            )
        journal = cls(plan, WorkFolder.take(folder), inputs)
        try:
            journal._read()
            journal._check_output()
        except BaseException:
            journal.close()
            raise
        return journal

    def _read(self) -> None:
        events = list(read_events(self.folder / FILE))
        if not events or events[0].get("event") != "begin":
            raise AsledError(f"The unfinished work in {self.folder} is damaged.", START_OVER)
        try:
            _compare(events[0], self._identity(), self.plan)
            self.plan = with_pieces(self.plan, events[0]["pieces"])
            for event in events[1:]:
                if event["event"] == "complete":
                    self.complete = True
                elif event["event"] == "published":
                    self._published = {name: event[name] for name in ("size", "sha256")}
                elif event["event"] == "registration":
                    self.registration = load_record(self.folder / REGISTRATION, Registration)
                elif event["event"] == "exposure":
                    self.exposure = kept_fit(event)
                elif event["event"] == "segment":
                    self._take(entry_of(event))
        except (KeyError, TypeError, ValueError) as error:
            raise AsledError(
                f"The unfinished work in {self.folder} is damaged: {error}.", START_OVER
            ) from error
        self._drop_damaged()
        if self.entries:
            last = self.entries[-1]
            self.plan = replace(self.plan, choice=replace(self.plan.choice, chunk=last.chunk, tile=last.tile))

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
        """Number of frames that are finished."""
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
        """Return the state of the network after the last segment, of type `kind`; None at the start."""
        name = self.entries[-1].state if self.entries else None
        return None if name is None else load_record(self.folder / name, kind)

    def keep_registration(self, registration: Registration) -> Registration:
        """Keep what the analysis found, and return it as a resumed job will read it."""
        self._save(REGISTRATION, registration)
        self._append({"event": "registration"})
        self.registration = load_record(self.folder / REGISTRATION, Registration)
        return self.registration

    def keep_exposure(self, exposure: ExposureFit) -> ExposureFit:
        """Keep the exposure of a pair's wide clip, and return it."""
        self._append({"event": "exposure", **asdict(exposure)})
        self.exposure = exposure
        return exposure

    def keep(self, segment: Segment, tally: Tally, *, damaged: bool, memory: Memory | None) -> None:
        """Keep a finished segment, the counts at its end and what the network remembered then."""
        name, pieces = None, (self.plan.choice.chunk, self.plan.choice.tile)
        if memory is not None:
            name, pieces = f"state-{len(self.entries):06d}.safetensors", (memory.chunk, memory.tile)
            self._save(name, memory.states)
        counts = tally.written, tally.changed, tally.without_reference, tally.passed
        entry = Entry(segment, *counts, damaged, *pieces, state=name)
        self.add(entry)

    def add(self, entry: Entry) -> None:
        """Keep the next entry, whose files are on the disk; the states before it are not needed any more."""
        self._append({"event": "segment", **asdict(entry)})
        self._take(entry)
        kept = entry.state or f"state-{len(self.entries):06d}.safetensors"
        for old in self.folder.glob("state-*.safetensors"):
            if old.name < kept:  # workers write later ones
                old.unlink(missing_ok=True)

    def end(self) -> None:
        """Note that all frames are there."""
        self._append({"event": "complete"})
        self.complete = True

    def approve(self, finished: Path) -> bool:
        """Look at inputs and output before `finished` is published; whether an existing output may go.

        Notes size and hash of the file, so that a later run knows it. Raises InputError if an input changed.
        """
        self._inputs.confirm()
        replace_it = self._may_overwrite or self._is_published()
        self._append({"event": "published", **_content(finished)})
        return replace_it

    def check_inputs(self) -> None:
        """Raise InputError if a clip is not the file any more that the job began with."""
        self._inputs.check()

    @property
    def _may_overwrite(self) -> bool:
        return self.plan.config.encode is not None and self.plan.config.encode.overwrite

    def _is_published(self) -> bool:
        """Return whether the output is the very file that a run of this job published."""
        if self._published is None or not self.plan.out.is_file():
            return False
        return self.plan.out.stat().st_size == self._published["size"] and (
            _content(self.plan.out) == self._published
        )

    def _check_output(self) -> None:
        """Refuse to continue where a file of somebody else has the name of the output."""
        if self.plan.out.exists() and not self._may_overwrite and not self._is_published():
            raise UsageError(
                f"{self.plan.out} exists, and is not a file that this job wrote.",
                "Move it away, or add --overwrite to replace it; the unfinished work is kept.",
            )

    def _identity(self) -> dict[str, object]:
        inputs = {role: self._inputs.fingerprint(clip.path) for role, clip in self.plan.clips.items()}
        return {"inputs": inputs, "settings": settings(self.plan)}

    def _save(self, name: str, record: object) -> None:
        try:
            save_record(self.folder / name, record)
        except (OSError, SafetensorError) as error:
            raise cannot_write(self.folder, error) from error

    def _append(self, event: dict[str, object]) -> None:
        try:
            self._write_line(event)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

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
        """Delete the folder of a finished job."""
        self._close_file()
        self._work.remove()

    def close(self) -> None:
        """Release file and lock; twice is harmless."""
        self._close_file()
        self._work.release()

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    @property
    def advice(self) -> str:
        """Return a sentence on how to continue."""
        kept = f"{self.frames} of about {self.plan.frames} frames are kept"
        return f"{kept}; continue with: {resume_command(self.plan.config)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not (self.entries or self.registration is not None):
            self.remove()
            return
        self.close()
        if isinstance(error, AsledError):
            error.hint = f"{error.hint} {self.advice}".strip()


def _content(path: Path) -> dict[str, object]:
    """Size and hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _compare(begun: dict[str, Any], now: dict[str, Any], plan: DeblurPlan) -> None:
    over = "Start over with --overwrite, or continue with what it was begun with."
    for role in begun["inputs"].keys() & now["inputs"].keys():  # one clip or two: see the method below
        if not is_same(begun["inputs"][role], now["inputs"][role]):
            path = plan.clips[role].path
            raise UsageError(f"{path} is not the file that {plan.out} was begun with.", over)
    for name, value in now["settings"].items():
        was = begun["settings"].get(name)
        if was != value:
            raise UsageError(f"{plan.out} was begun with another value of {name}: {was}, now {value}.", over)


def _is_file(path: Path) -> bool:
    """Return whether the file exists. Raises UsageError if that cannot be seen."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be read: {error.strerror or error}.") from error


def _discard_old(plan: DeblurPlan, folder: Path) -> None:
    """Remove older unfinished work, if there is none in it, or it may be overwritten."""
    work = WorkFolder.take(folder)
    try:
        if foreign := work.foreign_files():
            raise UsageError(
                f"{folder} holds files that asled did not write: {', '.join(foreign[:3])}.",
                "Move them away, and run the same command again.",
            )
        frames = _frames_done(folder)
        if frames and not (plan.config.encode is not None and plan.config.encode.overwrite):
            raise UsageError(
                f"{plan.out} was begun before, and {frames} of about {plan.frames} frames are done.",
                "Pass --resume to continue, or --overwrite to start over.",
            )
    except BaseException:
        work.release()
        raise
    work.remove()


def _frames_done(folder: Path) -> int:
    events = list(read_events(folder / FILE)) if _is_file(folder / FILE) else []
    return max((int(e.get("frames", 0)) for e in events if e.get("event") == "segment"), default=0)
