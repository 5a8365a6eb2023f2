"""The jobs in a folder and the folders inside it: each inner folder is a take, its result is named by it."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asled_cli.errors import AsledError, InputError
from asled_cli.job.batch.composite import is_composite
from asled_cli.job.batch.pairs import BatchPair, check_names, output_name, pair_folder
from asled_cli.job.batch.report import REPORT
from asled_cli.job.batch.sidecar import read_sidecar

MAX_DEPTH = 4  # folders inside folders

log = logging.getLogger(__name__)

COMPOSITE = "a picture-in-picture composite of two cameras holds no second view of the same scene"
LONE = "no second clip of the same moment was found; --method single deblurs it alone"


def find_takes(folder: Path, results: Path | None = None, *, strict: bool = False) -> list[BatchPair]:
    """Return the jobs of a folder and of the takes in it, then what is left out and why.

    results: the folder of the results, which is not searched. Links to folders are not followed.
    strict: a sidecar that contradicts its clips refuses them; else it is warned of, and not used.
    Raises InputError if there is no job, or if two jobs would write one file.
    """
    jobs: list[BatchPair] = []
    left: list[BatchPair] = []
    for place in _folders(folder, results):
        pairs, alone = pair_folder(place, is_take=place != folder)
        prefix = "_".join(place.relative_to(folder).parts)
        pairs = [_named(pair, prefix, single=len(pairs) == 1) for pair in pairs]
        jobs += [_with_sidecar(pair, strict=strict) for pair in pairs]
        left += [_left_out(path, prefix) for path in alone]
    if left:
        names = ", ".join(str(pair.wide.relative_to(folder)) for pair in left)
        log.warning("without a partner, and left out: %s", names)
    return check_names(folder, jobs) and check_names(folder, [*jobs, *left])


def _folders(folder: Path, results: Path | None) -> Iterator[Path]:
    """Yield the folder and those inside it, but for hidden ones and the results of a batch."""
    for place, inner, _ in os.walk(folder):
        path = Path(place)
        depth = len(path.relative_to(folder).parts)
        inner[:] = [] if depth >= MAX_DEPTH else sorted(name for name in inner if not name.startswith("."))
        inner[:] = [name for name in inner if not _holds_results(path / name, results)]
        yield path


def _holds_results(path: Path, results: Path | None) -> bool:
    same = results is not None and results.exists() and results.samefile(path)
    return same or (path / f"{REPORT}.json").exists()


def _named(pair: BatchPair, prefix: str, *, single: bool) -> BatchPair:
    """Return the pair of a take with the take's name in that of its result."""
    if not prefix:
        return pair
    if single:
        return replace(pair, out=output_name(pair.wide.with_name(prefix + pair.wide.suffix)))
    return replace(pair, out=f"{prefix}_{pair.out}")


def _with_sidecar(pair: BatchPair, *, strict: bool) -> BatchPair:
    if pair.ultra is None or pair.ultra == pair.wide:
        return pair
    try:
        return replace(pair, settings=read_sidecar(pair.wide, pair.ultra))
    except InputError as error:
        if strict:
            return replace(pair, refused=str(error))
        log.warning("%s It is not used.", error.message)
        return pair


def _left_out(path: Path, prefix: str) -> BatchPair:
    try:
        why = COMPOSITE if is_composite(path) else LONE
    except AsledError as error:
        why = error.message
    name = output_name(path)
    return BatchPair(path, None, f"{prefix}_{name}" if prefix else name, left_out=why)
