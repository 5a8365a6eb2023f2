"""Processes that read or make training clips: how each one starts."""

import signal

import cv2
import torch


def start_worker(_: int = 0) -> None:
    """Leave signals to the parent and use one thread: the processes are the parallelism.

    Ctrl-C reaches every process of a terminal; the parent alone decides, writes its checkpoint and ends the
    others, which it does with SIGTERM, so that the handler inherited from it must go.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
