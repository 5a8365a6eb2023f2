"""Memory and CPU time that this process may use: of the machine, its containers and its own limits.

Linux tells (/proc and /sys); elsewhere the machine alone counts. A group of processes (cgroup) can be nested,
and each of its parents limits it too: the least limit counts. A container may see its own group at the root
of /sys/fs/cgroup or under the full path that /proc/self/cgroup names, so both are looked at.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

UNLIMITED_BYTES = 1 << 60  # version 1 writes a number near 2^63 where there is no limit
# Files of a group: its limit, what it uses, and the line of memory.stat with what it could give back.
_MEMORY_V2 = "memory.max", "memory.current", "inactive_file"
_MEMORY_V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still take; None where the system does not tell.

    root: the folder that holds proc and sys.
    """
    free = [*_of_machine(root), *_of_address_space(root)]
    for folder in _groups(root, "memory"):
        for names in (_MEMORY_V2, _MEMORY_V1):
            with suppress(OSError, ValueError):  # no such group, or no limit ("max")
                free.append(_of_group(folder, *names))
    return min(free, default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may keep busy: its affinity, and the CPU quota of its groups."""
    affine = hasattr(os, "sched_getaffinity")
    cores = float(len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1)
    for folder in _groups(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()
            cores = min(cores, int(quota) / int(period))
        with suppress(OSError, ValueError, ZeroDivisionError):
            microseconds = _number(folder / "cpu.cfs_quota_us")  # -1: no limit
            if microseconds > 0:
                cores = min(cores, microseconds / _number(folder / "cpu.cfs_period_us"))
    return max(1, math.ceil(cores))


def _of_machine(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _of_address_space(root: Path) -> Iterator[int]:
    """Yield what the limit on this process's address space (ulimit -v) leaves of it."""
    with suppress(OSError, ValueError, IndexError):
        sizes = (root / "proc/self/statm").read_text().split()
        for line in (root / "proc/self/limits").read_text().splitlines():
            if line.startswith("Max address space"):
                limit = int(line.removeprefix("Max address space").split()[0])  # "unlimited": ValueError
                yield max(0, limit - int(sizes[0]) * os.sysconf("SC_PAGE_SIZE"))


def _of_group(folder: Path, limit_name: str, usage_name: str, cache_name: str) -> int:
    """Return what a group has left of its limit. Raises ValueError if it has none."""
    limit = _number(folder / limit_name)
    if not 0 <= limit < UNLIMITED_BYTES:
        raise ValueError("no limit")
    used = 0
    with suppress(OSError, ValueError):
        used = _number(folder / usage_name)
    with suppress(OSError, ValueError, IndexError):  # files read lately: given back as soon as asked for
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.split()[0] == cache_name:
                used -= int(line.split()[1])
    return max(0, limit - max(0, used))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield folders of this process's groups that may limit `controller`, with all of their parents."""
    mount = root / "sys/fs/cgroup"
    tops = {mount, mount / controller, mount / "cpu,cpuacct", mount / "unified"}
    seen: set[Path] = set()
    for top in sorted(tops):
        for path in ["/", *_paths(root, controller)]:
            place = PurePosixPath(path.lstrip("/"))
            if ".." in place.parts:  # of a group outside of this container's view
                continue
            for part in (place, *place.parents):
                if (folder := top / part) not in seen:
                    seen.add(folder)
                    yield folder


def _paths(root: Path, controller: str) -> Iterator[str]:
    """Yield the paths of this process's groups: of version 2, and of version 1 for this controller."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" or controller in controllers.split(","):
                yield path


def _number(path: Path) -> int:
    return int(path.read_text())
