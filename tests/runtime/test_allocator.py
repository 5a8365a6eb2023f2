"""One heap for all threads: what one of them frees, another can use."""

import os
import subprocess
import sys

import pytest

from asled_cli.runtime.memory import (
    return_freed_memory,
    share_one_arena,
    use_large_pages,
    wait_without_computing,
)

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


def test_freed_pictures_are_kept_for_the_next_ones() -> None:
    code = """
import resource, sys
import numpy as np
from asled_cli.runtime.memory import reuse_large_pieces
if "kept" in sys.argv and not reuse_large_pieces():
    sys.exit("no choice")
for _ in range(20):
    np.ones(2_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
    found = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        for words in ([], ["kept"])
    ]
    if "no choice" in found[1].stderr:
        pytest.skip("this C library offers no choice")
    without, kept = (int(one.stdout) for one in found)
    assert kept < without


def test_torch_is_to_take_large_pages_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    use_large_pages()
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") == ("1" if sys.platform == "linux" else None)


def test_threads_are_to_wait_asleep_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_without_computing()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_without_computing()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


def test_giving_memory_back_is_always_possible() -> None:
    return_freed_memory()
