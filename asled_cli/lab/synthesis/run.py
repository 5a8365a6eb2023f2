"""`asled synth-blur` in one call: from sources to a folder of blurred pairs and a manifest, on all cores.

In the output folder, besides the clips: manifest/<clip>.json, written when a clip is complete and used to
resume an interrupted run; and manifest.json with the settings and all clips, written at the end.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asled_cli import __version__
from asled_cli.errors import InputError, InterruptedRunError, UsageError
from asled_cli.job.resume.fingerprint import versions_of_programs
from asled_cli.job.resume.machine import check_machine
from asled_cli.lab.datasets.sources import PHOTO_SUFFIXES, find_clips, find_photos
from asled_cli.lab.synthesis.clip import SynthConfig, SynthTask, clip_seed, make_clip, plan_clips
from asled_cli.lab.synthesis.pair_files import FilesConfig, own_files, write_clip
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime import option_limits as limits
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.runtime.processes import one_thread, run_in_processes
from asled_cli.runtime.signals import StopFlag
from asled_cli.runtime.stages import usable_cores
from asled_cli.runtime.workers.local import Workers
from asled_cli.runtime.workers.many import each_result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthJob:
    """Settings of one call of `asled synth-blur`."""

    sources: Sequence[Path]
    """Files and folders."""
    out: Path
    """Folder to fill."""
    ultras: Sequence[Path] = ()
    """The other lens's clip for each source, if any."""
    clips: int | None = None
    """Maximum of clips from each source; None: all of a video, one of a photo."""
    synth: SynthConfig = field(default_factory=SynthConfig)
    """Settings of the blur."""
    files: FilesConfig = field(default_factory=FilesConfig)
    """Settings of the files."""
    jobs: int = 0
    """Processes; 0: one for each core, 1: this process only."""

    def __post_init__(self) -> None:
        limits.check_number("--jobs", self.jobs, 0, limits.MAX_JOBS, "0 means all cores.")
        limits.check_number("--clips", self.clips, 1, limits.MAX_FRAMES)
        mode = self.synth.mode
        if self.ultras and mode != "average":
            raise UsageError(f"--ultra means nothing with --mode {mode}, which makes both views.")
        if (self.files.flow or self.files.occlusion) and mode == "average":
            raise UsageError(
                "--flow and --occlusion need --mode shake or defocus: averaged video has no exact flow.",
                "Drop them.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthResult:
    """Summary of a call."""

    written: int
    """Clips written by this call."""
    kept: int
    """Clips that existed already."""
    left_out: Sequence[str]
    """Messages about sources that could not be used."""
    manifest: Path


def synth_blur(
    job: SynthJob, report: Report = ignore, cluster: Callable[[], Workers] | None = None
) -> SynthResult:
    """Make all clips of a job and return a summary; complete clips are kept.

    cluster: connects to workers that make the clips instead of this machine; one that fails does not stop the
    others, and an AsledError tells of it in the end.
    Raises InputError if no source can be used, UsageError if `out` has clips of other settings, or files with
    the name of a clip that this command did not write.
    """
    filmed = job.synth.mode != "average"
    sources = find_photos(job.sources) if filmed else find_clips(job.sources, job.ultras)
    photos = tuple(s.wide for s in sources if s.wide.suffix.lower() in PHOTO_SUFFIXES) if filmed else ()
    settings = _settings(job)
    _check_folder(job.out, settings)
    tasks, left_out = _plan(job, sources)
    waiting = [task for task in tasks if not _record(job.out, task.name).exists()]
    for task in waiting:
        own_files(job.out, task.name).check(job.files.places(task.name).values())
    with StopFlag() as stop, _locked(job.out):
        _write_json(_settings_file(job.out), settings)
        work = [(job, task, photos) for task in waiting]
        check = partial(_check, stop.check)
        results = _make_here(job, work, check) if cluster is None else _make_there(cluster, work, check)
        left_out += _count(results, len(tasks), len(waiting), report)
        there = [task.name for task in tasks if _record(job.out, task.name).exists()]
        if not there:
            raise InputError(f"None of {len(sources)} sources could be used. {' '.join(left_out)}")
        clips = {name: json.loads(_record(job.out, name).read_text()) for name in there}
        manifest = job.out / "manifest.json"
        _write_json(manifest, {**settings, "clips": clips})
    kept = len(tasks) - len(waiting)
    return SynthResult(written=len(there) - kept, kept=kept, left_out=left_out, manifest=manifest)


def _plan(job: SynthJob, sources: Sequence[Any]) -> tuple[list[SynthTask], list[str]]:
    tasks, left_out = [], []
    for source in sources:
        try:
            tasks += plan_clips(source, job.synth, job.clips)
        except InputError as error:
            log.warning("%s It is left out.", error.message)
            left_out.append(error.message)
    return tasks, left_out


_Work = tuple[SynthJob, SynthTask, tuple[Path, ...]]


def _make_here(job: SynthJob, work: Sequence[_Work], check: Callable[[], None]) -> Iterator[str]:
    """Make the clips in one or several processes; yield what `_make` returns."""
    return run_in_processes(_make, work, job.jobs or usable_cores(), check)


def _make_there(
    cluster: Callable[[], Workers], work: Sequence[_Work], check: Callable[[], None]
) -> Iterator[str]:
    """Make the clips in the workers of a cluster; yield what `_make` returns."""
    versions = versions_of_programs()
    tasks = {task.name: (_absolute((job, task, photos)), versions) for job, task, photos in work}
    for _, problem in each_result(cluster, _make_in_worker, tasks, check):
        yield problem


def _make_in_worker(work: _Work, versions: Mapping[str, str], place: object = None) -> str:
    """Make a clip as `_make` does. Raises an AsledError where this machine is unfit."""
    check_machine(_settings_file(work[0].out), versions, versions_of_programs())
    with one_thread():
        return _make(*work)


def _absolute(work: _Work) -> _Work:
    """Return the work with paths that hold in any working folder."""
    job, task, photos = work
    source = task.source
    ultra = None if source.ultra is None else source.ultra.absolute()
    task = replace(task, source=replace(source, wide=source.wide.absolute(), ultra=ultra))
    return replace(job, out=job.out.absolute()), task, tuple(photo.absolute() for photo in photos)


def _count(results: Iterator[str], total: int, waiting: int, report: Report) -> list[str]:
    """Report each finished clip; return messages about those that are left out."""
    done, left_out = total - waiting, []
    report(Progress("make", done, total))
    for problem in results:
        done += 1
        report(Progress("make", done, total))
        if problem:
            log.warning("%s It is left out.", problem)
            left_out.append(problem)
    return left_out


def _check(check: Callable[[], None]) -> None:
    try:
        check()
    except InterruptedRunError as stop:
        raise InterruptedRunError(
            "Stopped before all clips were made.", "Run the same command again to continue."
        ) from stop


def _make(job: SynthJob, task: SynthTask, photos: tuple[Path, ...]) -> str:
    """Make and write one clip, its record last; return why it was left out, or nothing."""
    try:
        clip = make_clip(task, job.synth, photos)
        write_clip(job.out, task.name, clip, job.files)
    except InputError as error:
        return error.message
    record = {
        "source": task.source.wide.name,
        "ultra_source": None if task.source.ultra is None else task.source.ultra.name,
        "seed": clip_seed(job.synth.seed, task.name),
        "frames": len(clip.blur),
        "size": clip.blur.size,
        "fps": clip.fps,
        "parameters": clip.parameters,
    }
    _write_json(_record(job.out, task.name), record)
    return ""


def _settings(job: SynthJob) -> dict[str, Any]:
    """Return what all clips in a folder have in common, in the types of JSON."""
    settings = {"asled": __version__, "synth": asdict(job.synth), "files": asdict(job.files)}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _check_folder(out: Path, settings: dict[str, Any]) -> None:
    """Check that a folder belongs to this job or to none. Raises UsageError if it belongs to another."""
    path = _settings_file(out)
    if not path.exists():
        for name in ("manifest.json", "manifest"):
            path = out / name
            if os.path.lexists(path) and not _is_bare(path):
                raise UsageError(f"{path} exists, and asled did not write it.", "Choose another folder.")
        return
    before = _read_settings(path)
    for part in ("synth", "files"):
        for name, value in settings[part].items():
            old = before[part].get(name)
            if old != value:
                raise UsageError(
                    f"{out} holds clips made with {name} = {old}, asked for is {value}.",
                    "Choose another folder, or the same settings to continue.",
                )


def _is_bare(path: Path) -> bool:
    """Return whether a folder is empty, except for the lock of a run that ended early."""
    return path.is_dir() and all(inner.name == ".lock" for inner in path.iterdir())


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {part: dict(found[part]) for part in ("synth", "files")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a list of settings that asled wrote.", "Choose another folder."
        ) from error


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Lock the folder against other runs. Raises UsageError if another one is active."""
    with explain_full_disk(out):
        (out / "manifest").mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / "manifest" / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise UsageError(
            f"Another run is writing to {out} at this moment.", "Wait for it, or stop it."
        ) from error


def _settings_file(out: Path) -> Path:
    return out / "manifest" / "settings.json"


def _record(out: Path, name: str) -> Path:
    return out / "manifest" / f"{name}.clip.json"


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    with explain_full_disk(path, "Run the same again to continue; clips that are complete stay."):
        replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))
