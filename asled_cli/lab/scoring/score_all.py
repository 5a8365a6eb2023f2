"""Scoring of all clips by all models, several clips at once, with cached scores where they exist."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace

import cv2
import torch

from asled_cli.lab.scoring.by_name import score_by_name
from asled_cli.lab.scoring.clip_scores import ClipScores, code_fingerprint
from asled_cli.lab.scoring.clips import clip_names
from asled_cli.lab.scoring.cluster import absolute, score_on_cluster
from asled_cli.lab.scoring.config import EvalConfig
from asled_cli.lab.scoring.methods import Model, check_loadable, find_models
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.device import explain_out_of_memory, resolve_device
from asled_cli.runtime.processes import one_thread
from asled_cli.runtime.signals import StopFlag
from asled_cli.runtime.workers.local import Workers
from asled_cli.runtime.workers.many import finished


@dataclass(frozen=True)
class Evaluation:
    """Result of a run. scores: clips in their order, models in theirs."""

    config: EvalConfig
    models: list[Model]
    scores: list[ClipScores]
    keys: dict[tuple[str, str], str]


def evaluate(
    config: EvalConfig, report: Report = ignore, cluster: Callable[[], Workers] | None = None
) -> Evaluation:
    """Score every clip by every model. cluster: connects to workers that do it instead of this machine.

    Results depend neither on the number of workers nor on the cache: each clip is scored on its own, on one
    thread. Raises an AsledError for the user. Scores of finished clips stay in the cache.
    """
    models = find_models(config)
    check_loadable(models)
    if cluster is not None:
        config = absolute(config)
    names = clip_names(config)
    if cluster is None or config.profile_sizes:  # costs are measured here
        config = replace(config, device=str(resolve_device(config.device)))
    with StopFlag() as stop, explain_out_of_memory(), one_thread():
        scored: dict[str, list[ClipScores]] = {}
        keys: dict[tuple[str, str], str] = {}
        report(Progress("evaluate", 0, len(names)))
        if cluster is None:
            results = _score_here(config, models, names, stop.check)
        else:
            results = score_on_cluster(cluster, config, models, names, stop.check)
        for name, (scores, own_keys) in results:
            scored[name] = scores
            keys |= {(name, model): key for model, key in own_keys.items()}
            report(Progress("evaluate", len(scored), len(names)))
    return Evaluation(config, models, [s for name in names for s in scored[name]], keys)


def _score_here(
    config: EvalConfig, models: list[Model], names: list[str], check: Callable[[], None]
) -> Iterator[tuple[str, tuple[list[ClipScores], dict[str, str]]]]:
    """Yield (name, (scores by model, keys by model)) in the order in which clips finish."""
    code = code_fingerprint()  # once: the files may change during a long run
    workers = min(config.worker_count(on_cpu=config.device == "cpu"), max(len(names), 1))
    if workers == 1:
        for name in names:
            check()
            yield name, score_by_name(config, models, name, code, check)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        waiting: dict[Future[tuple[list[ClipScores], dict[str, str]]], str] = {
            pool.submit(score_by_name, config, models, name, code): name for name in names
        }
        for done in finished(waiting):
            check()
            for name, future in done:
                yield name, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ignore signals in a worker; its parent stops it between clips."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
