"""Scoring of all clips by all models, several clips at once, with cached scores where they exist."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

import cv2
import torch

from asled_cli.errors import UsageError
from asled_cli.imaging.threads import opencv_threads
from asled_cli.lab.scoring.clip_scores import ClipScores, ScoreCache, code_fingerprint, score_clip, score_key
from asled_cli.lab.scoring.clips import ScoreClip, clip_names, identify, open_clip
from asled_cli.lab.scoring.config import WITHOUT_TRUTH, EvalConfig
from asled_cli.lab.scoring.methods import Model, check_loadable, find_models
from asled_cli.progress import Progress, Report, ignore
from asled_cli.runtime.device import explain_out_of_memory, resolve_device
from asled_cli.runtime.signals import StopFlag

ASK_EVERY_S = 0.2  # how often a run with several processes checks whether it should stop


@dataclass(frozen=True)
class Evaluation:
    """Result of a run. scores: clips in their order, models in theirs."""

    config: EvalConfig
    models: list[Model]
    scores: list[ClipScores]
    keys: dict[tuple[str, str], str]


def evaluate(config: EvalConfig, report: Report = ignore) -> Evaluation:
    """Score every clip by every model.

    Results depend neither on the number of workers nor on the cache: each clip is scored on its own, on one
    thread. Raises an AsledError for the user. Scores of finished clips stay in the cache.
    """
    models = find_models(config)
    check_loadable(models)
    names = clip_names(config)
    device = resolve_device(config.device)
    workers = min(config.worker_count(on_cpu=device.type == "cpu"), max(len(names), 1))
    config = replace(config, device=str(device))
    with StopFlag() as stop, explain_out_of_memory(), one_thread():
        scored: dict[str, list[ClipScores]] = {}
        keys: dict[tuple[str, str], str] = {}
        report(Progress("evaluate", 0, len(names)))
        for done, name, scores, own_keys in _results(config, models, names, workers, stop.check):
            scored[name] = scores
            keys |= {(name, model): key for model, key in own_keys.items()}
            report(Progress("evaluate", done, len(names)))
    return Evaluation(config, models, [s for name in names for s in scored[name]], keys)


_Result = tuple[int, str, list[ClipScores], dict[str, str]]


def _results(
    config: EvalConfig, models: list[Model], names: list[str], workers: int, check: Callable[[], None]
) -> Iterator[_Result]:
    """Yield (clips done, name, scores by model, keys by model) in the order in which clips finish."""
    code = code_fingerprint()  # once: the files may change during a long run
    if workers == 1:
        for done, name in enumerate(names, start=1):
            check()
            yield done, name, *score_by_name(config, models, name, code, check)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        waiting: dict[Future[tuple[list[ClipScores], dict[str, str]]], str] = {
            pool.submit(score_by_name, config, models, name, code): name for name in names
        }
        while waiting:
            check()
            finished, _ = wait(waiting, timeout=ASK_EVERY_S, return_when=FIRST_COMPLETED)
            for future in finished:
                name = waiting.pop(future)
                yield len(names) - len(waiting), name, *future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def score_by_name(
    config: EvalConfig, models: list[Model], name: str, code: str, check: Callable[[], None] = lambda: None
) -> tuple[list[ClipScores], dict[str, str]]:
    """Return the scores of one clip by each model, cached ones where they exist, and their keys.

    code: `code_fingerprint`.
    """
    kept = ScoreCache(config.cache_folder)
    clip = identify(config, name)
    keys = {model.name: score_key(clip, model, config, code) for model in models}
    found = {model.name: kept.find(name, model.name, keys[model.name]) for model in models}
    missing = [model for model in models if found[model.name] is None]
    if missing:
        clip = open_clip(config, name)
        _check_truth(clip, missing, config)
        for model, (scores, pictures) in score_clip(clip, missing, config, check=check).items():
            kept.keep(scores, keys[model], pictures)
            found[model] = scores
    return [scores for scores in found.values() if scores is not None], keys


def _check_truth(clip: ScoreClip, models: Sequence[Model], config: EvalConfig) -> None:
    if clip.truth is not None:
        return
    if any(model.kind == "oracle-half" for model in models):
        raise UsageError(
            f"oracle-half is made of the truth, and clip {clip.name} has none.", "Leave it out of --methods."
        )
    if not set(config.metrics) & WITHOUT_TRUTH:
        raise UsageError(
            f"Clip {clip.name} has no truth, which {', '.join(config.metrics)} need.",
            f"Use --metrics {','.join(sorted(WITHOUT_TRUTH))}.",
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with opencv_threads(1):
            yield
    finally:
        torch.set_num_threads(before)


def _start_worker() -> None:
    """Ignore signals in a worker; its parent stops it between clips."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
