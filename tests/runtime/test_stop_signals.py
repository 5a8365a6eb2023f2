"""The first signal asks a run to stop; a hang-up that is ignored stays ignored."""

import os
import signal

import pytest

from asled_cli.errors import InterruptedRunError
from asled_cli.runtime.signals import StopFlag


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    inherited = signal.signal(number, signal.default_int_handler)  # nohup makes tests ignore a hang-up
    try:
        with StopFlag() as stop:
            stop.check()
            os.kill(os.getpid(), number)
            with pytest.raises(InterruptedRunError):
                stop.check()
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, inherited)


def test_an_ignored_hang_up_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopFlag() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            stop.check()
    finally:
        signal.signal(signal.SIGHUP, before)
