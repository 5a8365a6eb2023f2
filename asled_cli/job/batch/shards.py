"""Shards of a batch: which pairs one machine of several does, and how their reports are joined.

A shard is found from the names of the results alone, so machines that see the same list need not talk.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from asled_cli.errors import InputError, UsageError
from asled_cli.job.batch.pairs import BatchPair, composed
from asled_cli.job.batch.report import REPORT, Outcome, check_report, replace_text, write_report
from asled_cli.runtime.option_limits import MAX_SHARDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of a batch. number: from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def pick(self, pairs: Sequence[BatchPair]) -> list[BatchPair]:
        """Return the pairs of this shard: each pair is in one shard, by the hash of its result's name."""
        return [pair for pair in pairs if _hash(pair.out) % self.count == self.number - 1]

    def report(self, folder: Path) -> Path:
        """Return the file with this shard's report."""
        return folder / f"{REPORT}.shard-{self.number}-of-{self.count}.json"


def read_shard(text: str) -> Shard:
    """Return the shard that I/N names. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count <= MAX_SHARDS:
        raise UsageError(
            f"--shard is {text!r}, expected I/N with I from 1 to N and N up to {MAX_SHARDS:,}.",
            "The second of three machines takes --shard 2/3.",
        )
    return Shard(number, count)


def _hash(out: str) -> int:
    return int.from_bytes(hashlib.sha256(composed(out).encode("utf-8", "surrogateescape")).digest()[:8])


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one shard wrote. versions: of what decides about frames. rows: by the name of the result."""

    path: Path
    versions: dict[str, str]
    rows: dict[str, Outcome]


def write_shard(
    folder: Path, shard: Shard, versions: Mapping[str, str], rows: Sequence[tuple[BatchPair, Outcome]]
) -> None:
    """Write the report of a shard in one step. Raises AsledError if it cannot be written."""
    content = {
        "shard": str(shard),
        "versions": dict(versions),
        "rows": {pair.out: asdict(outcome) for pair, outcome in rows},
    }
    replace_text(shard.report(folder), json.dumps(content, indent=1) + "\n")


def read_shards(folder: Path, damaged: Callable[[InputError], None]) -> list[ShardReport]:
    """Return the reports of all shards in `folder`, the oldest first. damaged: called for one that is not."""
    reports = []
    for path in sorted(folder.glob(f"{REPORT}.shard-*-of-*.json"), key=_age):
        try:
            reports.append(_read(path))
        except InputError as error:
            damaged(error)
    return reports


def _age(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name


def _read(path: Path) -> ShardReport:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = {str(out): Outcome(**row) for out, row in found["rows"].items()}
        return ShardReport(path, {str(k): str(v) for k, v in found["versions"].items()}, rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged, or is not the report of a shard.",
            "Remove it, and run that shard again; finished results are kept.",
        ) from error


def check_shard(folder: Path, shard: Shard) -> None:
    """Raise InputError if another file has the place of this shard's report."""
    path = shard.report(folder)
    if path.exists() and path.stat().st_size:  # empty after a full disk
        _read(path)


def known_outcomes(reports: Sequence[ShardReport]) -> dict[str, Outcome]:
    """Return the outcome of each result by its name: of work that was done, else the latest one."""
    known: dict[str, Outcome] = {}
    for report in reports:
        for out, row in report.rows.items():
            if row.status == "done" or out not in known or known[out].status == "failed":
                known[out] = row
    return known


def merge_reports(pairs: Sequence[BatchPair], folder: Path, overwrite: bool = False) -> list[Outcome]:
    """Write one report of what the shards report, in the order of `pairs`, and return it.

    A pair that no shard reports has failed, unless its result is there. Raises InputError if there is no
    report, or one is damaged.
    """
    check_report(folder, overwrite)
    reports = read_shards(folder, _refuse)
    if not reports:
        raise InputError(
            f"{folder} has no report of a shard.",
            "Run the shards first, each with --shard I/N and this --out.",
        )
    warn_of_differences(reports)
    known = known_outcomes(reports)
    outcomes = [known.get(pair.out) or _unreported(pair, folder) for pair in pairs]
    write_report(folder, outcomes)
    return outcomes


def _refuse(error: InputError) -> None:
    raise error


def warn_of_differences(reports: Sequence[ShardReport]) -> None:
    """Warn if shards ran with versions or weights that differ, so their results may differ too."""
    names = sorted({name for report in reports for name in report.versions})
    for name in names:
        found = {report.versions.get(name, "unknown"): report.path.name for report in reports}
        if len(found) > 1:
            said = ", ".join(f"{value} ({path})" for value, path in sorted(found.items()))
            log.warning("the shards differ in %s: %s; their results may differ in quality", name, said)


def _unreported(pair: BatchPair, folder: Path) -> Outcome:
    names = str(pair.wide), str(pair.ultra or ""), str(folder / pair.out)
    if (folder / pair.out).exists():
        return Outcome(*names, status="exists")
    return Outcome(*names, status="failed", exit_code=1, message="No shard has reported this pair yet.")
