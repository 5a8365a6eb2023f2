"""Kills of `asled deblur` at random moments, with resume, compared with an uninterrupted run.

    python benchmarks/kill_and_resume.py [--moments 30] [--workers 2] [--frames 60]
        [--method swap] [--seed 0] [--out FILE]

Each trial starts a run, sends SIGINT, SIGTERM or SIGKILL after a random share of the duration of a whole run,
kills some of the resumed runs too, and resumes until one finishes. The final files must be equal byte for
byte. Frames and audio packets are also compared separately. Segments are six frames long here, so that trials
end in different ones. Exit code 1 if any trial differs.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
from report import write_report
from throughput import commit

ROOT = Path(__file__).parent.parent
SEGMENT = 6  # frames
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
CHILD = (
    "import sys; from asled_cli import pipeline; from asled_cli.cli.app import main;"
    f"pipeline.STEPS = pipeline.Steps(segment_length=lambda clip: {SEGMENT}); sys.exit(main(sys.argv[1:]))"
)
PROCESSES = multiprocessing.get_context("forkserver")  # everything is imported once, not for each run


def child(arguments: list[str], errors: str) -> None:
    """Run `asled ARGUMENTS` with short segments; write stderr to the file `errors`."""
    with Path(errors).open("w") as said:
        os.dup2(said.fileno(), 2)
    from asled_cli import pipeline
    from asled_cli.cli.app import main as asled

    pipeline.STEPS = pipeline.Steps(segment_length=lambda clip: SEGMENT)
    sys.exit(asled(arguments))


def make_clips(folder: Path, frames: int, method: str) -> list[str]:
    """Make a tiny pair of clips with sound and return the arguments of a job on it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from factories.small_pair import add_sound, make_pair  # type: ignore[import-not-found]

    pair = make_pair(folder, frames)
    wide = add_sound(pair.wide, folder / "sound.mp4", frames / 30)
    return [str(wide), str(pair.ultra), "--method", method, "--preset", "veryfast", "--offset", "0"]


def contents(path: Path) -> dict[str, str]:
    """Return digests of all decoded frames and of all packets, by kind."""
    frames, sound = hashlib.sha256(), hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.update(f"{frame.pts} {frame.time_base};".encode())
            for plane in frame.planes:
                frames.update(bytes(plane))
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            sound.update(f"{packet.pts} {packet.duration};".encode() + bytes(packet))
    return {"frames": frames.hexdigest(), "sound": sound.hexdigest()}


def run(arguments: list[str], kill_after: float | None = None, number: signal.Signals = signal.SIGINT) -> int:
    """Return the exit code of one run; negative: ended by a signal."""
    errors = Path(arguments[arguments.index("-o") + 1]).with_suffix(".err")
    process = PROCESSES.Process(target=child, args=(["deblur", *arguments, "-q"], str(errors)))
    process.start()
    process.join(kill_after)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, number)
        process.join(300)
    if process.exitcode is None:
        process.kill()
        raise SystemExit(f"hangs after {number.name}: {arguments}")
    said = errors.read_text() if errors.exists() else ""
    if "Traceback" in said and not said.rstrip().endswith("KeyboardInterrupt"):  # while it starts
        raise SystemExit(said)
    return process.exitcode


def trial(arguments: list[str], out: Path, duration: float, draw: random.Random) -> list[str]:
    """Interrupt one job, some several times, until it is finished; return the signals and their times."""
    sent = []
    for attempt in range(20):
        folder = out.with_name(f".{out.name}.asled")
        more = ["--resume"] if (folder / "journal.jsonl").exists() else ["-y"]
        kill = draw.uniform(0.05, 1.05) * duration if attempt < 1 or draw.random() < 0.4 else None
        number = draw.choice(SIGNALS)
        code = run([*arguments, "-o", str(out), *more], kill, number)
        sent.append(
            f"{more[0]}: " + ("to the end" if kill is None else f"{number.name} after {kill:.2f} s, {code}")
        )
        if code == 0 and not folder.exists():
            return sent
    raise SystemExit(f"never finished: {sent}")


def main() -> None:
    """Run the trials and write the JSON; exit code 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1, help="jobs at once")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--method", choices=("swap", "network"), default="swap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="asled-kill-"))
    arguments = make_clips(folder, options.frames, options.method)
    whole = folder / "whole.mp4"
    PROCESSES.set_forkserver_preload(["asled_cli.pipeline", "asled_cli.cli.app", "av"])
    assert run([*arguments, "-o", str(whole)]) == 0
    began = time.monotonic()
    assert run([*arguments, "-o", str(whole), "-y"]) == 0
    duration = time.monotonic() - began
    expected = contents(whole)

    def one(number: int) -> dict[str, Any]:
        out = folder / f"out_{number}.mp4"
        sent = trial(arguments, out, duration, random.Random(f"{options.seed} {number}"))
        same: dict[str, Any] = {kind: digest == expected[kind] for kind, digest in contents(out).items()}
        same["bytes"] = out.read_bytes() == whole.read_bytes()
        sys.stderr.write(f"{number + 1}/{options.moments} {same} {sent}\n")
        out.unlink()
        return {"sent": sent, "same": same}

    with ThreadPoolExecutor(options.workers) as pool:
        trials = list(pool.map(one, range(options.moments)))
    equal = sum(all(found["same"].values()) for found in trials)
    broken_off = sum(len(found["sent"]) > 1 for found in trials)
    report = {
        "commit": commit(),
        "method": options.method,
        "moments": options.moments,
        "broken_off": broken_off,
        "equal": equal,
        "trials": trials,
    }
    write_report(report, options.out)
    sys.stdout.write(f"{equal} of {options.moments} equal the uninterrupted run ({duration:.1f} s)\n")
    shutil.rmtree(folder)
    sys.exit(equal != options.moments)


if __name__ == "__main__":
    main()
