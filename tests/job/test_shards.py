"""Shards of a batch: every pair is done once, and the joined report is that of one run."""

import json
import logging
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from asled_cli.cli.app import main
from asled_cli.errors import InputError, UsageError
from asled_cli.job.batch import run as batch
from asled_cli.job.batch.pairs import BatchPair
from asled_cli.job.batch.report import REPORT, Outcome
from asled_cli.job.batch.run import run_batch
from asled_cli.job.batch.shards import Shard, merge_reports, read_shard, read_shards, write_shard
from asled_cli.job.batch.versions import versions

TAKES = 24


def takes(folder: Path, count: int = TAKES) -> list[BatchPair]:
    return [BatchPair(folder / f"{i}.mov", folder / "u.mov", f"take_{i}.mp4") for i in range(count)]


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-in for the processes: take 7 fails, the others write their name."""
    done: list[str] = []

    def deblur(arguments: list[str]) -> tuple[int, str]:
        out = Path(arguments[arguments.index("-o") + 1])
        done.append(out.name)
        if out.name == "take_7.mp4":
            return 3, "7.mov is empty (0 bytes)."
        out.write_text(out.name)
        return 0, ""

    monkeypatch.setattr(batch, "_deblur", deblur)
    return done


def report(folder: Path, suffix: str = "json") -> str:
    """Return a report without its folder, and with jobs that took no time whatever else the machine does."""
    text = (folder / f"{REPORT}.{suffix}").read_text().replace(str(folder), "OUT")
    return re.sub(r"\b0\.\d\b", "0.0", text)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "-1/3", "1", "a/b", "1/2/3", "", "1/1000000", "½/3"])
def test_a_shard_out_of_range_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--shard is .*, expected I/N with I from 1 to N"):
        read_shard(text)
    assert main(["batch", str(tmp_path), "-o", str(tmp_path), "--shard", text]) == 2


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_every_pair_is_in_one_shard_whatever_the_order(count: int, tmp_path: Path) -> None:
    pairs = takes(tmp_path, 60)
    shards = [Shard(number, count).pick(pairs[::-1]) for number in range(1, count + 1)]
    assert sorted(p.out for shard in shards for p in shard) == sorted(p.out for p in pairs)
    assert [p for p in pairs if p in Shard(1, count).pick(pairs)] == Shard(1, count).pick(pairs)
    if count <= 3:
        assert all(len(shard) >= 60 // count // 2 for shard in shards)  # about even


def test_a_name_is_in_the_same_shard_however_its_accents_are_composed(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "P\u00e4rchen_\u00e9.mov") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    places = [
        [bool(Shard(i, 50).pick([BatchPair(tmp_path, None, name)])) for i in range(1, 51)] for name in forms
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("how", ["merge", "last call"])
def test_three_shards_give_the_report_of_one_run(how: str, tmp_path: Path, jobs: list[str]) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    expected = run_batch(takes(tmp_path), one)
    del jobs[:]
    for number in (3, 1, 2):
        run_batch(takes(tmp_path), out, shard=Shard(number, 3), versions=versions("swap"))
    assert sorted(jobs) == sorted(pair.out for pair in takes(tmp_path))
    found = merge_reports(takes(tmp_path), out) if how == "merge" else run_batch(takes(tmp_path), out)
    assert [row.status for row in found] == [row.status for row in expected]
    assert report(out) == report(one) and report(out, "csv") == report(one, "csv")
    assert len(jobs) == TAKES + (how == "last call")  # what failed is tried once more


def test_a_pair_that_no_shard_reports_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: list[str]
) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("wide,ultra\n" + "".join(f"{name}.mov,u.mov\n" for name in "abcdef"))
    call = ["batch", str(table), "-o", str(tmp_path / "out"), "--json"]
    assert main([*call, "--merge"]) == 3
    assert "has no report of a shard" in capsys.readouterr().err
    assert main([*call, "--shard", "1/2", "--list"]) == 0
    first = [json.loads(line)["out"] for line in capsys.readouterr().out.splitlines()]
    assert 0 < len(first) < 6 and jobs == []
    assert main([*call, "--shard", "1/2"]) == 0
    assert jobs == first
    capsys.readouterr()
    assert main([*call, "--merge"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["message"] for row in rows if row["status"] == "failed"} == {
        "No shard has reported this pair yet."
    }
    assert [row["status"] == "done" for row in rows] == [
        Path(row["out"]).name in first for row in rows
    ]  # fmt: skip
    assert main([*call, "--merge", "--shard", "1/2"]) == 2


def test_an_empty_shard_has_a_report_too(tmp_path: Path) -> None:
    pairs = takes(tmp_path, 1)
    (empty,) = [i for i in (1, 2) if not Shard(i, 2).pick(pairs)]
    assert run_batch(pairs, tmp_path, shard=Shard(empty, 2)) == []
    assert json.loads(Shard(empty, 2).report(tmp_path).read_text())["rows"] == {}


def test_shards_of_other_versions_or_weights_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = {"asled": "1.0", "the SHA-256 of the weights": "aa"}
    for number, changes in ((1, {}), (2, {"the SHA-256 of the weights": "bb"})):
        run_batch(takes(tmp_path), tmp_path, shard=Shard(number, 2), versions={**ours, **changes})
    with caplog.at_level(logging.WARNING):
        found = merge_reports(takes(tmp_path), tmp_path)
    assert len(found) == TAKES
    (said,) = caplog.messages
    assert said.startswith(
        "the shards differ in the SHA-256 of the weights: aa (asled_batch.shard-1-of-2.json)"
    )


def test_a_damaged_report_of_a_shard_is_named_and_stops_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_batch(takes(tmp_path), tmp_path, shard=Shard(1, 2))
    path = Shard(2, 2).report(tmp_path)
    path.write_text('{"rows": [')
    with pytest.raises(InputError, match="is damaged, or is not the report of a shard"):
        merge_reports(takes(tmp_path), tmp_path)
    with pytest.raises(InputError, match="is damaged"):
        run_batch(takes(tmp_path), tmp_path, shard=Shard(2, 2))
    assert path.read_text() == '{"rows": ['
    path.write_text("")  # as a full disk leaves it
    run_batch(takes(tmp_path), tmp_path, shard=Shard(2, 2))
    path.write_text("[]")
    assert len(run_batch(takes(tmp_path), tmp_path)) == TAKES
    assert any("is damaged" in said for said in caplog.messages)


def test_of_two_reports_the_one_that_did_the_work_counts(tmp_path: Path) -> None:
    """A machine that was started again finds its results and reports that they exist."""
    pairs = takes(tmp_path, 6)
    for _ in range(2):
        run_batch(pairs, tmp_path, shard=Shard(1, 1))
    assert [row.status for row in merge_reports(pairs, tmp_path)] == ["done"] * 6


def test_an_input_of_another_shard_is_not_overwritten(tmp_path: Path) -> None:
    first, second = takes(tmp_path, 2)
    second.wide.write_text("a clip")
    first = replace(first, out=second.wide.name)
    (number,) = [i for i in (1, 2) if first in Shard(i, 2).pick([first])]
    with pytest.raises(UsageError, match="is an input of this batch"):
        run_batch([first, second], tmp_path, overwrite=True, shard=Shard(number, 2))


def test_an_outcome_survives_the_report(tmp_path: Path) -> None:
    """A name that is no UTF-8 too."""
    row = Outcome("w", "", "o", "done", 0, 1.5)
    pair = BatchPair(tmp_path / "w", None, "caf\udce9.mp4")
    write_shard(tmp_path, Shard(1, 1), {}, [(pair, row)])
    (found,) = read_shards(tmp_path, pytest.fail)
    assert found.rows == {"caf\udce9.mp4": row}
