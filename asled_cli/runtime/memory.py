"""What is asked of the C library's allocator, so that memory which is free is given back; glibc only."""

import ctypes
import sys
from typing import Any

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def share_one_arena() -> bool:
    """Let all threads of this process take memory from one heap; whether there was such a choice.

    With a heap for each thread, what one has freed the others cannot use: 400 MiB more at 1080p, no faster.
    For programs, not libraries: call it before there are threads.
    """
    choose = _function("mallopt")
    return choose is not None and bool(choose(_ARENA_MAX, 1))


def return_freed_memory() -> None:
    """Give freed memory back to the system, where the C library keeps it.

    It keeps the memory between used pieces; after the analysis that is more than the job needs later.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """Return a function of the C library, or None if it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
