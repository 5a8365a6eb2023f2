"""Worker processes that may be killed: the work of a killed one is given to a new one."""

import contextlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from asled_cli.errors import AsledError
from asled_cli.runtime.memory import set_up_allocator
from asled_cli.runtime.processes import START, start_worker

Result = TypeVar("Result")
RETRIES = 3  # of the work of a killed process

log = logging.getLogger(__name__)


class Workers(Protocol):
    """Where work is done. size: how much at a time."""

    size: int

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Do function(*arguments) in a worker, again where one is killed."""
        ...

    def close(self) -> None:
        """End all workers at once; twice is harmless."""
        ...


class LocalWorkers:
    """Processes on this machine. places: passed to `function` as its last argument, one per process.

    program: a function whose modules every process loads at once; None: each starts with its first work.
    The future raises AsledError if more than RETRIES processes are killed over one piece of work.
    """

    def __init__(self, places: Sequence[Any], program: Callable[..., Any] | None = None) -> None:
        self.size = len(places)
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._all = [_Worker(place, program) for place in places]
        for worker in self._all:
            self._free.put(worker)
            if program is not None:
                with contextlib.suppress(OSError):  # a process that is gone is replaced by `_do`
                    worker.start()
        self._threads = ThreadPoolExecutor(self.size, "asled-worker")
        self._closed = False

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Do function(*arguments, place) in the next free process."""
        return self._threads.submit(self._do, function, arguments)

    def _do(self, function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        worker = self._free.get()
        try:
            for _ in range(RETRIES + 1):
                try:
                    found: Result = worker.call(function, arguments)
                    return found
                except (EOFError, OSError):  # the process is gone
                    if self._closed:
                        break
                    worker.stop()
                    log.warning("a worker process was killed or crashed; its work is done again by a new one")
            raise AsledError(
                f"Worker processes ended {RETRIES + 1} times without a message; most often memory was full.",
                "Use fewer --workers; finished work is kept.",
            )
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End all processes at once; twice is harmless."""
        self._closed = True
        for worker in self._all:
            worker.stop(for_good=True)
        self._threads.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """One process, started with its first work or before. program: a function that it loads first."""

    def __init__(self, place: Any, program: Callable[..., Any] | None = None) -> None:
        self._place, self._program = place, program
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._ended = False

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Return what the function returns, or raise what it raises. Raises EOFError if the process died."""
        pipe = self.start()
        pipe.send((function, (*arguments, self._place)))
        ok, value = pipe.recv()
        if not ok:
            raise value
        return value

    def start(self) -> Connection:
        """Start the process if there is none. Return the pipe to it. Raises OSError if it is gone at once."""
        with self._lock:
            if self._ended:
                raise OSError("the workers are closed")
            if self._pipe is not None:
                return self._pipe
            context: Any = multiprocessing.get_context(START)
            ours, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()  # else its end would go unnoticed
            self._pipe = ours
            ours.send(self._program)
            return self._pipe

    def stop(self, *, for_good: bool = False) -> None:
        """Kill the process, if there is one. for_good: no other one may start for work that still waits."""
        with self._lock:
            self._ended = self._ended or for_good
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None:
            process.kill()
            process.join()
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _serve(pipe: Connection) -> None:
    """Do what comes through the pipe, until the parent ends."""
    start_worker()
    set_up_allocator()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()  # the program: to receive a function loads its modules
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:
            answer = False, error
        pipe.send(answer)


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, also if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
