"""Processes that read or make training clips: how each one starts."""

import signal

import cv2
import torch


def start_worker(_: int = 0) -> None:
    """Leave signals to the parent and use one thread: the processes are the parallelism.

    Ctrl-C, and a service manager's SIGTERM, reach every process of the group; the parent alone decides,
    writes its checkpoint and tells the others to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
