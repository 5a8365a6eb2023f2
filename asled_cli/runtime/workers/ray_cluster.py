"""Workers of a Ray cluster, each task in a process of its own that Ray places and starts again where it died.

Ray is an extra: nothing here imports it before a cluster is asked for.
"""

import contextlib
import importlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from asled_cli.errors import AsledError, UsageError
from asled_cli.runtime.memory import set_up_allocator
from asled_cli.runtime.workers.local import RETRIES, Workers

Result = TypeVar("Result")
LOCAL = "local"  # address: a cluster on this machine, for this run alone
TASK_BYTES = 3 * 2**30  # memory of a task on a CPU: that of a 1080p job


class RayWorkers:
    """Tasks on the Ray cluster at `address`: auto (the running one), local, HOST:PORT or ray://HOST:PORT.

    place: passed to every function as its last argument. gpus: whether a task takes a GPU; None: where the
    cluster has any. cores: of a local cluster. Raises UsageError where Ray or the cluster is missing.
    """

    def __init__(
        self, address: str, place: Any = None, *, gpus: bool | None = None, cores: int | None = None
    ) -> None:
        self._ray = _import_ray()
        _connect(self._ray, address, cores)
        found = self._ray.cluster_resources()
        if gpus is None:
            gpus = found.get("GPU", 0) >= 1
        self.size = max(1, int(found.get("GPU" if gpus else "CPU", 1)))
        # A task on a CPU asks for memory too, so that a machine with many cores does not get too many.
        needs = {"num_gpus": 1} if gpus else {"num_cpus": 1, "memory": _memory(found)}
        self._task = self._ray.remote(max_retries=RETRIES, **needs)(_answer)
        self._place = place
        self._running: set[Any] = set()

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Do function(*arguments, place) in the cluster; the future raises what it raises.

        AsledError if RETRIES + 1 processes ended over it.
        """
        reference = self._task.remote(function, (*arguments, self._place))
        self._running.add(reference)
        future: Future[Result] = Future()
        reference.future().add_done_callback(lambda answer: self._finish(reference, answer, future))
        return future

    def _finish(self, reference: Any, answer: "Future[Any]", future: "Future[Any]") -> None:
        self._running.discard(reference)
        try:
            ok, value = answer.result()
        except BaseException as error:
            ok, value = False, _explained(error)
        if future.cancelled():
            return
        if ok:
            future.set_result(value)
        else:
            future.set_exception(value)

    def close(self) -> None:
        """Stop what runs, and leave the cluster; twice is harmless."""
        for reference in list(self._running):
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()


def cluster(address: str, device: str, cores: int) -> Callable[[], Workers]:
    """Return a function that connects to the cluster at `address` for work on `device`.

    device: auto, a GPU where the cluster has any; otherwise as on one machine. cores: of a local cluster, at
    least two.
    """
    gpus = None if device == "auto" else device.startswith("cuda")
    return partial(RayWorkers, address, gpus=gpus, cores=max(2, cores))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Return (True, what the function returns) or (False, what it raises), which Ray would wrap."""
    set_up_allocator()
    try:
        return True, function(*arguments)
    except Exception as error:
        return False, error


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UsageError(
            "--ray needs the package ray, which is not installed.", "Install it: pip install 'asled[ray]'"
        ) from error


def _connect(ray: Any, address: str, cores: int | None) -> None:
    local = {"num_cpus": cores, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    except Exception as error:  # of many types, by what is wrong with the address
        raise UsageError(
            f"There is no Ray cluster at {address!r}: {str(error).splitlines()[0]}",
            "Start one with `ray start --head`, or use --ray local.",
        ) from error


def _memory(found: dict[str, float]) -> int:
    """Return the bytes that a task asks for: never more than a machine may have."""
    return int(min(TASK_BYTES, found.get("memory", TASK_BYTES) / 2))


def _explained(error: BaseException) -> AsledError:
    said = str(error).strip().splitlines()
    return AsledError(
        f"A Ray worker ended {RETRIES + 1} times without an answer ({type(error).__name__}: "
        f"{said[0] if said else ''}).",
        "Most often its memory was full, or its machine went away; finished work is kept.",
    )
