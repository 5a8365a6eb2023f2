"""A stand-in for Ray: tasks are done at once, in this process."""

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any


class Reference:
    """What Ray gives for a task."""

    def __init__(self, found: "Future[Any]") -> None:
        self._found = found

    def future(self) -> "Future[Any]":
        return self._found


class FakeRay:
    """Does every task at once, as a worker of a cluster with these resources would."""

    def __init__(self, **resources: float) -> None:
        self.resources = resources
        self.started: list[dict[str, Any]] = []
        self.needs: dict[str, Any] = {}
        self.open = False
        self.crash: Exception | None = None

    def init(self, **options: Any) -> None:
        if options["address"] == "nowhere:1":
            raise ConnectionError("no such host\nmore lines")
        self.started.append(options)
        self.open = True

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, **needs: Any) -> Callable[..., Any]:
        self.needs = needs

        def task(function: Callable[..., Any]) -> Any:
            def call(*arguments: Any) -> Any:
                future: Future[Any] = Future()
                if self.crash is not None:
                    future.set_exception(self.crash)
                else:
                    future.set_result(function(*arguments))
                return Reference(future)

            return SimpleNamespace(remote=call)

        return task

    def cancel(self, reference: Any, force: bool) -> None:
        pass

    def shutdown(self) -> None:
        self.open = False
