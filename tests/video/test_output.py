"""The output file appears complete or not at all."""

import errno
import os
import stat
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from factories.clips import (
    phone_ticks,
)

from asled_cli.errors import AsledError, UsageError
from asled_cli.video.decode.probe import probe_clip
from asled_cli.video.decode.reader import ClipReader, frame_times
from asled_cli.video.encode.writer import ClipWriter, EncodeConfig, check_output
from asled_cli.video.frames import Clip

TICKS = phone_ticks(16)
FAST = EncodeConfig(preset="ultrafast")


def copy(
    clip: Clip, out: Path, config: EncodeConfig = FAST, change: np.ndarray | None = None, **cut: Fraction
) -> tuple[Clip, list[str]]:
    """Read the clip and write it again; the new clip and what was dropped."""
    with ClipReader(clip, **cut) as frames, ClipWriter(clip, out, config, **cut) as writer:
        for frame in frames:
            writer.write(frame, change)
    return probe_clip(out), writer.dropped


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".part-" in path.name]


def test_output_that_must_not_be_written(sdr_clip: Path, tmp_path: Path) -> None:
    existing = tmp_path / "old.mov"
    existing.write_bytes(b"old")
    link = tmp_path / "link.mov"
    link.symlink_to(sdr_clip)
    cases = [
        (existing, "exists already"),
        (sdr_clip, "is an input too"),
        (link, "is an input too"),
        (sdr_clip.parent / ".." / sdr_clip.parent.name / sdr_clip.name, "is an input too"),
        (tmp_path / "nowhere" / "a.mov", "does not exist"),
        (tmp_path / "a.avi", "has '.avi', expected one of"),
        (tmp_path / "a", "has no ending"),
    ]
    for out, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            check_output(out, [sdr_clip], overwrite=False)
    with pytest.raises(UsageError, match="is an input too"):
        check_output(sdr_clip, [sdr_clip], overwrite=True)
    (tmp_path / "folder.mov").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path / "folder.mov", [sdr_clip], overwrite=True)
    check_output(existing, [sdr_clip], overwrite=True)
    check_output(tmp_path / "new.mov", [sdr_clip], overwrite=False)


def test_folder_that_cannot_be_written(
    sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="permission denied"):
        check_output(tmp_path / "a.mov", [sdr_clip], overwrite=False)


def test_file_is_private_until_it_is_complete(sdr_clip: Path, tmp_path: Path) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    with ClipReader(clip) as frames, ClipWriter(clip, out, FAST) as writer:
        for frame in frames:
            writer.write(frame, None)
            (part,) = tmp_path.iterdir()
            assert part.name.startswith(".out.mov.part-")
            assert stat.S_IMODE(part.stat().st_mode) == 0o700
            assert {stat.S_IMODE(file.stat().st_mode) for file in part.iterdir()} <= {0o600}
    umask = os.umask(0)
    os.umask(umask)
    assert list(tmp_path.iterdir()) == [out]
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask
    assert writer.frames_written == len(TICKS)


class DeliberateError(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 7])
def test_exception_leaves_the_old_file(sdr_clip: Path, tmp_path: Path, after: int) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    out.write_bytes(b"precious")
    with (
        pytest.raises(DeliberateError),
        ClipReader(clip) as frames,
        ClipWriter(clip, out, replace(FAST, overwrite=True)) as writer,
    ):
        for frame, _ in zip(frames, range(after), strict=False):
            writer.write(frame, None)
        raise DeliberateError
    assert out.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [out]
    writer.abort()
    writer.close()
    assert list(tmp_path.iterdir()) == [out]


def test_overwriting_replaces_and_closing_twice_is_harmless(sdr_clip: Path, tmp_path: Path) -> None:
    clip, out = probe_clip(sdr_clip), tmp_path / "out.mov"
    out.write_bytes(b"old")
    with ClipReader(clip) as frames, ClipWriter(clip, out, replace(FAST, overwrite=True)) as writer:
        for frame in frames:
            writer.write(frame, None)
        writer.close()
        writer.close()
    writer.abort()
    assert len(frame_times(probe_clip(out))) == len(TICKS) and leftovers(tmp_path) == []


def test_full_disk_is_told(sdr_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    clip = probe_clip(sdr_clip)
    no_space = pytest.raises(AsledError, match="No space left on device")
    with no_space, ClipReader(clip) as frames, ClipWriter(clip, tmp_path / "out.mov", FAST) as writer:
        for frame in frames:
            writer.write(frame, None)
            monkeypatch.setattr("asled_cli.video.encode.segments.PacketFile.add", full)
    assert list(tmp_path.iterdir()) == []


def test_order_of_frames_is_enforced(sdr_clip: Path, tmp_path: Path) -> None:
    clip = probe_clip(sdr_clip)
    late = pytest.raises(ValueError, match="follows one at tick")
    with ClipReader(clip) as frames, late, ClipWriter(clip, tmp_path / "out.mov", FAST) as writer:
        frame = next(frames)
        writer.write(frame, None)
        writer.write(frame, None)


def test_last_frame_of_a_cut_off_clip_does_not_freeze(sdr_clip: Path, tmp_path: Path) -> None:
    clip = replace(probe_clip(sdr_clip), duration_s=Fraction(60), index_complete=False)
    out, _ = copy(clip, tmp_path / "out.mov")
    assert out.duration_s is not None and out.duration_s < 1
