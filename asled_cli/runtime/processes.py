"""Processes that read or make training clips: how each one starts."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader

from asled_cli.errors import AsledError

Result = TypeVar("Result")

START = "spawn"
"""How processes start. A fork inherits OpenCV's thread pool without its threads, as registering clips before
training leaves it, and waits for them for ever."""


def start_worker(_: int = 0) -> None:
    """Leave signals to the parent and use one thread: the processes are the parallelism.

    Ctrl-C, and a service manager's SIGTERM, reach every process of the group; the parent alone decides,
    writes its checkpoint and tells the others to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums do not depend on the number of cores."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


@contextmanager
def batches_of(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """Yield the batches of `loader`; its processes have ended when the context has.

    They ignore signals, so without this an error whose traceback keeps the iterator alive would leave Python
    waiting for them at its end, and them for work.
    """
    batches = iter(loader)
    try:
        yield batches
    finally:
        end = getattr(batches, "_shutdown_workers", None)  # there is no public way; none without processes
        if end is not None:
            end()


def run_in_processes(
    function: Callable[..., Result], work: Sequence[tuple[Any, ...]], count: int, check: Callable[[], None]
) -> Iterator[Result]:
    """Yield the results of function(*arguments) for all of `work` as they come; one process: here, in order.

    check: called every now and then, raises InterruptedRunError to stop; what runs is finished first. Raises
    AsledError if a process is killed.
    """
    count = min(count, len(work))
    if count <= 1:
        for arguments in work:
            check()
            yield function(*arguments)
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context(START), initializer=start_worker) as pool:
        waiting, running = list(reversed(work)), set[Future[Result]]()
        try:
            while True:  # few are handed out ahead, so that a stop need not wait for all
                while len(running) < 2 * count and waiting:
                    running.add(pool.submit(function, *waiting.pop()))
                if not running:
                    return
                finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                check()
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise AsledError(
                "A process that makes clips ended without a message; most often the memory was full.",
                f"Run the same again with fewer processes than {count}; clips that are complete stay.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
