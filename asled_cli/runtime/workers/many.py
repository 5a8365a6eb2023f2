"""Many pieces of work in workers: results as they come, and what fails stops nobody."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from typing import Any, TypeVar

from asled_cli.errors import AsledError
from asled_cli.runtime.workers.local import Workers

Key = TypeVar("Key")
Result = TypeVar("Result")
POLL_S = 0.5  # how often it is asked whether to stop

log = logging.getLogger(__name__)


def finished(running: dict["Future[Result]", Key]) -> Iterator[list[tuple[Key, "Future[Result]"]]]:
    """Yield what has finished since, at least every POLL_S seconds, until nothing runs any more.

    running: the key of each piece of work; emptied meanwhile.
    """
    while running:
        done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
        yield [(running.pop(future), future) for future in done]


def each_result(
    workers: Callable[[], Workers],
    function: Callable[..., Result],
    work: Mapping[str, tuple[Any, ...]],
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, Result]]:
    """Yield (name, function(*arguments, place)) for all of `work` as they come; leaving stops what runs.

    workers: connects to them. check: called now and then, raises to stop. What fails is warned of; when all
    others are done, an error of the first failure's kind is raised.
    """
    failed: dict[str, AsledError] = {}
    with closing(workers()) as pool:
        running = {pool.submit(function, *arguments): name for name, arguments in work.items()}
        for done in finished(running):
            check()
            for name, future in done:
                try:
                    found = future.result()
                except AsledError as error:
                    _warn(name, error, failed)
                    failed[name] = error
                    continue
                yield name, found
    if failed:
        raise _joined(failed, len(work))


def _warn(name: str, error: AsledError, before: Mapping[str, AsledError]) -> None:
    """Warn of a failure, once for each sentence: a machine may fail a thousand times for one reason."""
    if str(error) not in map(str, before.values()):
        log.warning("%s: %s", name, error)


def _joined(failed: Mapping[str, AsledError], total: int) -> AsledError:
    """Return one error for all failures."""
    first = next(iter(failed.values()))
    said = f"{len(failed)} of {total} failed, the others are done. The first: {first.message}"
    again = "What is done is kept: run the same command again."
    return type(first)(said, f"{first.hint} {again}".strip())
