"""Scores of clips by the workers of a cluster: what goes there, and what comes back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asled_cli.job.resume.fingerprint import versions_of_programs
from asled_cli.job.resume.machine import check_machine
from asled_cli.lab.scoring.by_name import score_by_name
from asled_cli.lab.scoring.clip_scores import ClipScores, code_fingerprint
from asled_cli.lab.scoring.clips import split_pair
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import Model
from asled_cli.runtime.atomic_file import explain_full_disk, replace_file
from asled_cli.runtime.device import explain_out_of_memory, resolve_device
from asled_cli.runtime.processes import one_thread
from asled_cli.runtime.workers.local import Workers
from asled_cli.runtime.workers.many import each_result
from asled_cli.zoo import checkpoint as weights

SEEN = ".asled-driver.json"  # in the cache, by which workers know that they see it


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """All that a worker must know. Paths are absolute, on a disk that driver and workers share.

    seen: a file in the cache; None without one. versions: of the driver's programs and weights.
    """

    config: EvalConfig
    models: Sequence[Model]
    seen: Path | None
    versions: Mapping[str, str]


def score_on_cluster(
    workers: Callable[[], Workers], config: EvalConfig, models: Sequence[Model], names: Sequence[str],
    check: Callable[[], None],
) -> Iterator[tuple[str, tuple[list[ClipScores], dict[str, str]]]]:  # fmt: skip
    """Yield (name, (scores, keys)) of each clip in the order in which clips finish, as `score_by_name`.

    config: with paths as `absolute` gives them. A clip that fails does not stop the others; an AsledError
    tells of it in the end.
    """
    models = [m if m.path is None else replace(m, path=m.path.absolute()) for m in models]
    versions = _versions(models, code_fingerprint())
    cache = config.cache_folder
    task = ScoreTask(config, models, None if cache is None else _mark(cache, versions), versions)
    yield from each_result(workers, score_task, {name: (task, name) for name in names}, check)


def score_task(task: ScoreTask, name: str, place: object = None) -> tuple[list[ClipScores], dict[str, str]]:
    """Score one clip in a worker. Raises an AsledError where this machine is unfit."""
    code = code_fingerprint()
    check_machine(task.seen, task.versions, _versions(task.models, code))
    config = replace(task.config, device=str(resolve_device(task.config.device)))
    with one_thread(), explain_out_of_memory():
        return score_by_name(config, list(task.models), name, code)


def _versions(models: Sequence[Model], code: str) -> dict[str, str]:
    """Return what decides about scores on this machine."""
    hashes = {
        f"the SHA-256 of the weights of {model.name}": weights.hash_file(model.path)
        if model.path.is_file()
        else "none"
        for model in models
        if model.path is not None
    }
    return {**versions_of_programs(), "the program's code": code, **hashes}


def absolute(config: EvalConfig) -> EvalConfig:
    """Return the settings with paths that hold in any working folder."""
    pairs = tuple(
        ":".join(str(Path(part).absolute()) for part in split_pair(pair) if part is not None)
        for pair in config.pairs
    )
    return replace(
        config,
        pairs=pairs,
        root=_full(config.root),
        weights=_full(config.weights),
        metric_weights=_full(config.metric_weights),
        out=_full(config.out),
        cache=_full(config.cache),
    )


def _full(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _mark(folder: Path, versions: Mapping[str, str]) -> Path:
    """Write the file by which workers know that they see the cache."""
    path, text = folder / SEEN, json.dumps(dict(versions), indent=1)
    with explain_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path
