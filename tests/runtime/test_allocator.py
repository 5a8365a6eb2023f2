"""One heap for all threads: what one of them frees, another can use."""

import subprocess
import sys

import pytest

from asled_cli.runtime.memory import return_freed_memory, share_one_arena

THREADS = """
import ctypes, sys, threading
from asled_cli.runtime.memory import share_one_arena
if "shared" in sys.argv:
    assert share_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)
def work():
    together.wait()
    for _ in range(2000):
        libc.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""


def arenas(*arguments: str) -> int:
    """Heaps that four threads of a new process used, as the C library counts them."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS, *arguments], capture_output=True, text=True, check=True
    )
    return done.stderr.count("Arena ")


def test_threads_share_one_heap() -> None:
    if not share_one_arena():
        pytest.skip("this C library offers no choice")
    assert arenas() > 1
    assert arenas("shared") == 1


def test_giving_memory_back_is_always_possible() -> None:
    return_freed_memory()
