"""Ctrl-C, termination and hang-up signals as a flag: no file is cut off in the middle of a packet."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from asled_cli.errors import InterruptedRunError

log = logging.getLogger(__name__)


class StopFlag:
    """Set by the first SIGINT, SIGTERM or SIGHUP in the context; the second one ends the process at once.

    A SIGHUP that is ignored from the start (`nohup`) stays ignored.

    Handlers are installed in the main thread only, since Python allows no other. A KeyboardInterrupt inside
    an encoder call would lose the packets of that call, hence a flag that is asked between frames.
    """

    def __init__(self) -> None:
        self.tidy_up: Callable[[], None] = _nothing  # called before the process ends at once
        self._set = threading.Event()
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raise InterruptedRunError if the user wants to stop."""
        if self._set.is_set():
            raise InterruptedRunError("Stopped before the end; the output is not written yet.")

    def set(self) -> None:
        """Ask the run to stop, as a signal would."""
        self._set.set()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _stopping_signals():
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._set.is_set():
            self.tidy_up()
            os._exit(InterruptedRunError.exit_code)
        self._set.set()
        log.warning("stopping after the current frames; once more to stop at once")


def _stopping_signals() -> list[int]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # a closed terminal; not on Windows
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    return list(numbers)


def _nothing() -> None:
    pass
