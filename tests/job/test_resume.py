"""A resumed job writes the very file that an uninterrupted one writes."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factories.networks import random_weights
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.errors import AsledError, InputError, InterruptedRunError, UsageError
from asled_cli.job import analysis
from asled_cli.job.batch.one_job import run_job
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.blur.plan import BlurPlan
from asled_cli.job.blur.stretches import PAST_S
from asled_cli.job.blur.stretches import Interval as Stretch
from asled_cli.job.config import DeblurConfig
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurResult, Event, JobReport
from asled_cli.job.resume import inputs
from asled_cli.job.resume import work_folder as folders
from asled_cli.job.resume.journal import FILE, Journal
from asled_cli.job.resume.work_folder import WorkFolder
from asled_cli.progress import Progress, ignore
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.output_file import work_folder

FRAMES, SEGMENT = 40, 6


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), FRAMES)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Six frames each, a known registration, one thread: small pictures are faster so."""
    steps = pipeline.Steps(
        analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: SEGMENT
    )
    monkeypatch.setattr(pipeline, "STEPS", steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config(pair: Pair, out: Path, network: Path | None, **changes: Any) -> DeblurConfig:
    encode = EncodeConfig(crf=12, preset="veryfast")
    job = DeblurConfig(pair.wide, pair.ultra, out=out, method="swap", encode=encode, offset_s=0.0)
    if network is not None:
        job = replace(job, method="network", weights=network, chunk=4, overlap=2, precision="fp32")
    return replace(job, **changes)


def stop_at(frame: int) -> JobReport:
    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == frame:
            raise DeliberateError

    return report


class DeliberateError(Exception):
    """Stands for anything that ends a process."""


def resume(job: DeblurConfig, report: JobReport = ignore) -> DeblurResult:
    return pipeline.run_deblur(replace(job, resume=True), report)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swap", "network", "tiles"])
def test_the_same_file_however_often_it_was_interrupted(
    kind: str, pair: Pair, network: Path, tmp_path: Path
) -> None:
    changes = {"tile": 64} if kind == "tiles" else {}
    with_network = None if kind == "swap" else network
    whole = config(pair, tmp_path / "whole.mp4", with_network, **changes)
    expected = pipeline.run_deblur(whole)
    job = config(pair, tmp_path / "parts.mp4", with_network, **changes)
    began: list[int] = []

    def watch(frame: int) -> JobReport:
        stop, first = stop_at(frame), len(began)

        def report(event: Event) -> None:
            if isinstance(event, Progress) and event.step == "deblur" and len(began) == first:
                began.append(event.done - 1)
            stop(event)

        return report

    with pytest.raises(DeliberateError):
        pipeline.run_deblur(job, watch(15))
    with pytest.raises(DeliberateError):
        resume(job, watch(33))
    found = resume(job, watch(-1))
    assert began == [0, 12, 30]
    assert (tmp_path / "parts.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert (found.frames_written, found.frames_changed) == (FRAMES, expected.frames_changed)
    assert not work_folder(tmp_path / "parts.mp4").exists()


def test_counts_go_on_too(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sharp, blurred = Stretch(-PAST_S, 0.5, "pass", 0, 1, 1), Stretch(0.5, PAST_S, "deblur", 5, 9, 1)
    monkeypatch.setattr(analysis, "plan_blur", lambda *_, **__: BlurPlan((), (sharp, blurred)))
    expected = pipeline.run_deblur(config(pair, tmp_path / "whole.mp4", None))
    job = config(pair, tmp_path / "out.mp4", None)
    with pytest.raises(DeliberateError):
        pipeline.run_deblur(job, stop_at(15))
    found = resume(job)
    assert 0 < found.frames_unchanged < 12  # all of them before the break
    for name in ("frames_written", "frames_changed", "frames_unchanged", "frames_without_reference"):
        assert getattr(found, name) == getattr(expected, name)


def test_interrupted_while_joining_only_joins_again(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run_deblur(config(pair, tmp_path / "whole.mp4", None))
    job = config(pair, tmp_path / "out.mp4", None)

    def fail(*_: object) -> None:
        raise DeliberateError

    with monkeypatch.context() as broken:
        broken.setattr("asled_cli.video.encode.writer.join", fail)
        with pytest.raises(DeliberateError):
            pipeline.run_deblur(job)
    monkeypatch.setattr("asled_cli.restoration.base.FrameByFrame.push", fail)  # nothing is to be done again
    result = resume(job)
    assert result.frames_written == FRAMES
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_interrupted_after_publishing_is_finished(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder = config(pair, tmp_path / "out.mp4", None), work_folder(tmp_path / "out.mp4")
    with monkeypatch.context() as killed:  # a killed process tidies nothing up
        killed.setattr(WorkFolder, "remove", WorkFolder.release)
        pipeline.run_deblur(job)
    before = (tmp_path / "out.mp4").read_bytes()
    assert folder.is_dir()
    assert resume(job).frames_written == FRAMES
    assert (tmp_path / "out.mp4").read_bytes() == before and not folder.exists()


def test_resume_without_unfinished_work_says_so(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no unfinished work .* to resume"):
        resume(config(pair, tmp_path / "out.mp4", None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [None, b"", b'{"event": "beg'])
def test_a_run_killed_before_it_began_has_no_unfinished_work(
    pair: Pair, tmp_path: Path, written: bytes | None
) -> None:
    """So that a batch starts its job over; the folder is not in the way."""
    folder = work_folder(tmp_path / "out.mp4")
    folder.mkdir(mode=0o700)
    if written is not None:
        (folder / "journal.jsonl").write_bytes(written)
    clips = BatchPair(pair.wide, pair.ultra, "out.mp4")

    def deblur(out: Path, again: bool) -> tuple[int, str]:
        try:
            pipeline.run_deblur(replace(config(pair, out, None), resume=again))
        except AsledError as error:
            return error.exit_code, str(error)
        return 0, ""

    found = run_job(clips, tmp_path, deblur, False)
    assert found.status == "done", found.message


@pytest.fixture
def unfinished(pair: Pair, tmp_path: Path) -> DeblurConfig:
    job = config(pair, tmp_path / "out.mp4", None)
    with pytest.raises(DeliberateError):
        pipeline.run_deblur(job, stop_at(15))
    return job


def test_another_setting_or_input_is_refused_by_name(
    unfinished: DeblurConfig, pair: Pair, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"another value of --strength: 1.0, now 0.5"):
        resume(replace(unfinished, strength=0.5))
    with pytest.raises(UsageError, match="another value of the encoder"):
        resume(replace(unfinished, encode=EncodeConfig(crf=30, preset="veryfast")))
    with pytest.raises(UsageError, match=r"is not the file that .* was begun with"):
        resume(replace(unfinished, ultra=pair.truth))
    assert resume(unfinished).frames_written == FRAMES


def test_forgetting_resume_does_not_lose_the_work(unfinished: DeblurConfig) -> None:
    with pytest.raises(UsageError, match=r"12 of about 40 frames are done.*--resume"):
        pipeline.run_deblur(unfinished)
    assert resume(unfinished).frames_written == FRAMES


def test_overwrite_starts_over(unfinished: DeblurConfig) -> None:
    assert unfinished.encode is not None
    job = replace(unfinished, encode=replace(unfinished.encode, overwrite=True))
    assert pipeline.run_deblur(job).frames_written == FRAMES


def test_a_torn_line_costs_one_segment_only(unfinished: DeblurConfig, pair: Pair, tmp_path: Path) -> None:
    pipeline.run_deblur(config(pair, tmp_path / "whole.mp4", None))
    journal = work_folder(tmp_path / "out.mp4") / FILE
    journal.write_bytes(journal.read_bytes()[:-40])
    events: list[int] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur":
            events.append(event.done)

    resume(unfinished, report)
    assert events[0] == 7
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_damaged_segment_is_made_again(unfinished: DeblurConfig, pair: Pair, tmp_path: Path) -> None:
    pipeline.run_deblur(config(pair, tmp_path / "whole.mp4", None))
    segment = work_folder(tmp_path / "out.mp4") / "000001.packets"
    segment.write_bytes(bytes(segment.stat().st_size))
    resume(unfinished)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_names_in_a_journal_cannot_lead_out_of_its_folder(unfinished: DeblurConfig, tmp_path: Path) -> None:
    journal = work_folder(tmp_path / "out.mp4") / FILE
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for name in ("../../etc/passwd", "/etc/passwd", "000000.packets/../x"):
        lines[2]["segment"]["file"] = name
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with pytest.raises(AsledError, match="is damaged"):
            resume(unfinished)


posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")


@posix
def test_the_folder_is_private_and_a_foreign_one_is_refused(
    unfinished: DeblurConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = work_folder(tmp_path / "out.mp4")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    with monkeypatch.context() as other:
        other.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        other.setattr(folders, "_owner_of_new_files", lambda _: folder.stat().st_uid + 1)
        with pytest.raises(UsageError, match="belongs to another user"):
            resume(unfinished)
    folder.chmod(0o755)
    (folder / "state-000009.safetensors").symlink_to("/etc/passwd")  # as another user could have done
    with pytest.raises(UsageError, match="was not written by asled"):
        resume(unfinished)


@posix
@pytest.mark.parametrize("more", [{"resume": True}, {"overwrite": True}])
def test_a_disk_without_rights_holds_work_like_any_other(
    more: dict[str, bool], unfinished: DeblurConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT and network drives show one owner and one mode for all files, and refuse to change them."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    work_folder(tmp_path / "out.mp4").chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert unfinished.encode is not None
    encode = replace(unfinished.encode, overwrite="overwrite" in more)
    job = replace(unfinished, encode=encode, resume="resume" in more)
    assert pipeline.run_deblur(job).frames_written == FRAMES
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_foreign_output_is_not_replaced_by_resuming(unfinished: DeblurConfig, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"somebody else's")
    with pytest.raises(UsageError, match=r"not a file that this job wrote.* add --overwrite"):
        resume(unfinished)
    assert out.read_bytes() == b"somebody else's"
    assert unfinished.encode is not None
    again = replace(unfinished, encode=replace(unfinished.encode, overwrite=True))
    assert resume(again).frames_written == FRAMES and len(out.read_bytes()) > 100


def test_an_output_that_appears_meanwhile_is_kept_and_so_is_the_work(pair: Pair, tmp_path: Path) -> None:
    job, out = config(pair, tmp_path / "out.mp4", None), tmp_path / "out.mp4"

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 15:
            out.write_bytes(b"somebody else's")

    with pytest.raises(AsledError, match="appeared while the job ran, and is left as it is") as caught:
        pipeline.run_deblur(job, report)
    assert out.read_bytes() == b"somebody else's"
    finished = work_folder(out) / "joined.mp4"
    assert finished.is_file() and str(finished) in caught.value.hint
    out.unlink()
    assert resume(job).frames_written == FRAMES


def test_a_published_file_that_was_edited_since_is_not_replaced(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, out = config(pair, tmp_path / "out.mp4", None), tmp_path / "out.mp4"
    with monkeypatch.context() as killed:
        killed.setattr(WorkFolder, "remove", WorkFolder.release)
        pipeline.run_deblur(job)
    with out.open("ab") as file:
        file.write(b"a tag of mine")
    edited = out.read_bytes()
    with pytest.raises(UsageError, match="not a file that this job wrote"):
        resume(job)
    assert out.read_bytes() == edited


@pytest.mark.slow
@pytest.mark.parametrize("change", ["replaced", "grown", "cut"])
@pytest.mark.parametrize("role", ["wide", "ultra"])
def test_an_input_that_changes_under_way_is_noticed(
    role: str, change: str, pair: Pair, tmp_path: Path
) -> None:
    clips = {name: tmp_path / f"{name}.mp4" for name in ("wide", "ultra")}
    for name, path in clips.items():
        shutil.copyfile(getattr(pair, name), path)
    job = replace(config(pair, tmp_path / "out.mp4", None), **clips)

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 33:
            alter(clips[role], change, pair.truth)

    with pytest.raises(InputError, match=rf"{role}.mp4 changed while the job worked on it") as caught:
        pipeline.run_deblur(job, report)
    assert not job.out.exists() and "frames are kept" in caught.value.hint
    with pytest.raises(AsledError, match=r"is not the file that|has no video track|damaged"):
        resume(job)
    shutil.copyfile(getattr(pair, role), clips[role])  # another time, the same content
    assert resume(job).frames_written == FRAMES


def alter(path: Path, change: str, other: Path) -> None:
    if change == "replaced":
        shutil.copyfile(other, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    elif change == "grown":
        with path.open("ab") as file:
            file.write(bytes(1000))
    else:
        os.truncate(path, path.stat().st_size - 1000)


def test_a_touched_input_is_no_change(pair: Pair, tmp_path: Path) -> None:
    job = config(pair, tmp_path / "out.mp4", None)

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur":
            os.utime(pair.wide)

    assert pipeline.run_deblur(job, report).frames_written == FRAMES


def test_large_files_must_keep_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "WHOLE_UP_TO", 1000)
    monkeypatch.setattr(inputs, "SAMPLE_BYTES", 4)
    path = tmp_path / "clip"
    path.write_bytes(bytes(2000))
    before = inputs.fingerprint(path)
    assert inputs.is_same(before, inputs.fingerprint(path))
    os.utime(path, (1, 1))
    assert not inputs.is_same(before, inputs.fingerprint(path))


def test_files_of_others_in_the_work_folder_are_never_removed(
    unfinished: DeblurConfig, tmp_path: Path
) -> None:
    folder = work_folder(tmp_path / "out.mp4")
    (folder / "precious.txt").write_text("mine")
    assert unfinished.encode is not None
    with pytest.raises(UsageError, match=r"holds files that asled did not write: precious\.txt"):
        pipeline.run_deblur(replace(unfinished, encode=replace(unfinished.encode, overwrite=True)))
    assert resume(unfinished).frames_written == FRAMES
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]


def test_names_that_agree_at_their_start_have_folders_of_their_own(tmp_path: Path) -> None:
    names = [f"{letter * 115}{letter * 100}{n}.mp4" for letter in "xé" for n in (1, 2)]
    folders_of = {work_folder(tmp_path / name).name for name in names}
    assert len(folders_of) == 4 and max(len(os.fsencode(name)) for name in folders_of) < 230
    assert work_folder(tmp_path / f"{'x' * 190}.mp4").name == f".{'x' * 190}.mp4.asled"


def test_two_runs_on_one_output_are_kept_apart(unfinished: DeblurConfig) -> None:

    assert unfinished.encode is not None
    over = replace(unfinished, encode=replace(unfinished.encode, overwrite=True))
    with Journal.open(make_plan(replace(unfinished, resume=True))) as journal:
        for job in (replace(unfinished, resume=True), unfinished, over):
            with pytest.raises(UsageError, match="Another run"):
                pipeline.run_deblur(job)
        assert journal.segments and all((journal.folder / s.file).exists() for s in journal.segments)


def test_a_run_cannot_begin_in_a_folder_that_another_one_removes(tmp_path: Path) -> None:
    """The slow one has the old folder's lock when the other one starts over."""
    path = tmp_path / ".out.mp4.asled"
    slow = WorkFolder.make(path)
    real = os.open
    with pytest.MonkeyPatch.context() as patch:

        def race(name: Any, flags: int, *rest: Any, **more: Any) -> int:
            handle = real(name, flags, *rest, **more)
            if str(name) == str(path):
                patch.undo()
                slow.remove()
                WorkFolder.make(path).release()
            return handle

        patch.setattr(os, "open", race)
        with pytest.raises(UsageError, match="Another run"):
            WorkFolder.take(path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_error_tells_how_to_go_on(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("broken")

    monkeypatch.setattr("asled_cli.restoration.base.FrameByFrame.flush", fail)
    job = config(pair, tmp_path / "a b.mp4", None, strength=0.9)
    with pytest.raises(InputError) as caught:
        pipeline.run_deblur(job)
    assert "continue with: asled deblur" in caught.value.hint and "--strength 0.9" in caught.value.hint
    assert "'" in caught.value.hint and caught.value.hint.endswith("--resume")


def test_interruption_keeps_what_is_finished(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 20:
            raise InterruptedRunError("stop")

    with pytest.raises(InterruptedRunError, match="18 of about 40 frames are kept"):
        pipeline.run_deblur(config(pair, tmp_path / "out.mp4", None), report)
