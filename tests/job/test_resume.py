"""A job that was broken off goes on to the very file that an uninterrupted one writes."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.errors import AsledError, InputError, InterruptedRunError, UsageError
from asled_cli.job.blur_plan import PAST_S, Roles
from asled_cli.job.blur_plan import Segment as Stretch
from asled_cli.job.plan import make_plan
from asled_cli.job.records import DeblurConfig, DeblurResult, Event, JobReport
from asled_cli.job.resume.journal import FILE, Journal
from asled_cli.nets.asled_fast.network import AsledFast, AsledFastConfig
from asled_cli.progress import Progress, ignore
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.output_file import work_folder
from asled_cli.zoo import checkpoint as weights

FRAMES, SEGMENT = 40, 6


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), FRAMES)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network whose memory matters for every pixel."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    config = AsledFastConfig(fine_channels=8, coarse_channels=8, decoder_blocks=1, forward_blocks=1)
    module = AsledFast(config)
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.08)
    weights.save(path, "asled-fast", module)
    return path


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Six frames each, a known registration, one thread: small pictures are faster so."""
    monkeypatch.setattr(pipeline, "segment_length", lambda clip: SEGMENT)
    monkeypatch.setattr(pipeline, "analyse", lambda runs, prior: known_registration())
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


@pytest.mark.parametrize("kind", ["swap", "network", "tiles"])
def test_the_same_file_however_often_it_was_broken_off(
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
    monkeypatch.setattr(pipeline, "find_roles", lambda *_: Roles((), (sharp, blurred)))
    expected = pipeline.run_deblur(config(pair, tmp_path / "whole.mp4", None))
    job = config(pair, tmp_path / "out.mp4", None)
    with pytest.raises(DeliberateError):
        pipeline.run_deblur(job, stop_at(15))
    found = resume(job)
    assert 0 < found.frames_passed < 12  # all of them before the break
    for name in ("frames_written", "frames_changed", "frames_passed", "frames_without_reference"):
        assert getattr(found, name) == getattr(expected, name)


def test_broken_off_while_joining_only_joins_again(
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
    monkeypatch.setattr(
        "asled_cli.restoration.network.SwapRestorer.push", fail
    )  # nothing is to be done again
    result = resume(job)
    assert result.frames_written == FRAMES
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_broken_off_after_publishing_is_finished(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder = config(pair, tmp_path / "out.mp4", None), work_folder(tmp_path / "out.mp4")
    with monkeypatch.context() as killed:  # a killed process tidies nothing up
        killed.setattr("asled_cli.job.resume.journal.shutil.rmtree", lambda *_, **__: None)
        pipeline.run_deblur(job)
    before = (tmp_path / "out.mp4").read_bytes()
    assert folder.is_dir()
    assert resume(job).frames_written == FRAMES
    assert (tmp_path / "out.mp4").read_bytes() == before and not folder.exists()


def test_resume_without_unfinished_work_says_so(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no unfinished work .* to resume"):
        resume(config(pair, tmp_path / "out.mp4", None))
    assert list(tmp_path.iterdir()) == []


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


def test_overwrite_begins_anew(unfinished: DeblurConfig) -> None:
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


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")
def test_the_folder_is_private_and_a_foreign_one_is_refused(unfinished: DeblurConfig, tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "out.mp4")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="not a private folder"):
        resume(unfinished)


def test_two_runs_on_one_output_are_kept_apart(unfinished: DeblurConfig) -> None:

    with (
        Journal.open(make_plan(replace(unfinished, resume=True))),
        pytest.raises(UsageError, match="Another run"),
    ):
        resume(unfinished)


def test_an_error_tells_how_to_go_on(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("broken")

    monkeypatch.setattr("asled_cli.restoration.network.SwapRestorer.flush", fail)
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
