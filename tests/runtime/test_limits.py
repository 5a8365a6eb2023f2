"""Limits of the machine in a made /proc and /sys: the least of all that apply counts."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from asled_cli.runtime.limits import free_memory, usable_cores

GIB = 1 << 30
MACHINE = {"proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n"}  # 32 GiB are free


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
LAYOUTS: dict[str, tuple[dict[str, str], int]] = {
    "none": ({}, 32 * GIB),
    "v2 at the root": ({f"{V2}/memory.max": f"{GIB}\n", f"{V2}/memory.current": "0\n"}, GIB),
    "v2 without a limit": ({f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "0\n"}, 32 * GIB),
    "v2 in use": ({f"{V2}/memory.max": f"{4 * GIB}", f"{V2}/memory.current": f"{3 * GIB}"}, GIB),
    "v2 over its limit": ({f"{V2}/memory.max": f"{GIB}", f"{V2}/memory.current": f"{2 * GIB}"}, 0),
    "v2 with a cache of files": (
        {
            f"{V2}/memory.max": f"{4 * GIB}",
            f"{V2}/memory.current": f"{3 * GIB}",
            f"{V2}/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
        },
        3 * GIB,
    ),
    "v2 nested": (
        {
            "proc/self/cgroup": "0::/system.slice/job.scope\n",
            f"{V2}/system.slice/job.scope/memory.max": f"{GIB}",
        },
        GIB,
    ),
    "v2, a parent's limit": (
        {
            "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
            f"{V2}/slurm/job_7/step_0/memory.max": "max",
            f"{V2}/slurm/job_7/memory.max": f"{2 * GIB}",
            f"{V2}/slurm/memory.max": f"{8 * GIB}",
        },
        2 * GIB,
    ),
    "v2 outside of the view": (
        {"proc/self/cgroup": "0::/../../other\n", f"{V2}/memory.max": f"{GIB}"},
        GIB,
    ),
    "v1 at the root": (
        {f"{V1}/memory.limit_in_bytes": f"{GIB}", f"{V1}/memory.usage_in_bytes": "0"},
        GIB,
    ),
    "v1 nested, path with a colon": (
        {
            "proc/self/cgroup": "5:cpu:/\n4:hugetlb,memory:/docker/a:b\n",
            f"{V1}/docker/a:b/memory.limit_in_bytes": f"{GIB}",
        },
        GIB,
    ),
    "v1 without a limit": ({f"{V1}/memory.limit_in_bytes": "9223372036854771712"}, 32 * GIB),
    "hybrid": (
        {
            "proc/self/cgroup": "4:memory:/job\n0::/job\n",
            f"{V1}/job/memory.limit_in_bytes": f"{3 * GIB}",
            f"{V2}/unified/job/memory.max": f"{2 * GIB}",
        },
        2 * GIB,
    ),
    "address space": (
        {
            "proc/self/statm": f"{GIB // os.sysconf('SC_PAGE_SIZE')} 5 5 5 5 5 5\n",
            "proc/self/limits": f"Limit  Soft Limit\nMax address space  {2 * GIB}  unlimited  bytes\n",
        },
        GIB,
    ),
    "address space without a limit": (
        {"proc/self/statm": "5 5", "proc/self/limits": "Max address space  unlimited  unlimited  bytes\n"},
        32 * GIB,
    ),
    "senseless": (
        {f"{V2}/memory.max": "\x00", "proc/self/cgroup": "x\n", f"{V1}/memory.limit_in_bytes": ""},
        32 * GIB,
    ),
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_memory(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    assert free_memory(tree(tmp_path, MACHINE | files)) == expected


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None
    assert usable_cores(tmp_path) >= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="affinity is Linux's")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{V2}/cpu.max": "max 100000\n"}, 16),
        ({f"{V2}/cpu.max": "200000 100000\n"}, 2),
        ({f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ({f"{V2}/cpu.max": "1000 100000\n"}, 1),
        ({f"{V2}/cpu.max": "5 0\n"}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/cpu.max": "300000 100000\n"}, 3),
        ({f"{V2}/cpu/cpu.cfs_quota_us": "400000", f"{V2}/cpu/cpu.cfs_period_us": "100000"}, 4),
        ({f"{V2}/cpu,cpuacct/cpu.cfs_quota_us": "-1", f"{V2}/cpu,cpuacct/cpu.cfs_period_us": "100000"}, 16),
    ],
)
def test_cores(files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert usable_cores(tree(tmp_path, files)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_limit_on_the_address_space() -> None:
    code = "from asled_cli.runtime.limits import free_memory; print(free_memory())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 * GIB, 2 * GIB)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < int(done.stdout) < 2 * GIB
