"""Names in manifests and reports are data: in any table that a spreadsheet writes, and never an option."""

import csv
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from asled_cli.errors import InputError
from asled_cli.job.batch import run as batch
from asled_cli.job.batch.manifest import read_manifest
from asled_cli.job.batch.pairs import find_pairs
from asled_cli.job.batch.report import Outcome, write_report
from asled_cli.job.batch.run import run_batch
from asled_cli.job.config import DeblurConfig
from asled_cli.job.resume.command import resume_command
from asled_cli.runtime.printable import spreadsheet_cell
from asled_cli.video.output_file import default_output

TABLE = "wide,ultra,out\na b.mov,ü.mov,c.mp4\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_tables_of_spreadsheets_are_read(
    separator: str, encoding: str, line_end: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(TABLE.replace(",", separator).replace("\n", line_end).encode(encoding))
    (pair,) = read_manifest(path)
    assert (pair.wide.name, pair.ultra.name, pair.out) == ("a b.mov", "ü.mov", "c.mp4")


def test_spaces_around_a_name_count_where_a_file_has_them(tmp_path: Path) -> None:
    (tmp_path / " a.mov").touch()
    path = tmp_path / "jobs.csv"
    path.write_text("wide, ultra ,out\n a.mov, b.mov , c.mp4 \n")
    (pair,) = read_manifest(path)
    assert (pair.wide.name, pair.ultra.name, pair.out) == (" a.mov", "b.mov", "c.mp4")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"a.mov,b.mov\n", b"wide\nultra\n", TABLE.encode("utf-16-le"),
        b"\xff\xfe\x00\xd8\x00\x00",
        bytes(range(256)), b'wide,ultra\n"' + b"x" * 200_000,
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match="A manifest is a table whose first line is"):
        read_manifest(path)


def test_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "jobs.csv")
    with pytest.raises(InputError, match="not an ordinary file"):
        read_manifest(tmp_path / "jobs.csv")


def test_a_name_that_is_no_utf8_is_found_or_explained(tmp_path: Path) -> None:
    path, name = tmp_path / "jobs.csv", os.fsdecode(b"caf\xe9.mov")
    path.write_bytes(b"wide,ultra\ncaf\xe9.mov,u.mov\n")
    with pytest.raises(InputError, match="Save the table as UTF-8"):
        read_manifest(path)
    (tmp_path / name).touch()
    assert read_manifest(path)[0].wide == tmp_path / name


def test_composed_and_decomposed_accents_are_one_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (tmp_path / f"{composed}_wide.mov").touch()
    (tmp_path / f"{apart}_ultra.mov").touch()
    (pair,) = find_pairs(tmp_path)
    assert (pair.wide.name, pair.ultra.name) == (f"{composed}_wide.mov", f"{apart}_ultra.mov")
    path = tmp_path / "jobs.csv"
    path.write_text(f"wide,ultra\n{apart}_wide.mov,{composed}_ultra.mov\n", encoding="utf-8")
    (pair,) = read_manifest(path)
    assert pair.wide.exists() and pair.ultra.exists()
    path.write_text(
        f"wide,ultra,out\na.mov,u.mov,{apart}.mp4\nb.mov,u.mov,{composed}.mp4\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="two jobs would write"):
        read_manifest(path)


def test_a_name_from_a_manifest_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.csv").write_text("wide,ultra,out\n--help,-y,-z.mp4\n")
    calls: list[list[str]] = []

    def deblur(arguments: Sequence[str]) -> tuple[int, str]:
        calls.append(list(arguments))
        return 3, "missing"

    monkeypatch.setattr(batch, "_deblur", deblur)
    run_batch(read_manifest(Path("jobs.csv")), Path("out"))
    (arguments,) = calls
    assert arguments[-3:] == ["--", "--help", "-y"] and "--json" in arguments[:-3]


@pytest.mark.parametrize(
    "name", ["=1+2.mp4", "+1.mp4", "-1.mp4", "@SUM(A1).mp4", " =1.mp4", "\t=1.mp4", "\uff1d1.mp4"]
)
def test_no_cell_of_a_report_is_a_formula(name: str, tmp_path: Path) -> None:
    write_report(tmp_path, [Outcome(name, "u.mp4", "o.mp4", "failed", 3, 0.5, f"{name} is empty")])
    (row,) = csv.DictReader((tmp_path / "asled_batch.csv").read_text(encoding="utf-8").splitlines())
    assert row["wide"].startswith("'") and row["message"].startswith("'") and row["ultra"] == "u.mp4"


def test_a_report_holds_names_of_any_bytes(tmp_path: Path) -> None:
    write_report(tmp_path, [Outcome(os.fsdecode(b"caf\xe9.mp4"), "\x1b[2J", "o", "done")])
    assert "caf\\xe9.mp4,\\x1b[2J" in (tmp_path / "asled_batch.csv").read_text(encoding="utf-8")
    assert spreadsheet_cell(-5) == -5


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125, "🎬" * 62, os.fsdecode(b"\xe9" * 250)])
def test_the_usual_output_name_fits_the_disk(stem: str, tmp_path: Path) -> None:
    clip = tmp_path / f"{stem}.mp4"
    clip.touch()
    out = default_output(clip)
    out.touch()
    assert out != clip and out.suffix == ".mp4" and len(os.fsencode(out.name)) <= 255


@pytest.mark.parametrize(
    ("wide", "ending"),
    [
        ("walk.mp4", "deblur walk.mp4 u.mp4 --resume"),
        ("-x.mp4", "deblur --resume -- -x.mp4 u.mp4"),
        ("a\x1b.mp4", r"deblur $'a\x1b.mp4' u.mp4 --resume"),
        (os.fsdecode(b"caf\xe9'.mp4"), r"deblur $'caf\xe9\'.mp4' u.mp4 --resume"),
    ],
)
def test_the_command_to_resume_can_be_pasted(wide: str, ending: str) -> None:
    assert resume_command(DeblurConfig(Path(wide), Path("u.mp4"))) == f"asled {ending}"


def test_the_command_to_continue_names_switches_that_are_off() -> None:
    config = DeblurConfig(Path("w.mp4"), Path("u.mp4"), lens_order="given", skip_sharp=False, strict=True)
    switches = "--lens-order given --no-skip-sharp --strict"
    assert resume_command(config) == f"asled deblur w.mp4 u.mp4 {switches} --resume"
