"""A disk that takes no more, or a right that is withdrawn, in mid-run: one sentence, and nothing is lost.

Stand-ins that need no rights of their own: a limit on the size of files, as a quota is one, and folders that
may not be written. `benchmarks/broken_disk.py` does the same on a real file system that is full.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories.small_pair import Pair, known_registration, make_pair

from asled_cli import pipeline
from asled_cli.errors import AsledError
from asled_cli.job.config import DeblurConfig
from asled_cli.job.records import Event
from asled_cli.progress import Progress
from asled_cli.video.encode.encoder import EncodeConfig
from asled_cli.video.output_file import work_folder

resource = pytest.importorskip("resource", reason="POSIX limits")
FRAMES, SEGMENT = 24, 12
# Largest file so that writing fails there, in bytes, and the frames kept then; None: nothing to keep.
# The journal begins with 1.5 kB, the registration takes 100 kB, a segment 170 kB, the movie 340 kB.
LARGEST = {
    "journal": (300, None),
    "registration": (20_000, None),
    "segment": (120_000, 0),
    "movie": (250_000, FRAMES),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), FRAMES)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = pipeline.Steps(
        analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: SEGMENT
    )
    monkeypatch.setattr(pipeline, "STEPS", steps)


@pytest.fixture(scope="module")
def whole(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "out.mov"
    with pytest.MonkeyPatch.context() as patch:
        steps = pipeline.Steps(
            analyse=lambda runs, prior: known_registration(), segment_length=lambda clip: SEGMENT
        )
        patch.setattr(pipeline, "STEPS", steps)
        pipeline.run_deblur(config(pair, out))
    return out.read_bytes()


def config(pair: Pair, out: Path, **changes: Any) -> DeblurConfig:
    encode = EncodeConfig(crf=0, preset="ultrafast", options={"g": "1"})  # large files
    job = DeblurConfig(
        pair.wide, pair.ultra, out=out, method="swap", lens_order="given", skip_sharp=False, encode=encode
    )
    return replace(job, offset_s=0.0, **changes)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of a file fails, whoever makes it: ours, FFmpeg's, or the journal's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# What is written first to what is written last.
@pytest.mark.parametrize("refused", LARGEST)
def test_a_limit_on_files_costs_no_finished_work(
    refused: str, pair: Pair, whole: bytes, tmp_path: Path
) -> None:
    job = config(pair, tmp_path / "out.mov")
    size, kept = LARGEST[refused]
    with pytest.raises(AsledError) as caught, largest_file(size):
        pipeline.run_deblur(job)
    assert re.search(r"cannot be written: File too large\.$", caught.value.message)
    assert not job.out.exists()
    if kept is None:  # nothing was done: nothing is left, and nothing is promised
        assert list(tmp_path.iterdir()) == [] and not caught.value.hint
        return
    assert f"{kept} of about {FRAMES} frames are kept" in caught.value.hint
    assert pipeline.run_deblur(replace(job, resume=True)).frames_written == FRAMES
    assert job.out.read_bytes() == whole and not work_folder(job.out).exists()


@pytest.mark.parametrize("right", ["folder", "work folder"])
def test_a_right_withdrawn_in_mid_run(
    right: str, pair: Pair, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, whom no right stops, a stand-in refuses to make files there."""
    place = tmp_path / "place"
    place.mkdir()
    job = config(pair, place / "out.mov")
    closed = place if right == "folder" else work_folder(job.out)
    mode = 0o555 if right == "folder" else 0o500
    opened, replaced, linked = os.open, Path.replace, os.link

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if os.geteuid() == 0 and flags & os.O_CREAT and Path(path).parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *rest, **more)

    def refuse_to_move(path: Path, target: Path) -> Path:
        if os.geteuid() == 0 and target.parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return replaced(path, target)

    def refuse_to_link(path: Path, target: Path) -> None:
        if os.geteuid() == 0 and target.parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        linked(path, target)

    def withdraw(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "deblur" and event.done == 3:
            closed.chmod(mode)
            patch.setattr(os, "open", refuse)
            patch.setattr(Path, "replace", refuse_to_move)
            patch.setattr(os, "link", refuse_to_link)

    with monkeypatch.context() as patch, pytest.raises(AsledError, match="Permission denied") as caught:
        pipeline.run_deblur(job, withdraw)
    closed.chmod(0o700)
    kept = FRAMES if right == "folder" else SEGMENT
    assert f"{kept} of about {FRAMES} frames are kept" in caught.value.hint
    assert not job.out.exists()
    assert pipeline.run_deblur(replace(job, resume=True)).frames_written == FRAMES
    assert job.out.read_bytes() == whole
