"""24 takes by three shards, by Ray with a killed worker, and on a full disk: the files and report of one run.

    python benchmarks/many_machines.py [--takes 24] [--only CASE] [--out FILE]

The takes are synthetic, 128x96. The full disk is a tmpfs, which is mounted where the user may; another file
fills it after a third of the takes, and is removed before the batch is run again. Exit code 1 if any file or
report differs from that of one run.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kill_points import ROOT
from report import write_report
from throughput import commit

from asled_cli.job.batch.pairs import BatchPair, find_pairs
from asled_cli.job.batch.remote import Remote
from asled_cli.job.batch.report import REPORT, Outcome
from asled_cli.job.batch.run import run_batch
from asled_cli.job.batch.shards import Shard, merge_reports
from asled_cli.job.batch.versions import versions
from asled_cli.job.config import DeblurConfig
from asled_cli.lab.bench.run import machine
from asled_cli.pipeline import run_deblur
from asled_cli.runtime.workers.local import LocalWorkers, Workers
from asled_cli.runtime.workers.ray_cluster import RayWorkers
from asled_cli.video.encode.encoder import EncodeConfig

SHARDS = 3
FRAMES = (12, 15, 18, 21)  # of the takes, in turn
DISK, LEFT = 64 * 2**20, 8 * 2**20  # bytes of the disk that gets full, and what is left on it


def main() -> None:
    """Run the batch in all ways and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--takes", type=int, default=24)
    parser.add_argument("--only", choices=CASES, help="this case; the others stay as they are in --out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "takes": options.takes}
    if options.only and options.out and options.out.is_file():
        found = json.loads(options.out.read_text("utf-8"))
    wanted = [options.only] if options.only else list(CASES)
    with tempfile.TemporaryDirectory(prefix="asled-many-") as name:
        folder = Path(name)
        pairs = make_takes(folder, options.takes)
        expected = contents(folder / "one", run_batch(pairs, folder / "one", remote=remote(local)))
        for case in wanted:
            found[case] = {"commit": commit(), **CASES[case](folder, pairs, expected)}
    sys.stdout.write(write_report(found, options.out))
    sys.exit(not all(found[case].get("same", True) for case in wanted))


def make_takes(folder: Path, count: int) -> list[BatchPair]:
    """Write so many pairs of clips, and return them as a batch finds them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.small_pair import make_pair  # type: ignore[import-not-found]

    made = []
    for frames in FRAMES:
        (folder / str(frames)).mkdir()
        made.append(make_pair(folder / str(frames), frames))
    takes = folder / "takes"
    takes.mkdir()
    for number in range(count):
        for lens in ("wide", "ultra"):
            clip: Path = getattr(made[number % len(made)], lens)
            (takes / f"take{number:02d}_{lens}.mp4").hardlink_to(clip)
    return find_pairs(takes)


def local() -> LocalWorkers:
    """Return two worker processes."""
    return LocalWorkers([None, None])


def remote(workers: Callable[[], Workers]) -> Remote:
    """Return what does a job in one of `workers`."""
    encode = EncodeConfig("h264", preset="veryfast")
    config = DeblurConfig(Path("w"), Path("u"), method="swap", device="cpu", encode=encode)
    return Remote(workers, config, versions("swap"), run_deblur)


def contents(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the bytes of all results, and the report without times and folder."""
    files = {Path(row.out).name: Path(row.out).read_bytes() for row in outcomes if Path(row.out).is_file()}
    text = (folder / f"{REPORT}.json").read_text().replace(str(folder), "OUT")
    return {"files": files, "report": re.sub(r'"seconds": [0-9.]+', "", text)}


def compare(expected: dict[str, Any], folder: Path, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many files and whether the report equal those of one run."""
    found = contents(folder, outcomes)
    equal = sum(found["files"].get(name) == data for name, data in expected["files"].items())
    same_report = found["report"] == expected["report"]
    return {
        "equal_files": equal,
        "same_report": same_report,
        "same": same_report and equal == len(expected["files"]),
    }


def by_shards(folder: Path, pairs: list[BatchPair], expected: dict[str, Any]) -> dict[str, Any]:
    """Run every shard, the last one first, and join their reports."""
    out = folder / "shards"
    for number in range(SHARDS, 0, -1):
        run_batch(pairs, out, remote=remote(local), shard=Shard(number, SHARDS), versions=versions("swap"))
    return compare(expected, out, merge_reports(pairs, out))


def by_ray(folder: Path, pairs: list[BatchPair], expected: dict[str, Any]) -> dict[str, Any]:
    """Run the batch on a local cluster of two workers, and kill one of them while it works."""
    killed: list[int] = []
    out = folder / "ray"
    threading.Thread(target=kill_a_worker, args=(out, killed), daemon=True).start()
    began = time.perf_counter()
    outcomes = run_batch(pairs, out, remote=remote(lambda: RayWorkers("local", gpus=False, cores=2)))
    seconds = time.perf_counter() - began
    return {"killed": len(killed), "wall_s": round(seconds, 1), **compare(expected, out, outcomes)}


def kill_a_worker(folder: Path, killed: list[int]) -> None:
    """Kill the process of a task of this run, once unfinished work is there."""
    while not list(folder.glob(".*.asled")):
        time.sleep(0.02)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_worker(entry) and is_ours(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
            killed.append(int(entry.name))
            return


def is_worker(entry: Path) -> bool:
    """Return whether a process does a task of Ray."""
    try:
        return (entry / "cmdline").read_bytes().startswith(b"ray::_answer")
    except OSError:
        return False


def is_ours(pid: int) -> bool:
    """Return whether a process was started by this one, directly or not."""
    while pid > 1 and pid != os.getpid():
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            return False
    return pid == os.getpid()


def on_full_disk(folder: Path, pairs: list[BatchPair], expected: dict[str, Any]) -> dict[str, Any]:
    """Run the batch on a disk that another program fills meanwhile, make room, and run it again."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        return {"skipped": "no file system may be mounted here"}
    try:
        out, filler = disk / "out", disk / "filler"
        fill = threading.Thread(target=fill_disk, args=(out, filler, len(pairs) // 3), daemon=True)
        fill.start()
        first = run_batch(pairs, out, remote=remote(local))
        fill.join()
        failed = [row for row in first if row.status == "failed"]
        said = sorted({re.sub(r"[0-9]+", "N", re.sub(r"/\S+", "PATH", row.message)) for row in failed})
        filler.unlink()
        again = run_batch(pairs, out, remote=remote(local))
        return {
            "done_at_first": len(first) - len(failed),
            "failed_at_first": len(failed),
            "said": said,
            "statuses_again": {s: sum(r.status == s for r in again) for s in ("done", "exists", "failed")},
            "same": contents(out, again)["files"] == expected["files"],
        }
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill_disk(out: Path, filler: Path, results: int) -> None:
    """Fill the disk once so many results are there, up to less than the program leaves to others."""
    while len(list(out.glob("*.mp4"))) < results:
        time.sleep(0.02)
    state = os.statvfs(filler.parent)
    filler.write_bytes(bytes(state.f_bavail * state.f_frsize - LEFT))


CASES = {"shards": by_shards, "ray": by_ray, "full_disk": on_full_disk}


if __name__ == "__main__":
    main()
