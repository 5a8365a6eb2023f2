"""A step of the pipeline in a thread of its own, with a short queue between it and its consumer.

The only place in the package that starts threads. Stages chain by being iterated inside the source of
the next one; closing the last closes them all. Within a stage, `spread` shares work among several threads.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import Empty, Full, Queue
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from asled_cli.runtime.limits import usable_cores as usable_cores

S = TypeVar("S")
T = TypeVar("T")
POLL_S = 0.05  # how soon a blocked thread notices that its stage was closed
MAX_THREADS = 8  # of `map_in_threads`: the steps between them are done by one
_END = object()
_worker = threading.local()  # .stage: the stage whose thread this is


def leave_threads_to_stages() -> None:
    """Let NumPy compute matrix products in the thread that asks; call it before NumPy is loaded.

    For programs, not libraries. With a thread per core, OpenBLAS waits in a loop for each small product: 40 %
    more processor time of the alignment on two cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class StageClosedError(RuntimeError):
    """Raised when a stage is iterated after `close()`; inside a chain it unwinds the threads quietly."""


class Stage(Generic[T]):
    """Iterates `source` in a thread, at most `depth` + 2 items ahead of the consumer.

    The thread starts with the first item asked for. An exception in the source is raised again, the
    very same object, where the consumer asks for the item. `close()` stops this stage and every stage
    that feeds it, and waits for their threads; twice is harmless. Use as a context manager.

    busy_s: seconds the thread spent in its source, without waiting for stages before or after it.
    """

    def __init__(self, source: Iterable[T], depth: int = 2, name: str = "stage") -> None:
        self.name = name
        self._source = source
        self._queue: Queue[Any] = Queue(maxsize=max(1, depth))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._feeders: list[Stage[Any]] = []
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self._in_source_s = 0.0
        self._waited_s = 0.0  # for the feeders, by this stage's thread

    @property
    def busy_s(self) -> float:
        return max(0.0, self._in_source_s - self._waited_s)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self._register_with_consumer()
        if self._ended:
            raise StopIteration
        self._start()
        began = perf_counter()
        try:
            item = self._take()
        finally:
            consumer: Stage[Any] | None = getattr(_worker, "stage", None)
            if consumer is not None:
                consumer._waited_s += perf_counter() - began
        if item is not _END:
            return item  # type: ignore[no-any-return]
        self._ended = True
        failure, self._failure = self._failure, None
        if failure is None:
            raise StopIteration
        self.close()  # nobody needs what the feeders still hold
        raise failure

    def _register_with_consumer(self) -> None:
        """Tell the stage in whose thread we are iterated that it must close us too."""
        consumer: Stage[Any] | None = getattr(_worker, "stage", None)
        if consumer is None or consumer is self:
            return
        with consumer._lock:
            if self not in consumer._feeders:
                consumer._feeders.append(self)
        if consumer._stop.is_set():
            raise StageClosedError(consumer.name)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._work, name=f"asled-{self.name}", daemon=True)
                self._thread.start()

    def _take(self) -> Any:
        while not self._stop.is_set():
            try:
                return self._queue.get(timeout=POLL_S)
            except Empty:
                continue
        raise StageClosedError(self.name)

    def _put(self, item: Any) -> bool:
        """False when the stage was closed before there was room."""
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return True
            except Full:
                continue
        return False

    def _work(self) -> None:
        _worker.stage = self
        try:
            self._drain_source()
        except StageClosedError as error:
            if not self._stop.is_set():
                self._failure = error  # somebody closed a feeder under us
        except BaseException as error:
            self._failure = error
        self._put(_END)

    def _drain_source(self) -> None:
        items = None
        try:
            items = iter(self._source)
            while True:
                began = perf_counter()
                try:
                    item = next(items, _END)
                finally:
                    self._in_source_s += perf_counter() - began
                if item is _END or not self._put(item):
                    return
        finally:
            # A generator runs its own `finally` here, in the thread that has iterated it.
            _close(items)

    def close(self) -> None:
        """Stop this stage and its feeders and wait for their threads; waiting items are dropped."""
        self._signal()
        if self._thread is None:
            _close(self._source)
        self._join()

    def _signal(self) -> None:
        with self._lock:
            self._stop.set()
            feeders = list(self._feeders)
        for feeder in feeders:
            feeder._signal()

    def _join(self) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        for feeder in self._feeders:
            feeder._join()
        if self._stop.is_set():
            while not self._queue.empty():
                self._queue.get_nowait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _close(source: object) -> None:
    """Close a generator, reader or stage; other iterables have nothing to close."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def parallel_map(function: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """function(item) for each of `items`, in order, computed by so many threads at once; 1: by the caller's.

    At most `threads` + 1 results are ahead of the consumer. Items are drawn in the caller's thread. What
    `function` or `items` raise is raised in its turn. Closing waits for what is being computed.
    """
    with closing_items(items) as source:
        if threads <= 1:
            for item in source:
                yield function(item)
            return
        pool = ThreadPoolExecutor(threads, "asled-helper")
        waiting: deque[Future[T]] = deque()
        failure: Exception | None = None
        try:
            while failure is None:
                try:
                    waiting.append(pool.submit(function, next(source)))
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if failure is not None:
                raise failure
        finally:
            pool.shutdown(cancel_futures=True)


def map_in_threads(function: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Return function(item) for each of `items`, in order, computed by as many threads as there are cores.

    The results do not depend on the number of threads. What `function` raises is raised.
    """
    threads = min(_helpers(), len(items)) if len(items) > 1 else 1
    return (
        [function(item) for item in items] if threads <= 1 else list(parallel_map(function, items, threads))
    )


@cache
def _helpers() -> int:
    """Return the threads of `map_in_threads`; the number of cores takes a while to find out."""
    return min(usable_cores(), MAX_THREADS)


@contextmanager
def closing_items(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Iterate `items`; what must be closed is closed after it, in the thread that has iterated it.

    For the steps of a stage that are generators in one another: without it an error in the outer one leaves
    the inner ones, and their helpers, to the garbage collector.
    """
    source = iter(items)
    try:
        yield source
    finally:
        _close(source)
