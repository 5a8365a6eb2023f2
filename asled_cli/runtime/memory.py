"""Memory of the process: what the C library is asked (glibc only), and how a lack of it is recognised.

Nothing here needs torch: what is missing may be the memory for loading it.
"""

import ctypes
import os
import re
import sys
from typing import Any

from asled_cli.errors import AsledError, MemoryLimitError, reason

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_MAX_PIECE = 32 * 2**20  # the most that glibc takes; a 1080p picture in 32 bit has 24 MiB
_MAX_UNUSED = 256 * 2**20
_OUT_OF_MEMORY = re.compile(
    "|".join(
        (
            "can't allocate memory",  # torch on a CPU
            "not enough memory",  # torch on a CPU
            "cannot allocate memory",  # the system
            "failed to map segment",  # the loader of shared libraries
            "paging file is too small",  # the loader of Windows
            "bad_alloc",  # C++
            "insufficient memory",  # OpenCV
        )
    ),
    re.IGNORECASE,
)
_SHARED_LIBRARY = re.compile(r"\.(so|dylib|dll|pyd)\b|DLL load failed", re.IGNORECASE)
_NO_THREAD = "can't start new thread"
_FILES_OPEN = re.compile("too many open files", re.IGNORECASE)


def set_up_allocator() -> None:
    """Set the C library's memory as all programs here use it; call it before there are threads."""
    share_one_arena()
    reuse_large_pieces()


def share_one_arena() -> bool:
    """Let all threads of this process take memory from one heap; whether there was such a choice.

    With a heap for each thread, what one has freed the others cannot use: 400 MiB more at 1080p, no faster.
    For programs, not libraries: call it before there are threads.
    """
    return _choose(_ARENA_MAX, 1)


def reuse_large_pieces() -> bool:
    """Let the C library keep freed pictures for the next ones; whether there was such a choice.

    Else it gives each back to the system, which clears its pages again: twice as many page faults at 1080p.
    For programs, not libraries.
    """
    return _choose(_MMAP_THRESHOLD, _MAX_PIECE) and _choose(_TRIM_THRESHOLD, _MAX_UNUSED)


def use_large_pages() -> None:
    """Let torch ask Linux for memory in pages of 2 MiB; call it before torch is loaded.

    A network walks through pictures and features of tens of MiB. With pages of 4 KiB it takes 10 % more time.
    NumPy asks for large pages itself.
    """
    if sys.platform == "linux":
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def wait_without_computing() -> None:
    """Let threads that wait for the others sleep instead of spin; call it before torch is loaded.

    Other stages compute beside a network. A thread that spins takes the core of the very one it waits for:
    with two cores under load, a network took 4 times as long and 4 times the processor time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def return_freed_memory() -> None:
    """Give freed memory back to the system, where the C library keeps it.

    It keeps the memory between used pieces; after the analysis that is more than the job needs later.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _choose(parameter: int, value: int) -> bool:
    choose = _function("mallopt")
    return choose is not None and bool(choose(parameter, value))


def _function(name: str) -> Any:
    """Return a function of the C library, or None if it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that the memory of this machine or process ran out."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(_text(error)) is not None


def memory_limit() -> MemoryLimitError:
    """Return the error for a job that does not fit into memory in the smallest pieces."""
    return MemoryLimitError(
        "There is not enough memory for this job.",
        "Try a smaller --chunk, --tile 512, or --method swap, which needs least.",
    )


def explain_limit(error: Exception) -> AsledError | None:
    """Return the error for a limit of the machine or process that was met; None for any other failure.

    Limits: memory, also that for loading a library; threads and processes; open files. A library that cannot
    be loaded for another reason is explained too.
    """
    if isinstance(error, ImportError) and is_out_of_memory(error):
        return MemoryLimitError(
            f"There is not enough memory to load the libraries of asled: {_last_line(error)}.",
            "Close other programs, or raise the memory limit of this process or container.",
        )
    if is_out_of_memory(error):
        return memory_limit()
    if _NO_THREAD in str(error) or (isinstance(error, BlockingIOError) and error.filename is None):
        return AsledError(
            "The system allows this user no more threads or processes.",
            "Close other programs, or raise the limit (ulimit -u, or pids of the container).",
        )
    if _FILES_OPEN.search(_text(error)):
        return AsledError(
            "The system allows this process no more open files.", "Raise the limit, as by: ulimit -n 1024."
        )
    if isinstance(error, ImportError) and _SHARED_LIBRARY.search(str(error)):
        return AsledError(
            f"A library that asled needs cannot be loaded: {_last_line(error)}.",
            "Install what is named, or install asled again in a new environment.",
        )
    return None


def _text(error: Exception) -> str:
    """Return what went wrong, without the names of files, which may say anything."""
    return reason(error) if isinstance(error, OSError) else str(error)


def _last_line(error: Exception) -> str:
    """Return the line of a message that says what happened: NumPy puts advice before it."""
    lines = [line.strip() for line in str(error).splitlines() if _SHARED_LIBRARY.search(line)]
    return (lines[-1] if lines else str(error)).rstrip(".")
