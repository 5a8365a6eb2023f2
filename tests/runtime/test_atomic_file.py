"""Files appear complete and in one step; what others wrote is never replaced unless that is asked for."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from asled_cli.errors import AsledError, UsageError
from asled_cli.runtime.atomic_file import explain_full_disk, publish, replace_file, write_file
from asled_cli.runtime.own_files import OwnFiles


@pytest.fixture(params=["hard links", "no hard links"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a disk with hard links, and on one without, such as FAT."""
    if request.param == "no hard links":

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(Path, "chmod", refuse)
    return tmp_path


def test_a_new_file_gets_its_name_and_no_other(disk: Path) -> None:
    write_file(disk / "new.txt", lambda part: part.write_text("new"), overwrite=False)
    assert (disk / "new.txt").read_text() == "new"
    assert [path.name for path in disk.iterdir()] == ["new.txt"]


def test_an_existing_name_is_refused_and_both_files_stay(disk: Path) -> None:
    (disk / "part").write_text("mine")
    (disk / "out").write_text("another's")
    with pytest.raises(FileExistsError):
        publish(disk / "part", disk / "out")
    assert [(disk / name).read_text() for name in ("part", "out")] == ["mine", "another's"]
    publish(disk / "part", disk / "out", True)
    assert (disk / "out").read_text() == "mine" and not (disk / "part").exists()


def test_a_link_is_followed(disk: Path) -> None:
    (disk / "link").symlink_to(disk / "named")
    write_file(disk / "link", lambda part: part.write_text("1"), overwrite=False)
    with pytest.raises(FileExistsError):
        write_file(disk / "link", lambda part: part.write_text("2"), overwrite=False)
    assert (disk / "link").is_symlink() and (disk / "named").read_text() == "1"


def test_a_name_that_is_taken_in_the_last_moment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links an empty file holds the name; another program fills it before ours is there."""
    out, part = tmp_path / "out", tmp_path / "part"
    part.write_text("mine")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    plain = os.fstat

    def fill(handle: int) -> os.stat_result:
        found = plain(handle)
        if out.exists():
            out.write_text("another's")
        return found

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "fstat", fill)
    with pytest.raises(FileExistsError):
        publish(part, out)
    assert out.read_text() == "another's" and part.read_text() == "mine"


def test_a_failed_write_leaves_nothing(disk: Path) -> None:
    def full(part: Path) -> None:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (disk / "out").write_text("old")
    with pytest.raises(OSError, match="No space"):
        replace_file(disk / "out", full)
    assert (disk / "out").read_text() == "old" and [p.name for p in disk.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_only_a_full_disk_is_called_full(number: int, tmp_path: Path) -> None:
    with pytest.raises(AsledError) as caught, explain_full_disk(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "out") in caught.value.message and os.strerror(number) in caught.value.message
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert (f"Make room on the disk of {tmp_path}" in caught.value.hint) == full


def own(folder: Path, **more: Any) -> OwnFiles:
    return OwnFiles(folder, folder / "notes.json", **more)


def test_only_what_was_written_and_not_edited_since_is_replaced(tmp_path: Path) -> None:
    own(tmp_path).write("a/report.md", lambda part: part.write_text("1"))
    own(tmp_path).write("a/report.md", lambda part: part.write_text("2"))
    (tmp_path / "a/report.md").write_text("2, and a note of mine")
    for files in (own(tmp_path), OwnFiles(tmp_path, tmp_path / "lost.json")):
        with pytest.raises(UsageError, match="asled did not write it"):
            files.write("a/report.md", lambda part: part.write_text("3"))
    assert (tmp_path / "a/report.md").read_text() == "2, and a note of mine"
    own(tmp_path, overwrite=True).write("a/report.md", lambda part: part.write_text("3"))
    assert (tmp_path / "a/report.md").read_text() == "3"


def test_a_folder_with_anything_else_in_it_is_not_replaced(tmp_path: Path) -> None:
    def make(text: str) -> Path:
        part = tmp_path / ".part"
        part.mkdir()
        (part / "0000.png").write_text(text)
        return part

    own(tmp_path).publish_folder(make("1"), "clip")
    own(tmp_path).publish_folder(make("2"), "clip")
    assert (tmp_path / "clip/0000.png").read_text() == "2"
    (tmp_path / "clip/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="asled did not write it"):
        own(tmp_path).publish_folder(make("3"), "clip")
    assert {path.name for path in (tmp_path / "clip").iterdir()} == {"0000.png", "notes.txt"}
