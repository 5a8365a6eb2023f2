"""Test of full disks and lost write permission in the middle of `asled deblur`, with resume.

    sudo python benchmarks/broken_disk.py [--moments 12] [--frames 90] [--seed 0] [--out FILE]

It works on a small file system in memory (Linux, needs root for `mount`); `asled` itself runs as nobody. Each
trial waits for a random segment and a random moment in it. Then it fills the file system to the last byte or
removes the write permission of the folders. The run must end with one error message. After the fault is
removed, `--resume` must give the bytes of an undisturbed run. Exit code 1 otherwise.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kill_and_resume import METHOD, make_clips
from kill_points import ROOT
from report import write_report
from throughput import commit

KILL_POINTS = str(ROOT / "benchmarks" / "kill_points.py")  # `asled` with short segments
SIZE = "64m"  # of the file system: several runs fit, and it fills fast
NOBODY = 65534  # user and group id of `nobody` on Linux
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
MAX_S = 300.0  # a run that takes longer hangs


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a file system of SIZE that belongs to nobody."""
    with tempfile.TemporaryDirectory(prefix="asled-disk-") as name:
        place = Path(name) / "disk"
        place.mkdir()
        Path(name).chmod(0o755)
        options = f"size={SIZE},uid={NOBODY},gid={NOBODY},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, folder: Path) -> Callable[[], None]:
    """Fill the file system; return a function that undoes it."""
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return filler.unlink


def lock(place: Path, folder: Path) -> Callable[[], None]:
    """Remove write permission of work folder and output folder; return a function that undoes it."""
    changed = [path for path in (folder, place) if path.exists()]
    before = [path.stat().st_mode for path in changed]
    for path in changed:
        path.chmod(0o500 if path == folder else 0o555)

    def undo() -> None:
        for path, mode in zip(changed, before, strict=True):
            path.chmod(mode)

    return undo


HARM = {"full disk": fill, "no right to write": lock}


def start(arguments: list[str]) -> "subprocess.Popen[str]":
    """Start `asled deblur` as nobody."""
    command = [*AS_NOBODY, sys.executable, KILL_POINTS, "deblur", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Return the exit code, and the lines of stderr that are not progress."""
    said = process.communicate(timeout=MAX_S)[1]
    lines = [line for line in said.splitlines() if line.startswith(("error", "hint", "Traceback"))]
    return process.returncode, lines


def trial(kind: str, arguments: list[str], place: Path, draw: random.Random, segments: int) -> dict[str, Any]:
    """Run one job with a fault, then resume it until it is finished."""
    out = place / "out.mp4"
    folder = out.with_name(f".{out.name}.asled")
    wanted, delay = draw.randrange(segments), draw.uniform(0, 0.2)
    process = start([*arguments, "-o", str(out)])
    while process.poll() is None and not (folder / f"{wanted:06d}.packets").exists():
        time.sleep(0.002)
    time.sleep(delay)
    undo = HARM[kind](place, folder)
    code, lines = finish(process)
    begun = {"segment": wanted, "code": code, "said": lines, "result": out.exists(), "kept": folder.exists()}
    if code != 0:
        again = finish(start([*arguments, "-o", str(out), "--resume"]))  # the harm is still there
        begun["while it lasts"] = {"code": again[0], "said": again[1]}
    undo()
    if code != 0:
        code, lines = finish(start([*arguments, "-o", str(out), "--resume"]))
        begun["resumed"] = {"code": code, "said": lines}
    return begun


def main() -> None:
    """Run the trials and write the JSON; exit code 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--moments", type=int, default=12, help="of each kind of harm")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    draw, trials = random.Random(options.seed), []
    with tempfile.TemporaryDirectory(prefix="asled-clips-") as name, small_disk() as place:
        Path(name).chmod(0o755)
        arguments = [*make_clips(Path(name), options.frames), *METHOD]
        whole = Path(name) / "whole.mp4"
        subprocess.run(
            [sys.executable, KILL_POINTS, "deblur", *arguments, "-o", str(whole), "-q"], check=True
        )
        for number in range(options.moments * len(HARM)):
            kind = list(HARM)[number % len(HARM)]
            found = trial(kind, arguments, place, draw, options.frames // 6)
            out = place / "out.mp4"
            found["good"] = is_good(found) and out.read_bytes() == whole.read_bytes()
            trials.append({"harm": kind, **found})
            sys.stderr.write(json.dumps(trials[-1]) + "\n")
            write_report(summed_up(trials), options.out)
            for path in place.iterdir():
                assert path == out, f"left behind: {path}"
                path.unlink()
    good = sum(one["good"] for one in trials)
    sys.stdout.write(f"{good} of {len(trials)} as they must be\n")
    sys.exit(good != len(trials))


def summed_up(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the trials, with counts first."""
    return {
        "commit": commit(),
        "good": sum(one["good"] for one in trials),
        "broken_off": sum(one["code"] != 0 for one in trials),
        "trials": trials,
    }


def is_good(found: dict[str, Any]) -> bool:
    """Return whether a trial had one message with a next step, no partial result, and a finished run."""
    if found["code"] == 0:  # the run was over before
        return True
    for said in (found["said"], found["while it lasts"]["said"]):
        errors = sum(line.startswith("error") for line in said)
        if errors != 1 or "Traceback" in "".join(said):
            return False
    advised = any("--resume" in line for line in found["said"])
    ended = found["while it lasts"]["code"] != 0 and found["resumed"]["code"] == 0
    return advised and ended and found["kept"] and not found["result"]


if __name__ == "__main__":
    main()
